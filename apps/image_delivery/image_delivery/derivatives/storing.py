"""Keeping what was made: a promise to remove the object, the object, then its row in the promise's place."""

import hashlib
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from image_core.delivery.spec import Format
from image_core.ids import new_id
from image_core.images.discards import schedule_removal
from image_core.images.object_names import Bucket, claim_folder, rendition_name
from image_delivery.derivatives import queries
from image_delivery.grants.images import DeliveredImage, StoredPicture
from image_delivery.parts import Parts
from image_engine.contract.renditions import Rendition

# Far longer than it takes to write an object, and to notice that one cannot be written.
_PROMISE = timedelta(hours=1)
# Rows in memory may name an object for as long as an outage of the database may last.
_EVICTED_AFTER = timedelta(hours=1)


class Order(NamedTuple):
    """What is to be made: the same for all who ask for it at once."""

    image_id: UUID
    generation: int
    spec_hash: bytes
    format: Format


class _Lost(Exception):
    """Another instance was faster, or the image is gone: what was written is removed as promised."""


def describe(image: DeliveredImage, order: Order, made: Rendition) -> StoredPicture:
    """Return what is stored of a rendition, under a name that nothing else will have."""
    folder = claim_folder(image.team_id, order.image_id, order.generation, new_id())
    name = rendition_name(folder, order.spec_hash, order.format)
    return StoredPicture(name, len(made.content), hashlib.sha256(made.content).digest(), made.frames, is_rendition=True)


async def store(parts: Parts, order: Order, preset: str | None, picture: StoredPicture, made: Rendition) -> bool:
    """Keep a rendition, and tell whether it is kept.

    Killed at any point it leaves nothing that no promise removes, and no row without its object.

    Raises:
        errors.DatabaseUnavailable: nothing is kept.
        errors.StorageUnavailable: nothing is kept.
    """
    discard_id = new_id()
    async with parts.database.transaction() as transaction:
        await schedule_removal(
            transaction, Bucket.DERIVATIVES, picture.object_name, None, _PROMISE, discard_id=discard_id
        )
    await parts.derivatives.put(picture.object_name, made.content, made.content_type)
    try:
        await _add_row(parts, order, preset, picture, made, discard_id)
    except _Lost:
        return False
    return True


async def _add_row(
    parts: Parts, order: Order, preset: str | None, picture: StoredPicture, made: Rendition, discard_id: UUID
) -> None:
    values = {
        "id": new_id(), "spec_hash": order.spec_hash, "format": order.format, "preset": preset,
        "object_name": picture.object_name, "width": made.width_px, "height": made.height_px, "frames": made.frames,
        "size_bytes": picture.size_bytes, "sha256": picture.sha256,
    }  # fmt: skip
    async with parts.database.transaction() as transaction:
        if not await queries.cancel(transaction, discard_id):
            raise _Lost
        if not await queries.add_rendition(transaction, order.image_id, order.generation, values):
            raise _Lost
        most = parts.settings.delivery_max_transforms
        if preset is None and most is not None:
            for name in await queries.evict_transforms(transaction, order.image_id, most):
                await schedule_removal(transaction, Bucket.DERIVATIVES, name, None, _EVICTED_AFTER)
