"""The SQL of removals."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Uuid, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from image_core.db import Query, Record, Runner
from image_core.models import image, team, user
from image_core.states import ImageStatus

_PURGED = (image.c.id, image.c.team_id, image.c.object_name, image.c.generation, image.c.sha256, image.c.status)
_remaining = Query(
    select(image.c.id).where(
        image.c.team_id == bindparam("team_id", type_=Uuid),
        image.c.id == func.any(bindparam("image_ids", type_=ARRAY(Uuid))),
    )
)


async def is_there(runner: Runner, team_id: UUID) -> bool:
    """Return whether a team that is being removed is still there."""
    found = select(team.c.id).where(team.c.id == team_id, team.c.deleting_at.is_not(None))
    return await runner.fetch_value(found) is not None


async def is_user_there(runner: Runner, user_id: UUID) -> bool:
    """Return whether a user who is being removed is still there."""
    found = select(user.c.id).where(user.c.id == user_id, user.c.deleting_at.is_not(None))
    return await runner.fetch_value(found) is not None


async def images_after(runner: Runner, team_id: UUID, after_id: UUID | None, limit: int) -> list[Record]:
    """Return the next images of a team, in the order of their ids."""
    statement = select(image.c.id, image.c.size_bytes).where(image.c.team_id == team_id)
    if after_id is not None:
        statement = statement.where(image.c.id > after_id)
    return await runner.fetch(statement.order_by(image.c.id).limit(limit))


async def remaining(runner: Runner, team_id: UUID, image_ids: Collection[UUID]) -> set[UUID]:
    """Return those of these images of a team that are still there."""
    rows = await runner.fetch(_remaining, team_id=team_id, image_ids=list(image_ids))
    return {row["id"] for row in rows}


async def marked(runner: Runner, team_id: UUID, limit: int) -> list[Record]:
    """Return images of a team that are marked for purge and due, as `images.tasks.purge_image` takes them."""
    statement = select(*_PURGED).where(
        image.c.team_id == team_id, image.c.purge_marked_at.is_not(None),
        func.coalesce(image.c.deadline_at, func.now()) <= func.now(),
    )  # fmt: skip
    return await runner.fetch(statement.order_by(image.c.deadline_at).limit(limit))


async def remove_expired(runner: Runner, team_id: UUID, limit: int) -> int:
    """Delete rows of uploads that came to nothing; the removal of what they left was scheduled when they ended."""
    some = select(image.c.id).where(image.c.team_id == team_id, image.c.status == ImageStatus.EXPIRED).limit(limit)
    return await runner.execute(delete(image).where(image.c.team_id == team_id, image.c.id.in_(some.scalar_subquery())))
