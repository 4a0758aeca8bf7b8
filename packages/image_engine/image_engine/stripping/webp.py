"""Copy a WebP, animated ones too, without metadata: pixels, the colour profile, and the orientation.

Source: RFC 9649, 2.4 (RIFF header), 2.5 to 2.7 (layouts and chunks).
"""

import struct
from collections.abc import Iterator
from itertools import islice

from image_engine.picture.exif_orientation import orientation_block, orientation_of
from image_engine.stripping.pieces import CannotStrip, Content, Pieces

_HEADER_BYTES, _CHUNK_HEAD_BYTES, _EXTENDED_BYTES, _FRAME_HEAD_BYTES = 12, 8, 10, 16
_STILL = frozenset({b"VP8 ", b"VP8L"})
_PIXELS = frozenset({*_STILL, b"ALPH", b"ANIM", b"ANMF"})
_METADATA = frozenset({b"EXIF", b"XMP "})
_PROFILE_FLAG, _ALPHA_FLAG, _EXIF_FLAG, _ANIMATION_FLAG = 0x20, 0x10, 0x08, 0x02
_MOST_CHUNKS = 20_000
_MOST_EXIF_BYTES = 1024 * 1024


def strip_webp(content: Content) -> Pieces:
    """Return the parts of a WebP that make its picture.

    Raises:
        CannotStrip: it breaks off, or has what no ordinary WebP has.
    """
    # What follows the container is no part of it.
    limit = min(len(content), struct.unpack_from("<I", content, 4)[0] + 8)
    first = content[_HEADER_BYTES : _HEADER_BYTES + 4]
    if first in _STILL:
        # The simple layout has one chunk; what else there may be is ignored by readers.
        kept = [(start, end) for _, start, end in islice(_chunks(content, _HEADER_BYTES, limit), 1)]
        return _file(content, None, 1, kept)
    if first != b"VP8X":
        raise CannotStrip("no picture")
    extended, orientation, kept = b"", 1, []
    for kind, start, end in _chunks(content, _HEADER_BYTES, limit):
        data = start + _CHUNK_HEAD_BYTES
        if kind == b"VP8X":
            extended = extended or content[data : data + _EXTENDED_BYTES]
        elif kind == b"EXIF":
            orientation = orientation_of(content[data : min(end, data + _MOST_EXIF_BYTES)])
        elif kind in _PIXELS or kind == b"ICCP":
            if kind == b"ANMF":
                _check_frame(content, data + _FRAME_HEAD_BYTES, end)
            kept.append((start, end))
    if len(extended) != _EXTENDED_BYTES:
        raise CannotStrip("no size")
    return _file(content, extended, orientation, kept)


def _file(content: Content, extended: bytes | None, orientation: int, kept: list[tuple[int, int]]) -> Pieces:
    """Source: RFC 9649, 2.7: the flags of the extended layout tell what the file holds."""
    if not any(content[start : start + 4] in {*_STILL, b"ANMF"} for start, _ in kept):
        raise CannotStrip("no pixels")
    body = Pieces()
    if extended is not None:
        flags = extended[0] & (_PROFILE_FLAG | _ALPHA_FLAG | _ANIMATION_FLAG)
        flags |= _EXIF_FLAG if orientation != 1 else 0
        # The three bytes behind the flags are reserved.
        body.add(_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + extended[4:]))
    for start, end in kept:
        body.keep(start, end)
    if orientation != 1:
        body.add(_chunk(b"EXIF", orientation_block(orientation)))
    made = Pieces()
    made.add(struct.pack("<4sI4s", b"RIFF", body.size_bytes + 4, b"WEBP"))
    made.extend(body)
    return made


def _chunks(content: Content, position: int, limit: int) -> Iterator[tuple[bytes, int, int]]:
    """Give kind, start and end of each chunk; texts may break off, pixels may not."""
    for _ in range(_MOST_CHUNKS):
        if position + _CHUNK_HEAD_BYTES > limit:
            return
        kind, size = struct.unpack_from("<4sI", content, position)
        end = position + _CHUNK_HEAD_BYTES + int(size) + size % 2
        if end > limit:
            if kind in _METADATA:
                return
            raise CannotStrip("a chunk breaks off")
        yield kind, position, end
        position = end
    raise CannotStrip("too many chunks")


def _check_frame(content: Content, position: int, limit: int) -> None:
    for kind, _, _ in _chunks(content, position, limit):
        if kind not in _PIXELS:
            raise CannotStrip(f"chunk {kind!r} in a frame")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("<4sI", kind, len(data)) + data + bytes(len(data) % 2)
