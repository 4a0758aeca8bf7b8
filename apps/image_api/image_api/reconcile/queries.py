"""The SQL of reconciliation, which compares the images of all teams with what storage lists."""

from uuid import UUID

from sqlalchemy import Integer, Interval, Uuid, and_, bindparam, func, select, tuple_, update

from image_core.db import Query, Record, Runner
from image_core.images.removal.lost_originals import IS_LOST, KEPT_FOR
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
_kept = discarded_object.alias("kept")
_upload = image.alias("upload")
_uploaded_again = Query(
    select(*_columns, _upload.c.object_name.label("uploaded_name"), _kept.c.id.label("kept_id"))
    .select_from(
        _kept.join(_upload, _upload.c.object_name == _kept.c.object_name).join(
            image, and_(image.c.id == _upload.c.duplicate_of, image.c.team_id == _upload.c.team_id)
        )
    )
    # Of what is to be removed, only these are kept for so long.
    .where(
        _kept.c.remove_after > func.now() + bindparam("soon", type_=Interval),
        IS_LOST,
        image.c.purge_marked_at.is_(None),
    )
    .order_by(_kept.c.remove_after.desc())
    .limit(bindparam("limit", type_=Integer))
)
_release = Query(
    update(discarded_object)
    .where(discarded_object.c.id == bindparam("kept_id", type_=Uuid))
    .values(remove_after=func.now())
)
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


async def uploaded_again(runner: Runner, limit: int) -> list[Record]:
    """Return images of all teams that have lost their originals, and objects of uploads of the same bytes."""
    return await runner.fetch(_uploaded_again, soon=KEPT_FOR / 2, limit=limit)


async def release_kept(runner: Runner, kept_id: UUID) -> None:
    """Have an object that was kept removed now."""
    await runner.execute(_release, kept_id=kept_id)
