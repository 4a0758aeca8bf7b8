"""The SQL of imports."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import BigInteger, Integer, Uuid, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from image_core.db import Query, Record, Runner
from image_core.models import image, operation_item

_item = operation_item.c
_begun = Query(
    select(
        image.c.id, image.c.status, image.c.generation, image.c.object_name, image.c.content_type, image.c.duplicate_of,
        image.c.failure_code, image.c.failure_message,
    ).where(image.c.team_id == bindparam("team_id"), image.c.id == func.any(bindparam("image_ids", type_=ARRAY(Uuid))))
)  # fmt: skip
_report = Query(
    select(_item.position, _item.state, _item.subject_id, _item.payload, _item.code, _item.detail)
    .where(
        _item.operation_id == bindparam("operation_id", type_=Uuid),
        _item.position > bindparam("after_position", type_=BigInteger),
    )
    .order_by(_item.position)
    .limit(bindparam("limit", type_=Integer))
)


async def begun(runner: Runner, team_id: UUID, image_ids: Sequence[UUID]) -> dict[UUID, Record]:
    """Return the images of a team that imports have begun, by id."""
    rows = await runner.fetch(_begun, team_id=team_id, image_ids=list(image_ids))
    return {row["id"]: row for row in rows}


async def report(runner: Runner, operation_id: UUID, after_position: int, limit: int) -> list[Record]:
    """Return the items of an operation that was found under the caller's team, in their order."""
    return await runner.fetch(_report, operation_id=operation_id, after_position=after_position, limit=limit)
