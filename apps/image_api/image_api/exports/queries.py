"""The SQL of exports."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import BigInteger, Uuid, and_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from image_api.images.columns import listed_columns
from image_core.db import Query, Record, Runner
from image_core.images.transitions import IS_SHOWN
from image_core.models import image, operation_item

_item = operation_item.c
_team_id = bindparam("team_id", type_=Uuid)
_status = (image.c.status, image.c.deleted_at, IS_SHOWN.label("is_shown"))
_find = Query(select(*_status).where(image.c.id == bindparam("image_id", type_=Uuid), image.c.team_id == _team_id))
_find_many = Query(
    select(image.c.id, image.c.size_bytes, *_status).where(
        image.c.id == func.any(bindparam("image_ids", type_=ARRAY(Uuid))), image.c.team_id == _team_id
    )
)
_lines = Query(
    select(
        _item.position, _item.image_id, _item.code, _item.detail,
        *listed_columns(frozenset({"facts", "metadata", "delivery"})), IS_SHOWN.label("is_shown"),
    )
    .select_from(
        operation_item.outerjoin(image, and_(image.c.id == _item.image_id, image.c.team_id == _team_id))
    )
    .where(
        _item.operation_id == bindparam("operation_id", type_=Uuid),
        _item.position > bindparam("after_position", type_=BigInteger),
        _item.position <= bindparam("last_position", type_=BigInteger),
    )
    .order_by(_item.position)
)  # fmt: skip


async def find_status(runner: Runner, team_id: UUID, image_id: UUID | None) -> Record | None:
    """Return whether an image of a team has what can be exported."""
    return await runner.fetch_one(_find, team_id=team_id, image_id=image_id)


async def find_many(runner: Runner, team_id: UUID, image_ids: Collection[UUID]) -> dict[UUID, Record]:
    """Return size and status of those of these images that the team has, by id."""
    rows = await runner.fetch(_find_many, team_id=team_id, image_ids=list(image_ids))
    return {row["id"]: row for row in rows}


async def lines(
    runner: Runner, operation_id: UUID, team_id: UUID, after_position: int, last_position: int
) -> list[Record]:
    """Return items of an operation that was found under the caller's team, with those images that the team still has.

    Of an image that is gone, `id` is null.
    """
    return await runner.fetch(
        _lines, operation_id=operation_id, team_id=team_id, after_position=after_position, last_position=last_position
    )
