"""Completion of an image whose row is still pending: size and hash are taken from the stored bytes.

The bytes of a direct upload never passed the API, so that here is the first look at them. What was declared is checked
whatever storage promises to enforce.
"""

import os
from typing import Any

from image_core import events
from image_core.db import Record, Transaction, UniqueViolation
from image_core.events import EventType
from image_core.images import picture_header, transitions
from image_core.images.discards import schedule_removal
from image_core.images.object_names import Bucket
from image_core.images.picture_header import PREFIX_BYTES
from image_core.images.removal.lost_originals import NO_ROOM, keep_for_replacement
from image_core.images.transitions import DUPLICATE
from image_core.models import image
from image_core.states import Failure
from image_engine.contract.picture_file import PictureFile
from image_engine.contract.rejections import PictureRejected
from image_processor.images import queries
from image_processor.parts import Digests, Parts, committing, fetch


async def complete_pending(parts: Parts, row: Record, generation: int, picture: PictureFile) -> bytes | None:
    """Move a row from pending to stored and return its SHA-256; return None if it had to expire.

    Raises:
        TransientFailure: Storage is unavailable, or the object is gone.
    """
    try:
        digests = await _fetch_as_declared(parts, row, generation, picture)
    except _Refused as refused:
        await _expire(parts, row, refused.failure, None)
        return None
    if row["duplicate_of"] is not None:
        # The quota is full, so that these bytes may only replace those of an image that has lost them.
        existing = await queries.find_existing(parts.database, row["team_id"], digests.sha256)
        await _expire(parts, row, NO_ROOM if existing is None else DUPLICATE, existing)
        return None
    try:
        async with committing(parts) as transaction:
            revision = await queries.mark_stored(transaction, row["id"], generation, picture.size_bytes, digests)
            if revision is not None:
                await _record(transaction, EventType.IMAGE_CREATED, row, revision)
    except UniqueViolation:
        existing = await queries.find_existing(parts.database, row["team_id"], digests.sha256)
        await _expire(parts, row, DUPLICATE, existing)
        return None
    return digests.sha256


class _Refused(Exception):
    """The bytes may not become an image."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure


async def _fetch_as_declared(parts: Parts, row: Record, generation: int, picture: PictureFile) -> Digests:
    """Write the object into `picture` and return the digests of its bytes.

    Raises:
        _Refused: The object is larger than allowed, or is not what was declared.
        TransientFailure: Storage is unavailable, or the object is gone.
    """
    try:
        digests = await fetch(parts, parts.originals, row["object_name"], generation, picture)
    except PictureRejected as rejection:
        raise _Refused(Failure(rejection.code, rejection.message)) from rejection
    if row["declared_bytes"] is not None and (failure := _difference(row, picture, digests.sha256)):
        raise _Refused(failure)
    return digests


def _difference(row: Record, picture: PictureFile, sha256: bytes) -> Failure | None:
    """Return how the bytes of a direct upload differ from what was declared; None if they do not."""
    if picture.size_bytes != row["declared_bytes"]:
        return transitions.UPLOAD_SIZE_MISMATCH
    if row["declared_sha256"] not in (None, sha256):
        return transitions.UPLOAD_HASH_MISMATCH
    header = picture_header.detect(os.pread(picture.fileno(), PREFIX_BYTES, 0))
    if header is None:
        return transitions.NOT_AN_IMAGE
    return None if header.content_type == row["content_type"] else transitions.UPLOAD_TYPE_MISMATCH


async def _expire(parts: Parts, row: Record, failure: Failure, existing: Record | None) -> None:
    """Expire a pending row, and schedule the removal of its object, later if it replaces a lost original."""
    existing_id = None if existing is None else existing["id"]
    async with committing(parts) as transaction:
        expired = transitions.expire(row["id"], failure, existing_id).returning(image.c.revision)
        revision = await transaction.fetch_value(expired)
        if revision is None:
            return
        if existing is not None and existing["is_lost"]:
            await keep_for_replacement(transaction, row["object_name"])
        else:
            await schedule_removal(transaction, Bucket.ORIGINALS, row["object_name"], None, parts.lease)
        if failure is DUPLICATE:
            payload = {"duplicate_of": str(existing_id) if existing_id else None}
            await _record(transaction, EventType.IMAGE_DUPLICATE, row, revision, payload)


async def _record(
    transaction: Transaction, kind: EventType, row: Record, revision: int, payload: dict[str, Any] | None = None
) -> None:
    event = events.image_event(kind, row["id"], row["team_id"], revision, payload, row["trace_parent"])
    await events.record(transaction, event)
