"""Which images can be exported."""

from image_core import errors
from image_core.db import Record

EXPORT = "export"
"""The kind of operation."""


def why_not_exported(row: Record | None) -> errors.AppError | None:
    """Return why an image cannot be exported; None if it can. The row has `is_shown`, `status` and `deleted_at`."""
    if row is None or row["status"] is None:
        return errors.ImageNotFound("The image does not exist.")
    if row["deleted_at"] is not None:
        return errors.ImageNotFound("The image is in the trash. Restore it first.")
    if not row["is_shown"]:
        return errors.ImageNotReady(f"The image is not ready: its status is {row['status']}.")
    return None
