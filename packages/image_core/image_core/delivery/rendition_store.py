"""Keeping what was made: a promise to remove the object, the object, then its row in the promise's place."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from image_core.db import Database, Query, Transaction
from image_core.ids import new_id
from image_core.images.discards import cancel_removal, schedule_removal
from image_core.images.object_names import Bucket
from image_core.models import image, rendition

# Far longer than it takes to write an object, and to notice that one cannot be written.
_PROMISE = timedelta(hours=1)
_VALUES = (
    "id", "spec_hash", "format", "preset", "object_name", "width", "height", "frames", "size_bytes", "sha256", "eager",
)  # fmt: skip

OF_LIVING_IMAGE = (
    image.c.id == bindparam("of_image_id"),
    image.c.generation == bindparam("of_generation"),
    image.c.deleted_at.is_(None),
    image.c.purge_marked_at.is_(None),
)
"""The conditions under which what was made of an image is kept; parameters: of_image_id, of_generation."""

_add = Query(
    insert(rendition)
    .from_select(
        ["team_id", "image_id", "generation", *_VALUES],
        select(
            image.c.team_id, image.c.id, image.c.generation,
            *(bindparam(f"new_{name}", type_=rendition.c[name].type) for name in _VALUES),
        ).where(*OF_LIVING_IMAGE),
    )
    .on_conflict_do_nothing()
    .returning(rendition.c.id)
)  # fmt: skip
_cancel = Query(cancel_removal())


class _Lost(Exception):
    """Another instance was faster, or the image is gone: what was written is removed as promised."""


async def keep_object(
    database: Database,
    object_name: str,
    put: Callable[[], Awaitable[None]],
    add: Callable[[Transaction], Awaitable[bool]],
) -> bool:
    """Keep an object of the bucket of derivatives under a new name, and tell whether it is kept.

    Killed at any point this leaves nothing that no promise removes, and no row without its object.

    Args:
        database: where promise and row are written.
        object_name: that nothing else will have.
        put: writes the object.
        add: inserts its row, in the transaction that takes the promise back; returns False if it must not be kept.

    Raises:
        errors.DatabaseUnavailable: nothing is kept.
        errors.StorageUnavailable: nothing is kept.
    """
    discard_id = new_id()
    async with database.transaction() as transaction:
        await schedule_removal(transaction, Bucket.DERIVATIVES, object_name, None, _PROMISE, discard_id=discard_id)
    await put()
    try:
        async with database.transaction() as transaction:
            await _take_its_place(transaction, discard_id, add)
    except _Lost:
        return False
    return True


async def _take_its_place(
    transaction: Transaction, discard_id: UUID, add: Callable[[Transaction], Awaitable[bool]]
) -> None:
    # The sweep may have begun to remove it.
    if await transaction.fetch_value(_cancel, discard_id=discard_id) is None or not await add(transaction):
        raise _Lost


async def add_rendition(transaction: Transaction, image_id: UUID, generation: int, values: dict[str, Any]) -> bool:
    """Insert a rendition of an image that is still there, and tell whether that is what happened.

    `values` holds the columns of the rendition but its id and those of the image.
    """
    columns = {f"new_{name}": value for name, value in (values | {"id": new_id()}).items()}
    added = await transaction.fetch_value(_add, of_image_id=image_id, of_generation=generation, **columns)
    return added is not None
