"""The SQL of checks of hashes."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import LargeBinary, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from image_core.db import Query, Record, Runner
from image_core.images.removal.lost_originals import IS_LOST
from image_core.models import HOLDS_BYTES_CLAUSE, image

_find = Query(
    select(image.c.sha256, image.c.id, image.c.status, image.c.deleted_at, image.c.purge_marked_at)
    .where(
        image.c.team_id == bindparam("team_id"),
        image.c.sha256 == func.any(bindparam("digests", type_=ARRAY(LargeBinary))),
        HOLDS_BYTES_CLAUSE,
        # Whoever asks has to upload these again.
        ~IS_LOST,
    )
    # Of several images of one file, the last one counts: outside the trash, else the newest that can be restored.
    .order_by(image.c.deleted_at.is_(None), image.c.purge_marked_at.is_(None), image.c.id)
)


async def find_images(runner: Runner, team_id: UUID, digests: Collection[bytes]) -> dict[bytes, Record]:
    """Return the team's image of each of these files that it has, by SHA-256, in the trash or not."""
    rows = await runner.fetch(_find, team_id=team_id, digests=list(digests))
    return {row["sha256"]: row for row in rows}
