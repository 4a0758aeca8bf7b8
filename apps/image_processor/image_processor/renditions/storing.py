"""Storing a picture that was made in the background, as image-delivery stores what it makes."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from image_core import events
from image_core.db import Record, Transaction
from image_core.delivery.rendition_requests import SOURCE
from image_core.delivery.rendition_store import add_rendition, keep_object
from image_core.events import EventType, OutboxEvent
from image_core.ids import new_id
from image_core.images.discards import REMEMBERED, schedule_removal
from image_core.images.object_names import Bucket, claim_folder, rendition_name
from image_core.images.presets import eager_recipes, focal_point_of, share_presets
from image_core.storage.protocol import CHUNK_BYTES, ONE_REQUEST_BYTES, ObjectStorage
from image_processor.parts import Parts
from image_processor.renditions import queries
from image_processor.renditions.making import Made
from image_processor.renditions.targets import Target


async def store(parts: Parts, target: Target, made: Made) -> bool:
    """Keep a picture, and tell whether it is kept: it may have been made elsewhere meanwhile, or its image be gone.

    Raises:
        errors.DatabaseUnavailable: Nothing is kept.
        errors.StorageUnavailable: Nothing is kept.
    """
    key = target.key
    # A name of its own, so that whoever loses a race overwrites nothing.
    folder = claim_folder(target.image["team_id"], key.image_id, key.generation, new_id())
    name = rendition_name(folder, key.spec_hash, key.format)
    values: dict[str, Any] = {
        "object_name": name, "width": made.width_px, "height": made.height_px, "frames": made.frames,
        "size_bytes": made.size_bytes, "spec_hash": key.spec_hash,
    }  # fmt: skip
    content_type = f"image/{key.format}"

    async def put() -> None:
        values["sha256"] = await _put(parts.derivatives, name, content_type, made)

    recorded: list[OutboxEvent] = []

    async def add(transaction: Transaction) -> bool:
        if target.is_derivative:
            row = values | {"content_type": content_type, "preset": target.spec}
            is_replaced = await _replace_derivative(transaction, target, row)
            recorded.extend(transaction.recorded)
            return is_replaced
        await queries.forget_failure(transaction, key)
        if target.is_eager:
            await queries.release_outdated(transaction, key, target.spec)
        row = values | {"format": key.format, "preset": target.spec, "eager": target.is_eager}
        return await add_rendition(transaction, key.image_id, key.generation, row)

    is_kept = await keep_object(parts.database, name, put, add)
    if is_kept and recorded:
        await events.publish(parts.database, parts.publisher, recorded)
    return is_kept


async def _replace_derivative(transaction: Transaction, target: Target, row: dict[str, Any]) -> bool:
    """Put a picture in the place of the derivative, if preset and focal point still ask for it."""
    key = target.key
    # First, because whoever changes presets locks them before anything else.
    presets = {} if target.spec == SOURCE else await share_presets(transaction, target.image["team_id"])
    image = await queries.touch_image(transaction, key)
    if image is None:
        return False
    if target.spec != SOURCE:
        recipe = eager_recipes(presets, focal_point_of(image)).get(target.spec)
        if recipe is None or recipe.hash() != key.spec_hash:
            return False
    for old_name in await queries.remove_derivative(transaction, key.image_id, target.spec):
        await schedule_removal(transaction, Bucket.DERIVATIVES, old_name, None, REMEMBERED)
    await queries.release_outdated(transaction, key, target.spec)
    await queries.forget_failure(transaction, key)
    await _record_change(transaction, target, image)
    return await queries.add_derivative(transaction, key.image_id, key.generation, row)


async def _record_change(transaction: Transaction, target: Target, image: Record) -> None:
    """Record that the image has another derivative."""
    changed = {"changed": ["derivatives"], "status": image["status"]}
    team_id = target.image["team_id"]
    event = events.image_event(EventType.IMAGE_CHANGED, target.key.image_id, team_id, image["revision"], changed)
    await events.record(transaction, event)


async def _put(storage: ObjectStorage, name: str, content_type: str, made: Made) -> bytes:
    """Store a file and return its SHA-256; a large one is never held as a whole."""
    if made.size_bytes <= ONE_REQUEST_BYTES:
        body = b"".join(made.parts)
        await storage.put(name, body, content_type)
        return hashlib.sha256(body).digest()
    sha256 = hashlib.sha256()
    async with storage.writer(name, content_type) as writer:
        left = made.size_bytes
        for chunk in _chunks(made.parts):
            sha256.update(chunk)
            left -= len(chunk)
            await (writer.write(chunk) if left else writer.finish(chunk))
    return sha256.digest()


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Join parts, or cut them, into chunks of `CHUNK_BYTES`; only the last one is smaller."""
    buffer = bytearray()
    for part in parts:
        buffer += part
        while len(buffer) >= CHUNK_BYTES:
            yield bytes(buffer[:CHUNK_BYTES])
            del buffer[:CHUNK_BYTES]
    if buffer:
        yield bytes(buffer)
