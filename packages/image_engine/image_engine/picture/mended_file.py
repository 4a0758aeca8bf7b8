"""Complete the bytes of a file whose end is missing, if a codec would reject a complete picture because of that."""

import struct
from mmap import ACCESS_READ, mmap

import pyvips

from image_core.images.picture_header import PictureFormat
from image_engine.picture.gif_blocks import missing_end
from image_engine.picture.jpeg_scans import has_end_mark, start_of_next_picture

_JPEG_END_MARK = b"\xff\xd9"
# An unlikely bit pattern; no byte of it can be mistaken for a marker.
_OTHER_DATA = b"\x5a\xa5\x3c\xc3\x69" * 16
# A longer run of equal bytes at the end comes from a download that was interrupted in a preallocated file.
_FILLING_BYTES = 256


def mended_bytes(descriptor: int, picture_format: PictureFormat) -> bytes | None:
    """Return the bytes to decode instead of the file; None if the file needs no mending."""
    if picture_format not in {"jpeg", "webp", "gif"}:
        return None
    with mmap(descriptor, 0, access=ACCESS_READ) as content:
        if picture_format == "gif":
            tail = missing_end(content)
            return content[:] + tail if tail else None
        if picture_format == "jpeg":
            return None if has_end_mark(content) else _without_half_a_mark(content) + _JPEG_END_MARK
        announced = struct.unpack_from("<I", content, 4)[0] + 8
        return _mended_webp(content) if announced > len(content) else None


def jpeg_ignores_appended_bytes(descriptor: int) -> bool:
    """Return whether all pixels of a JPEG without an end mark are present: then appended bytes cannot change them.

    libjpeg fills in missing data and continues; its warning comes too late for the last rows. A file that cannot be
    decoded even so lacks pixels, too.
    """
    with mmap(descriptor, 0, access=ACCESS_READ) as whole_file:
        scans = _without_half_a_mark(whole_file)
    try:
        first, second = (
            pyvips.Image.jpegload_buffer(content + _JPEG_END_MARK, access="sequential", fail_on="error")
            for content in (scans, _without_filling(scans) + _OTHER_DATA)
        )
        return bool((first != second).max() == 0)
    except pyvips.Error:
        return False


def _without_half_a_mark(content: mmap) -> bytes:
    size_bytes = start_of_next_picture(content)
    while size_bytes > 2 and content[size_bytes - 1] == 0xFF:
        size_bytes -= 1
    return content[:size_bytes]


def _without_filling(content: bytes) -> bytes:
    bare = content.rstrip(content[-1:])
    return bare + content[-1:] if len(content) - len(bare) >= _FILLING_BYTES else content


def _mended_webp(content: mmap) -> bytes:
    """Let the header declare what is present: the complete chunks. Source: RFC 9649, 2.4."""
    position = 12
    while position + 8 <= len(content):
        (length,) = struct.unpack_from("<I", content, position + 4)
        if position + 8 + length > len(content):
            break
        position += 8 + length + length % 2
    filling = bytes(max(0, position - len(content)))
    return content[:4] + struct.pack("<I", position - 8) + content[8:position] + filling
