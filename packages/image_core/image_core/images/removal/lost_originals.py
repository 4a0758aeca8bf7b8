"""Originals that were lost, and the uploads of the same bytes that replace them.

Such an upload ends as a duplicate, like any other. Its object is kept for a while instead of being removed at once, so
that image-tasks, which may remove objects, can make it the original of the image.
"""

from datetime import timedelta

from sqlalchemy import and_, literal_column, or_

from image_core.db import Transaction
from image_core.images.discards import schedule_removal
from image_core.images.object_names import Bucket
from image_core.models import image
from image_core.states import Failure, ImageStatus

MISSING = Failure("original-missing", "The original is gone from storage. Upload the file again.")
CHANGED = Failure("original-changed", "The object in storage is not the one that was stored. Upload the file again.")
NO_ROOM = Failure("storage-quota-exceeded", "Storage quota exceeded: this is not the file of a lost original.")
"""The failure of an upload that was let in at a full quota and has other bytes."""
CODES = (MISSING.code, CHANGED.code)
"""The codes of failures after which only a new upload helps."""
STEP = "originals_replaced"
"""The step of image-tasks that replaces originals."""
KEPT_FOR = timedelta(days=1)
"""How long the object of an upload waits for the step."""

IS_LOST = and_(
    image.c.status == literal_column(f"'{ImageStatus.FAILED}'"),
    or_(*(image.c.failure_code == literal_column(f"'{code}'") for code in CODES)),
)
"""The images that wait for an upload of the same bytes."""
IS_REPLACEMENT = image.c.duplicate_of.is_not(None)
"""Of pending images: those that were let in at a full quota, for the bytes of the image that they name only."""


async def keep_for_replacement(transaction: Transaction, object_name: str) -> None:
    """Keep the object of an upload that has the bytes of a lost original, and remove it afterwards."""
    await schedule_removal(transaction, Bucket.ORIGINALS, object_name, None, KEPT_FOR)
