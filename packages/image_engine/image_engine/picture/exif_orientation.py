"""The orientation in an EXIF block, read and written. No codec is loaded by it."""

import struct

from image_engine.picture.camera_values import number_of
from image_engine.picture.tiff_directories import Directories

_ORIENTATION = 0x0112


def orientation_of(block: bytes) -> int:
    """Return the orientation in an EXIF block, 1 where there is none. Never raises."""
    try:
        value = number_of(Directories(block).picture.get(_ORIENTATION))
    except (struct.error, ValueError, OverflowError):
        return 1
    return int(value) if value is not None and 1 <= value <= 8 else 1


def orientation_block(orientation: int) -> bytes:
    """Return a block that holds an orientation and nothing else, from its TIFF header on.

    Source: Exif 2.32, 4.6.2 and 4.6.4: one directory with one entry of one short number, and no further directory.
    """
    return struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, _ORIENTATION, 3, 1, orientation, 0, 0)
