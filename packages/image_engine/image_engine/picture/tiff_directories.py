"""Read the tags of an EXIF block or a whole TIFF file: the same structure, in either byte order, including BigTIFF."""

import math
import struct
from collections.abc import Mapping
from mmap import mmap
from typing import Any

TagValue = bytes | tuple[float, ...]
Tags = Mapping[int, TagValue]

XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG = 0x02BC, 0x83BB, 0x8649

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8, 129: 1}
_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MAX_ENTRIES = 512
_MAX_VALUE_BYTES = 4096
_MAX_PACKET_BYTES = 2 * 1024 * 1024
_PACKET_TAGS = {XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG}
_EXIF_DIRECTORY, _GPS_DIRECTORY = 0x8769, 0x8825
_MARKS = {b"II*\x00": ("<", False), b"MM\x00*": (">", False), b"II+\x00": ("<", True), b"MM\x00+": (">", True)}
# Containers put "Exif" and padding or an offset before the header.
_MAX_PREFIX_BYTES = 16


class Directories:
    """The relevant directories: the first picture's with EXIF's (`picture`), and GPS's (`gps`). Values by tag."""

    def __init__(self, block: bytes | mmap) -> None:
        """Read the directories.

        Raises:
            ValueError, struct.error, OverflowError: There is no TIFF header, or its offset is invalid.
        """
        self._block = block
        self._start, (self._order, self._big) = _find_header(block)
        first = self._read(self._unpack("Q", 8)[0] if self._big else self._unpack("I", 4)[0])
        # Some writers leave EXIF's tags in the first directory, as TIFF/EP does.
        self.picture: Tags = {**first, **self._read_linked(first, _EXIF_DIRECTORY)}
        self.gps: Tags = self._read_linked(first, _GPS_DIRECTORY)

    def _unpack(self, layout: str, offset: int) -> tuple[Any, ...]:
        return struct.unpack_from(self._order + layout, self._block, self._start + offset)

    def _read_linked(self, first: Tags, tag: int) -> Tags:
        link = first.get(tag)
        return self._read(int(link[0])) if isinstance(link, tuple) and math.isfinite(link[0]) else {}

    def _read(self, offset: int) -> dict[int, TagValue]:
        count_layout, entry_bytes, head_layout = ("Q", 20, "HHQ") if self._big else ("H", 12, "HHI")
        count_bytes, head_bytes = (8, 12) if self._big else (2, 8)
        found: dict[int, TagValue] = {}
        if self._lacks(offset, count_bytes):
            return found
        for index in range(min(self._unpack(count_layout, offset)[0], _MAX_ENTRIES)):
            entry = offset + count_bytes + entry_bytes * index
            if self._lacks(entry, entry_bytes):
                break
            tag, kind, count = self._unpack(head_layout, entry)
            value = self._value(tag, kind, count, entry + head_bytes)
            if value is not None:
                found.setdefault(tag, value)
        return found

    def _value(self, tag: int, kind: int, count: int, offset: int) -> TagValue | None:
        size_bytes = _SIZES.get(kind, 0) * count
        if not 0 < size_bytes <= (_MAX_PACKET_BYTES if tag in _PACKET_TAGS else _MAX_VALUE_BYTES):
            return None
        if size_bytes > (8 if self._big else 4):
            offset = self._unpack("Q" if self._big else "I", offset)[0]
        if self._lacks(offset, size_bytes):
            return None
        if tag not in _PACKET_TAGS and kind in _NUMBERS:
            return self._unpack(f"{count}{_NUMBERS[kind]}", offset)
        if kind in {5, 10}:
            parts = self._unpack(f"{2 * count}{'I' if kind == 5 else 'i'}", offset)
            return tuple(a / b if b else math.nan for a, b in zip(parts[::2], parts[1::2], strict=True))
        return bytes(self._block[self._start + offset : self._start + offset + size_bytes])

    def _lacks(self, offset: int, size_bytes: int) -> bool:
        return self._start + offset + size_bytes > len(self._block)


def _find_header(block: bytes | mmap) -> tuple[int, tuple[str, bool]]:
    prefix = block[: _MAX_PREFIX_BYTES + 4]
    for start in range(len(prefix) - 3):
        if prefix[start : start + 4] in _MARKS:
            return start, _MARKS[prefix[start : start + 4]]
    raise ValueError("there is no TIFF header")
