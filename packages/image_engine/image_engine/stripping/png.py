"""Copy a PNG, animated ones too, without metadata: pixels, colours, and the orientation.

Source: PNG (Third Edition), 5.3 (chunks) and 11.3 (ancillary chunks).
"""

import struct
import zlib

from image_engine.picture.exif_orientation import orientation_block, orientation_of
from image_engine.picture.png_blocks import read_png_blocks
from image_engine.stripping.pieces import CannotStrip, Content, Pieces

_SIGNATURE_BYTES, _HEADER_END = 8, 33
_PIXELS = frozenset({b"PLTE", b"IDAT", b"tRNS", b"acTL", b"fcTL", b"fdAT"})
_COLORS = frozenset({b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP", b"mDCV", b"cLLI"})
_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
_MOST_CHUNKS = 100_000
# A letter in lower case says that a chunk may be ignored.
_ANCILLARY = 0x20


def strip_png(content: Content) -> Pieces:
    """Return the parts of a PNG that make its picture. What follows its end is left out; a missing one is added.

    Raises:
        CannotStrip: it breaks off, or has what no ordinary PNG has.
    """
    if content[12:16] != b"IHDR":
        raise CannotStrip("no header")
    made, position, has_pixels = Pieces(), _HEADER_END, False
    made.keep(0, _HEADER_END)
    orientation = orientation_of(read_png_blocks(content).get("exif", b""))
    if orientation != 1:
        made.add(_chunk(b"eXIf", orientation_block(orientation)))
    for _ in range(_MOST_CHUNKS):
        if position == len(content):
            break
        kind, end = _read_chunk(content, position)
        if kind == b"IEND":
            break
        if kind in _PIXELS or kind in _COLORS:
            made.keep(position, end)
            has_pixels = has_pixels or kind == b"IDAT"
        elif not kind[0] & _ANCILLARY:
            raise CannotStrip(f"chunk {kind!r}")
        position = end
    else:
        raise CannotStrip("too many chunks")
    if not has_pixels:
        raise CannotStrip("no pixels")
    made.add(_END)
    return made


def _read_chunk(content: Content, position: int) -> tuple[bytes, int]:
    if position + 12 > len(content):
        raise CannotStrip("a chunk breaks off")
    length, kind = struct.unpack_from(">I4s", content, position)
    end = position + 12 + int(length)
    if end > len(content) and kind != b"IEND":
        raise CannotStrip("a chunk breaks off")
    return kind, end


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
