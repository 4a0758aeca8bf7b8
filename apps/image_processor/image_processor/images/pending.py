"""Completion of an image whose row is still pending: size and hash are taken from the stored bytes."""

from uuid import UUID

from image_core.db import Record, UniqueViolation
from image_core.images import transitions
from image_core.images.discards import schedule_removal
from image_core.images.object_names import Bucket
from image_core.images.transitions import DUPLICATE
from image_core.states import Failure
from image_engine.contract.picture_file import PictureFile
from image_engine.contract.rejections import PictureRejected
from image_processor.images import queries
from image_processor.parts import Parts, fetch


async def complete_pending(parts: Parts, row: Record, generation: int, picture: PictureFile) -> bytes | None:
    """Move a row from pending to stored and return its SHA-256; return None if it had to expire.

    Raises:
        TransientFailure: Storage is unavailable, or the object is gone.
    """
    try:
        sha256 = await fetch(parts, parts.originals, row["object_name"], generation, picture)
    except PictureRejected as rejection:
        await _expire(parts, row, Failure(rejection.code, rejection.message), None)
        return None
    try:
        async with parts.database.transaction() as transaction:
            await queries.mark_stored(transaction, row["id"], generation, picture.size_bytes, sha256)
    except UniqueViolation:
        existing_id = await queries.find_existing(parts.database, row["team_id"], sha256)
        await _expire(parts, row, DUPLICATE, existing_id)
        return None
    return sha256


async def _expire(parts: Parts, row: Record, failure: Failure, existing_id: UUID | None) -> None:
    """Expire a pending row, and schedule the removal of its object."""
    async with parts.database.transaction() as transaction:
        if await transaction.execute(transitions.expire(row["id"], failure, existing_id)):
            await schedule_removal(transaction, Bucket.ORIGINALS, row["object_name"], None, parts.lease)
