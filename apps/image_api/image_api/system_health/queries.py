"""The SQL of checks of the whole system, across teams; each statement reads few rows."""

from datetime import timedelta

from sqlalchemy import ColumnElement, and_, column, func, literal_column, or_, select, table

from image_core.db import Query, Record, Runner
from image_core.images.transitions import EXHAUSTED
from image_core.models import credential, image

NEWEST_IMAGES = 10_000
MOST_STUCK = 1000
STUCK_AFTER = timedelta(minutes=15)

_schema = Query(
    select(
        func.clock_timestamp().label("now"),
        select(column("version_num")).select_from(table("alembic_version")).scalar_subquery().label("revision"),
        select(func.count())
        .where(credential.c.is_default, credential.c.revoked_at.is_(None))
        .scalar_subquery()
        .label("default_keys"),
    )
)


def _is(status: str) -> ColumnElement[bool]:
    # As a literal, so that the index of these few rows is used.
    return image.c.status == literal_column(f"'{status}'")


_limit = func.now() - STUCK_AFTER
_stuck = (
    select(image.c.id)
    .where(
        or_(
            and_(_is("stored"), image.c.queued_at < _limit),
            and_(_is("processing"), image.c.lease_expires_at < _limit),
            and_(_is("pending"), image.c.deadline_at < _limit),
        )
    )
    .limit(literal_column(str(MOST_STUCK + 1)))
    .subquery()
)
_count_stuck = Query(select(func.count()).select_from(_stuck))
_newest = (
    select(image.c.failure_code)
    .where(image.c.deleted_at.is_(None), image.c.status != literal_column("'expired'"))
    .order_by(image.c.created_at.desc(), image.c.id.desc())
    .limit(literal_column(str(NEWEST_IMAGES)))
    .subquery()
)
_count_exhausted = Query(
    select(func.count()).select_from(_newest).where(_newest.c.failure_code == literal_column(f"'{EXHAUSTED.code}'"))
)


async def find_schema(runner: Runner) -> Record | None:
    """Return the database's time, the revision of its schema, and the number of default keys that are still valid."""
    return await runner.fetch_one(_schema)


async def count_stuck(runner: Runner) -> int:
    """Return how many images have waited `STUCK_AFTER` longer than they should, at most `MOST_STUCK` + 1."""
    return int(await runner.fetch_value(_count_stuck))


async def count_exhausted(runner: Runner) -> int:
    """Return how many of the newest `NEWEST_IMAGES` images failed because every attempt did."""
    return int(await runner.fetch_value(_count_exhausted))
