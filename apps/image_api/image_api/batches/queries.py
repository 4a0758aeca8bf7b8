"""The SQL of batches."""

from collections.abc import Collection
from functools import lru_cache
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY

from image_api.images.columns import listed_columns
from image_core.db import Query, Record, Runner, Transaction
from image_core.models import image

_of_images = image.c.id == func.any(bindparam("image_ids", type_=ARRAY(Uuid)))
_team_id = bindparam("team_id", type_=image.c.team_id.type)
_visible = or_(_team_id.is_(None), image.c.team_id == _team_id)
_columns = tuple(
    image.c[name]
    for name in (
        "id", "team_id", "uploaded_by", "status", "object_name", "generation", "trace_parent", "tags", "metadata",
        "visibility", "deleted_at", "purge_marked_at",
    )
)  # fmt: skip
_files = Query(select(image.c.id, image.c.size_bytes, image.c.sha256, image.c.status).where(_of_images, _visible))
_lock = Query(
    select(*_columns)
    .where(_of_images, _visible)
    # Batches lock their rows in one order, so that they do not wait for each other in a circle.
    .order_by(image.c.id)
    .with_for_update()
)


@lru_cache
def _find(included: frozenset[str]) -> Query:
    return Query(select(*listed_columns(included)).where(_of_images, _visible))


async def find(
    runner: Runner, team_id: UUID | None, image_ids: Collection[UUID], included: frozenset[str]
) -> dict[UUID, Record]:
    """Return these images by id, with the columns of what is included; absent ones are left out."""
    rows = await runner.fetch(_find(included), team_id=team_id, image_ids=list(image_ids))
    return {row["id"]: row for row in rows}


async def find_files(runner: Runner, team_id: UUID | None, image_ids: Collection[UUID]) -> dict[UUID, Record]:
    """Return size, hash and status of these images by id; absent ones are left out."""
    rows = await runner.fetch(_files, team_id=team_id, image_ids=list(image_ids))
    return {row["id"]: row for row in rows}


async def lock(transaction: Transaction, team_id: UUID | None, image_ids: Collection[UUID]) -> dict[UUID, Record]:
    """Return these images by id, locked for the rest of the transaction; absent ones are left out."""
    rows = await transaction.fetch(_lock, team_id=team_id, image_ids=list(image_ids))
    return {row["id"]: row for row in rows}
