"""What of an image is analyzed."""

from image_api.analyses.queries import ContentKey
from image_core import errors
from image_core.db import Record
from image_core.states import HOLDS_BYTES, ImageStatus


def content_key(row: Record | None) -> ContentKey:
    """Return the content of an image that was found, or raise why it cannot be analyzed.

    Raises:
        errors.ImageNotFound: The image does not exist.
        errors.ImageNotReady: The image is not ready.
        errors.ImageNotDecodable: The image cannot be decoded.
    """
    if row is None:
        raise errors.ImageNotFound
    if row["deleted_at"] is not None:
        raise errors.ImageNotFound("The image is in the trash. Restore it first.")
    if row["status"] not in HOLDS_BYTES:
        raise errors.ImageNotReady(
            f"The image file has not been received: its status is {row['status']}. Wait and try again."
        )
    if row["status"] == ImageStatus.FAILED:
        raise errors.ImageNotDecodable(row["failure_message"] or "", reason=row["failure_code"])
    return ContentKey(row["team_id"], row["sha256"])
