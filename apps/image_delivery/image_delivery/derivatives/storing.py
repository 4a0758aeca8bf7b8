"""Keeping what was made for a request, and evicting transforms in its favour."""

import hashlib
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from image_core.db import Transaction
from image_core.delivery.rendition_store import add_rendition, keep_object
from image_core.delivery.spec import Format
from image_core.ids import new_id
from image_core.images.discards import schedule_removal
from image_core.images.object_names import Bucket, claim_folder, rendition_name
from image_delivery.derivatives import queries
from image_delivery.grants.images import DeliveredImage, StoredPicture
from image_delivery.parts import Parts
from image_engine.contract.renditions import Rendition

# Rows in memory may name an object for as long as an outage of the database may last.
_EVICTED_AFTER = timedelta(hours=1)


class Order(NamedTuple):
    """What is to be made: the same for all who ask for it at once."""

    image_id: UUID
    generation: int
    spec_hash: bytes
    format: Format


def order_of(image: DeliveredImage, spec_hash: bytes, extension: Format) -> Order:
    """Return what is to be made of an image as it is."""
    return Order(image.id, image.generation or 0, spec_hash, extension)


def describe(image: DeliveredImage, order: Order, made: Rendition) -> StoredPicture:
    """Return what is stored of a rendition, under a name that nothing else will have."""
    folder = claim_folder(image.team_id, order.image_id, order.generation, new_id())
    name = rendition_name(folder, order.spec_hash, order.format)
    return StoredPicture(name, len(made.content), hashlib.sha256(made.content).digest(), made.frames, is_rendition=True)


async def store(parts: Parts, order: Order, preset: str | None, picture: StoredPicture, made: Rendition) -> bool:
    """Keep a rendition, and tell whether it is kept: another instance may be faster, or the image be gone.

    Raises:
        errors.DatabaseUnavailable: nothing is kept.
        errors.StorageUnavailable: nothing is kept.
    """
    values = {
        "spec_hash": order.spec_hash, "format": order.format, "preset": preset, "object_name": picture.object_name,
        "width": made.width_px, "height": made.height_px, "frames": made.frames, "size_bytes": picture.size_bytes,
        "sha256": picture.sha256, "eager": False,
    }  # fmt: skip

    async def put() -> None:
        await parts.derivatives.put(picture.object_name, made.content, made.content_type)

    async def add(transaction: Transaction) -> bool:
        if not await add_rendition(transaction, order.image_id, order.generation, values):
            return False
        most = parts.settings.delivery_max_transforms
        if preset is None and most is not None:
            for name in await queries.evict_transforms(transaction, order.image_id, most):
                await schedule_removal(transaction, Bucket.DERIVATIVES, name, None, _EVICTED_AFTER)
        return True

    return await keep_object(parts.database, picture.object_name, put, add)
