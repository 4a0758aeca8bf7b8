"""Copy a JPEG without metadata: tables and scans, the colour profile, and the orientation.

Source: ITU-T T.81, annex B (segments); ITU-T T.871 (JFIF); ICC.1:2022, annex B.4; Exif 2.32, 4.7.
"""

import re
import struct

from image_engine.picture.exif_orientation import orientation_block, orientation_of
from image_engine.stripping.pieces import CannotStrip, Content, Pieces

_START, _END, _SCAN, _FILLING = 0xD8, 0xD9, 0xDA, 0xFF
_APP0, _APP1, _APP2, _APP14, _APP15, _COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
# Frames that are coded by themselves, tables, and restart intervals; hierarchical files build on further frames.
_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA, 0xCB})
_TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDC, 0xDD})
# Within a scan 0 follows a byte of 255 that is data, and D0 to D7 mark its parts.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_MOST_SEGMENTS = 10_000
_JFIF, _EXIF, _PROFILE, _ADOBE = b"JFIF\x00", b"Exif\x00", b"ICC_PROFILE\x00", b"Adobe"
# Version 1.1, square pixels, no preview.
_PLAIN_JFIF = b"\xff\xe0" + struct.pack(">H5s2sBHHBB", 16, _JFIF, b"\x01\x01", 0, 1, 1, 0, 0)
_ADOBE_BYTES = 12


def strip_jpeg(content: Content) -> Pieces:
    """Return the parts of a JPEG that make its picture. What follows its end mark is left out; a missing one is added.

    Raises:
        CannotStrip: it breaks off, or has what no ordinary JPEG has.
    """
    head = _Head()
    rest, position, has_scan = Pieces(), 2, False
    for _ in range(_MOST_SEGMENTS):
        marker, position = _next_marker(content, position)
        if marker == _END or (marker is None and has_scan):
            return _file(head, rest, has_scan=has_scan)
        if marker is None:
            break
        end = position + _length(content, position)
        if marker == _SCAN:
            # The scan's data belongs to it, as far as the next marker.
            following = _NEXT_MARKER.search(content, end)
            end = following.start() if following else len(content)
            has_scan = True
        if marker in _FRAMES or marker in _TABLES or marker == _SCAN:
            rest.keep(position - 2, end)
        elif _APP0 <= marker <= _APP15:
            head.read(marker, content, position, end)
        elif marker != _COMMENT:
            raise CannotStrip(f"marker {marker:x}")
        position = end
    raise CannotStrip("no end")


class _Head:
    """What comes before tables and scans, of the segments that applications write."""

    def __init__(self) -> None:
        self.has_jfif = False
        self.orientation: int | None = None
        self.adobe = b""
        self.profile: list[tuple[int, int]] = []

    def read(self, marker: int, content: Content, start: int, end: int) -> None:
        """Take what is kept of a segment; `start` is where its length stands."""
        data = start + 2
        if marker == _APP0 and content[data : data + len(_JFIF)] == _JFIF:
            self.has_jfif = True
        elif marker == _APP1 and content[data : data + len(_EXIF)] == _EXIF:
            if self.orientation is None:
                self.orientation = orientation_of(content[data:end])
        elif marker == _APP2 and content[data : data + len(_PROFILE)] == _PROFILE:
            self.profile.append((start - 2, end))
        elif marker == _APP14 and content[data : data + len(_ADOBE)] == _ADOBE and end - data >= _ADOBE_BYTES:
            # It tells how the colours are coded. Nothing may hide behind it.
            self.adobe = content[data : data + _ADOBE_BYTES]


def _file(head: _Head, rest: Pieces, *, has_scan: bool) -> Pieces:
    if not has_scan:
        raise CannotStrip("no scan")
    made = Pieces()
    made.add(b"\xff\xd8")
    if head.has_jfif:
        made.add(_PLAIN_JFIF)
    if head.orientation not in {None, 1}:
        made.add(_segment(_APP1, b"Exif\x00\x00" + orientation_block(head.orientation or 1)))
    for start, end in head.profile:
        made.keep(start, end)
    if head.adobe:
        made.add(_segment(_APP14, head.adobe))
    made.extend(rest)
    made.add(b"\xff\xd9")
    return made


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _next_marker(content: Content, position: int) -> tuple[int | None, int]:
    """Return the marker at a place and where it ends; None at the end of the file."""
    start = position
    while position < len(content) and content[position] == _FILLING:
        position += 1
    if position >= len(content):
        return None, position
    if position == start:
        raise CannotStrip("no marker where one belongs")
    return content[position], position + 1


def _length(content: Content, position: int) -> int:
    if position + 2 > len(content):
        raise CannotStrip("a segment breaks off")
    length = content[position] << 8 | content[position + 1]
    if length < 2 or position + length > len(content):
        raise CannotStrip("a segment breaks off")
    return length
