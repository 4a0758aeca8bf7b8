"""Open a picture of any format, and convert a codec's failures to rejections."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyvips

from image_core.images.picture_header import PictureFormat
from image_engine.contract.rejections import PictureRejected
from image_engine.picture.completeness import check_complete
from image_engine.picture.memory_room import has_room_for
from image_engine.picture.open_errors import rejection_of
from image_engine.picture.open_heic import open_heic
from image_engine.picture.open_picture import open_picture
from image_engine.picture.open_tiff import open_tiff
from image_engine.picture.stored_picture import StoredPicture

# The maximum that any decoder holds of a picture, for as many pixels as its kind may have.
_HELD_BYTES_PER_PIXEL = 8


def open_stored(descriptor: int, picture_format: PictureFormat) -> StoredPicture:
    """Find out whether all pixels of a file of any format are there, and read its header.

    Raises:
        PictureRejected, pyvips.Error: pixels are missing (`image-truncated`), or the header is broken.
    """
    may_need_mending = check_complete(descriptor, picture_format)
    if picture_format == "heic":
        return open_heic(descriptor)
    if picture_format == "tiff":
        return open_tiff(descriptor)
    return open_picture(descriptor, picture_format, may_need_mending=may_need_mending)


@contextmanager
def decode_errors_as_rejections() -> Iterator[None]:
    """Convert codec errors raised in the block to rejections.

    Raises:
        PictureRejected: Instead of `pyvips.Error` and `MemoryError`.
    """
    try:
        yield
    except pyvips.Error as error:
        raise rejection_of(f"{error.message} {error.detail}") from error
    except MemoryError:
        raise PictureRejected("picture-too-much-memory") from None


@contextmanager
def reporting_lack_of_memory(stored: StoredPicture) -> Iterator[None]:
    """Report lack of memory as such, and not as damage, for decoders that do not distinguish them.

    Raises:
        PictureRejected, pyvips.Error: Unchanged, except that `image-undecodable` becomes `picture-too-much-memory`
            if the
            process has no room for such a picture.
    """
    try:
        yield
    except (pyvips.Error, PictureRejected) as error:
        rejection = rejection_of(str(error)) if isinstance(error, pyvips.Error) else error
        needed_bytes = stored.width_px * stored.height_px * _HELD_BYTES_PER_PIXEL
        if rejection.code == "image-undecodable" and not has_room_for(needed_bytes):
            raise PictureRejected("picture-too-much-memory") from error
        raise
