"""The SQL of processing failed images again, by admins of the platform."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from image_core.db import Query, Record, Runner
from image_core.models import image
from image_core.states import ImageStatus

_states = Query(
    select(image.c.id, image.c.status, image.c.failure_code, image.c.failure_message).where(
        image.c.id == func.any(bindparam("image_ids", type_=ARRAY(Uuid))), image.c.deleted_at.is_(None)
    )
)


async def failed_before(
    runner: Runner, team_id: UUID | None, code: str | None, before_id: UUID | None, limit: int
) -> list[Record]:
    """Return the next failed images outside of the trash, newest first; null means any team, and any code."""
    statement = select(image.c.id, image.c.size_bytes).where(
        image.c.status == ImageStatus.FAILED, image.c.deleted_at.is_(None)
    )
    for column, value in ((image.c.team_id, team_id), (image.c.failure_code, code)):
        statement = statement if value is None else statement.where(column == value)
    if before_id is not None:
        statement = statement.where(image.c.id < before_id)
    return await runner.fetch(statement.order_by(image.c.id.desc()).limit(limit))


async def states(runner: Runner, image_ids: Collection[UUID]) -> dict[UUID, Record]:
    """Return status and failure of those of these images that are neither in the trash nor gone, by id."""
    return {row["id"]: row for row in await runner.fetch(_states, image_ids=list(image_ids))}
