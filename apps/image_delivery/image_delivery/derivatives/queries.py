"""The SQL of renditions."""

from typing import Any
from uuid import UUID

from sqlalchemy import Integer, and_, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from image_core.db import Query, Transaction
from image_core.images.discards import cancel_removal
from image_core.models import image, rendition

_VALUES = (
    "id", "spec_hash", "format", "preset", "object_name", "width", "height", "frames", "size_bytes", "sha256",
)  # fmt: skip
_add = Query(
    insert(rendition)
    .from_select(
        ["team_id", "image_id", "generation", *_VALUES],
        select(
            image.c.team_id, image.c.id, image.c.generation,
            *(bindparam(f"new_{name}", type_=rendition.c[name].type) for name in _VALUES),
        ).where(
            image.c.id == bindparam("of_image_id"), image.c.generation == bindparam("of_generation"),
            image.c.deleted_at.is_(None), image.c.purge_marked_at.is_(None),
        ),
    )
    .on_conflict_do_nothing()
    .returning(rendition.c.id)
)  # fmt: skip
_cancel = Query(cancel_removal())
_transforms = and_(rendition.c.image_id == bindparam("of_image_id"), rendition.c.preset.is_(None), ~rendition.c.eager)
_evict = Query(
    delete(rendition)
    .where(
        rendition.c.id.in_(
            select(rendition.c.id)
            .where(_transforms)
            .order_by(rendition.c.last_used_on.desc(), rendition.c.created_at.desc(), rendition.c.id.desc())
            .offset(bindparam("most", type_=Integer))
        )
    )
    .returning(rendition.c.object_name)
)


async def add_rendition(transaction: Transaction, image_id: UUID, generation: int, values: dict[str, Any]) -> bool:
    """Insert a rendition of an image that is still there, and tell whether that is what happened."""
    columns = {f"new_{name}": values[name] for name in _VALUES}
    added = await transaction.fetch_value(_add, of_image_id=image_id, of_generation=generation, **columns)
    return added is not None


async def cancel(transaction: Transaction, discard_id: UUID) -> bool:
    """Take back the promise to remove an object, and tell whether its removal has not begun."""
    return await transaction.fetch_value(_cancel, discard_id=discard_id) is not None


async def evict_transforms(transaction: Transaction, image_id: UUID, most: int) -> list[str]:
    """Remove the transforms of an image that were used least recently beyond a number; return their objects."""
    rows = await transaction.fetch(_evict, of_image_id=image_id, most=most)
    return [row[0] for row in rows]
