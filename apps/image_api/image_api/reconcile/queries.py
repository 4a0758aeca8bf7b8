"""The SQL of reconciliation, which compares the images of all teams with what storage lists."""

from uuid import UUID

from sqlalchemy import Integer, Interval, Uuid, bindparam, func, select, tuple_

from image_core.db import Query, Record, Runner
from image_core.models import HOLDS_BYTES_CLAUSE, discarded_object, image

_columns = (
    image.c.id, image.c.team_id, image.c.status, image.c.object_name, image.c.generation, image.c.size_bytes,
    image.c.crc32c, image.c.content_type, image.c.failure_code, image.c.trace_parent,
)  # fmt: skip
# What has its original, and is not about to lose it.
_compared = (
    HOLDS_BYTES_CLAUSE & image.c.purge_marked_at.is_(None)
    & (image.c.stored_at < func.now() - bindparam("min_age", type_=Interval))
).label("compared")  # fmt: skip
_rows_after = Query(
    select(*_columns, _compared)
    .where(
        tuple_(image.c.team_id, image.c.id)
        > tuple_(bindparam("after_team_id", type_=Uuid), bindparam("after_id", type_=Uuid))
    )
    .order_by(image.c.team_id, image.c.id)
    .limit(bindparam("limit", type_=Integer))
)
_find = Query(select(*_columns, _compared).where(image.c.id == bindparam("image_id", type_=Uuid)))
_is_promised = Query(
    select(func.count()).select_from(discarded_object).where(discarded_object.c.object_name == bindparam("name"))
)


async def rows_after(runner: Runner, team_id: UUID, image_id: UUID, min_age: object, limit: int) -> list[Record]:
    """Return the next images of all teams, in the order of their objects' names."""
    return await runner.fetch(_rows_after, after_team_id=team_id, after_id=image_id, min_age=min_age, limit=limit)


async def find(runner: Runner, image_id: UUID, min_age: object) -> Record | None:
    """Return an image of any team, and whether it is compared."""
    return await runner.fetch_one(_find, image_id=image_id, min_age=min_age)


async def is_promised_for_removal(runner: Runner, name: str) -> bool:
    """Return whether the removal of an object is scheduled."""
    return bool(await runner.fetch_value(_is_promised, name=name))
