"""Take the metadata out of a file without touching its compressed pixels.

Nothing here decodes, so that it may run beside a service: the time is linear in the file's segments, whose number is
bounded, and no more memory is taken than for their places.
"""

import struct
from collections.abc import Callable

from image_core.images.picture_header import PictureFormat, detect
from image_engine.stripping.jpeg import strip_jpeg
from image_engine.stripping.pieces import CannotStrip, Content, Pieces
from image_engine.stripping.png import strip_png
from image_engine.stripping.webp import strip_webp

_DETECTION_BYTES = 64
_STRIPPERS: dict[PictureFormat, Callable[[Content], Pieces]] = {
    "jpeg": strip_jpeg,
    "png": strip_png,
    "webp": strip_webp,
}


def strip_metadata(content: Content) -> Pieces:
    """Return the same picture at full size without metadata, but for its colour profile and its orientation.

    Of JPEG, PNG and WebP only. Other formats, and files that cannot be taken apart, have to be encoded anew
    (`image_engine.contract.renditions.full_size_request`).

    Raises:
        CannotStrip: for all of those, and for nothing else.
    """
    header = detect(content[:_DETECTION_BYTES])
    strip = None if header is None else _STRIPPERS.get(header.format)
    if strip is None:
        raise CannotStrip("a format that is not copied")
    try:
        return strip(content)
    except (struct.error, IndexError) as error:
        raise CannotStrip("a part breaks off") from error
