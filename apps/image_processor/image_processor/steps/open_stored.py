"""Open a picture of any format, and pass a codec's failures on as rejections."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyvips

from image_core.picture_header import PictureFormat
from image_processor.rejections import PictureRejected
from image_processor.steps.open_errors import rejection_of
from image_processor.steps.open_heic import open_heic
from image_processor.steps.open_picture import open_picture
from image_processor.steps.open_tiff import open_tiff
from image_processor.steps.stored_picture import StoredPicture


def open_stored(descriptor: int, picture_format: PictureFormat, longest_side_px: int) -> StoredPicture:
    """Read the header; pixels come at a reduced size where `longest_side_px` and the format allow that.

    Raises:
        PictureRejected, pyvips.Error: the header is broken.
    """
    if picture_format == "heic":
        return open_heic(descriptor, longest_side_px)
    if picture_format == "tiff":
        return open_tiff(descriptor)
    return open_picture(descriptor, picture_format, longest_side_px)


@contextmanager
def rejecting_what_cannot_be_decoded() -> Iterator[None]:
    """Turn what a codec raises within into a rejection.

    Raises:
        PictureRejected: in the place of `pyvips.Error` and `MemoryError`.
    """
    try:
        yield
    except pyvips.Error as error:
        raise rejection_of(f"{error.message} {error.detail}") from error
    except MemoryError:
        raise PictureRejected("picture-too-much-memory") from None
