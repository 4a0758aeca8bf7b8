"""The whole picture without metadata: `full` in addresses."""

import mmap

from image_core.delivery.rendition_requests import MOST_SOURCE_BYTES
from image_core.delivery.spec import Format
from image_delivery.grants.images import DeliveredImage
from image_engine.contract.picture_file import PictureFile
from image_engine.contract.renditions import COPIED_FORMATS, full_size_format
from image_engine.stripping.pieces import CannotStrip
from image_engine.stripping.strip import strip_metadata


def format_of_whole(image: DeliveredImage) -> Format:
    """Return the original's format where its data can be copied; of the others, the one they are encoded in anew."""
    return full_size_format(
        image.content_type,
        image.width_px or 1,
        image.height_px or 1,
        has_alpha=image.has_alpha,
        is_animated=image.frames > 1,
    )


def can_be_copied(image: DeliveredImage) -> bool:
    """Tell whether the file is one whose data can be copied, and small enough to be read here."""
    return image.content_type in COPIED_FORMATS and (image.size_bytes or 0) <= MOST_SOURCE_BYTES


def copy_without_metadata(original: PictureFile) -> bytes | None:
    """Return the file without metadata but for its colour profile and orientation; None if it cannot be copied.

    Nothing is decoded. Takes a while for large files, so call it in a thread.
    """
    with mmap.mmap(original.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            return b"".join(strip_metadata(content).parts(content))
        except CannotStrip:
            return None
