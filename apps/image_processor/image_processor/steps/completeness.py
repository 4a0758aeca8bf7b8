"""Find out from its structure alone whether a file has its end, before any codec sees it.

Codecs forgive much: of an animation that breaks off they give the frames that are whole. Formats that say how long
they are get asked here; for JPEG and TIFF the codec meets the end of the file itself.
"""

import os
import struct
from collections.abc import Callable
from mmap import ACCESS_READ, mmap

from image_core.picture_header import PictureFormat
from image_processor.rejections import PictureRejected

_GIF_EXTENSION, _GIF_FRAME, _GIF_TRAILER = 0x21, 0x2C, 0x3B


def check_complete(descriptor: int, picture_format: PictureFormat) -> None:
    """Refuse a file that breaks off.

    Raises:
        PictureRejected: with `image-truncated`.
    """
    has_end = _CHECKS.get(picture_format)
    if has_end is None or os.fstat(descriptor).st_size == 0:
        return
    with mmap(descriptor, 0, access=ACCESS_READ) as content:
        try:
            complete = has_end(content)
        except (struct.error, IndexError):
            complete = False
    if not complete:
        raise PictureRejected("image-truncated")


def _png_has_end(content: mmap) -> bool:
    """Source: PNG (Third Edition), 5.3: length, type, data and check of each chunk."""
    position = 8
    while True:
        length, kind = struct.unpack_from(">I4s", content, position)
        position = position + 12 + int(length)
        if kind == b"IEND":
            return position <= len(content)


def _webp_has_end(content: mmap) -> bool:
    """Source: RFC 9649, 2.4: the RIFF header counts all bytes after its first eight."""
    announced: int = struct.unpack_from("<I", content, 4)[0]
    return announced + 8 <= len(content)


def _heif_has_end(content: mmap) -> bool:
    """Source: ISO/IEC 14496-12, 4.2: size and type of each box; 0 for "to the end", 1 for a size of 64 bits."""
    position = 0
    while position < len(content):
        if len(content) - position < 8:
            # A few bytes of padding follow some cameras' last box.
            return True
        box_bytes: int = struct.unpack_from(">I", content, position)[0]
        if box_bytes == 0:
            return True
        if box_bytes == 1:
            box_bytes = struct.unpack_from(">Q", content, position + 8)[0]
        if box_bytes < 8:
            return False
        position += box_bytes
    return position == len(content)


def _gif_has_end(content: mmap) -> bool:
    """Source: GIF89a specification, 15 to 27: blocks of chains of sub-blocks, up to the trailer."""
    position = 13 + _color_table_bytes(content[10])
    while content[position] != _GIF_TRAILER:
        if content[position] == _GIF_EXTENSION:
            position = _skip_sub_blocks(content, position + 2)
        elif content[position] == _GIF_FRAME:
            position = _skip_sub_blocks(content, position + 11 + _color_table_bytes(content[position + 9]))
        else:
            # Not a block at all: damaged, which the decoder judges, but not broken off.
            return True
    return True


def _color_table_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_sub_blocks(content: mmap, position: int) -> int:
    while content[position]:
        position += 1 + content[position]
    return position + 1


_CHECKS: dict[PictureFormat, Callable[[mmap], bool]] = {
    "png": _png_has_end,
    "webp": _webp_has_end,
    "gif": _gif_has_end,
    "avif": _heif_has_end,
    "heic": _heif_has_end,
}
