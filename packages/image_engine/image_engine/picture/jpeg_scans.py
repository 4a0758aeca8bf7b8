"""Read the scans of a JPEG file, to recognise a complete one that lacks its end mark."""

import re
import struct
from collections.abc import Iterator
from mmap import mmap

_START_MARK = b"\xff\xd8"
_START_OR_END = re.compile(rb"\xff[\xd8\xd9]")
_SCAN = 0xDA
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA}
_ALL_COEFFICIENTS = frozenset(range(64))
# Within a scan, 0 after a byte of 255 marks it as data, and D0 to D7 are restart markers.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def has_end_mark(content: mmap) -> bool:
    """Return whether an end mark follows the first scan, before any other picture. False for a file without a scan."""
    scan = _first_scan(content)
    mark = None if scan is None else _START_OR_END.search(content, scan)
    return mark is not None and mark[0] != _START_MARK


def start_of_next_picture(content: mmap) -> int:
    """Return the offset of another JPEG after the first scan, as in phones' files, or else the file's end."""
    scan = _first_scan(content)
    following = -1 if scan is None else content.find(_START_MARK, scan)
    return len(content) if following < 0 else following


def has_every_scan(content: mmap) -> bool:
    """Return whether the scans bring every coefficient of every component in full.

    The last scan may still be truncated.

    Source: ITU-T T.81, B.2.2 and B.2.3; G.1.1.1 for successive approximation.
    """
    components: set[int] = set()
    full: dict[int, set[int]] = {}
    for marker, position in _segments(content):
        if marker in _FRAMES:
            count = content[position + 9]
            components = {content[position + 10 + 3 * index] for index in range(count)}
        elif marker == _SCAN:
            count = content[position + 4]
            first, last, approximation = content[position + 5 + 2 * count : position + 8 + 2 * count]
            if approximation & 15 == 0:
                for index in range(count):
                    found = full.setdefault(content[position + 5 + 2 * index], set())
                    # In a lossless scan the field of the first coefficient names the predictor.
                    found.update(range(first, last + 1) if last else (0,))
    if not components or not all(component in full for component in components):
        return False
    sequential = not any(marker in {0xC2, 0xCA} for marker, _ in _segments(content))
    return sequential or all(full[component] >= _ALL_COEFFICIENTS for component in components)


def _first_scan(content: mmap) -> int | None:
    return next((position for marker, position in _segments(content) if marker == _SCAN), None)


def _segments(content: mmap) -> Iterator[tuple[int, int]]:
    """Yield each marker of the first picture that has a length, with its offset."""
    position = 2
    while position + 4 <= len(content):
        if content[position] != 0xFF:
            return
        marker = content[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker in {0xD8, 0xD9}:
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            position += 2
            continue
        yield marker, position
        position += 2 + max(2, struct.unpack_from(">H", content, position + 2)[0])
        if marker == _SCAN:
            following = _NEXT_MARKER.search(content, position)
            if following is None:
                return
            position = following.start()
