"""Completing an image whose upload went straight to storage: its row gets size and hash from the bytes themselves."""

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
    """Bring a row from pending to stored, and return its SHA-256; None where it had to expire.

    Raises:
        Passing: storage is away, or the object is gone.
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
        twin_id = await queries.find_twin(parts.database, row["team_id"], sha256)
        await _expire(parts, row, DUPLICATE, twin_id)
        return None
    return sha256


async def _expire(parts: Parts, row: Record, failure: Failure, twin_id: UUID | None) -> None:
    """Expire a pending row, and have the sweep remove its object."""
    async with parts.database.transaction() as transaction:
        if await transaction.execute(transitions.expire(row["id"], failure, twin_id)):
            await schedule_removal(transaction, Bucket.ORIGINALS, row["object_name"], None, parts.lease)
