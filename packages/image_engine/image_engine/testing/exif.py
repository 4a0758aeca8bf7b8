"""EXIF blocks written tag by tag, with types and values that no library would write."""

import struct
from collections.abc import Mapping

Entry = tuple[int, int, bytes]
"""Type, count and the value's bytes, big-endian."""


def ascii_text(text: bytes) -> Entry:
    """Return a text unchanged, including its NUL."""
    return 2, len(text), text


def short(*numbers: int) -> Entry:
    """Return 16-bit numbers."""
    return 3, len(numbers), struct.pack(f">{len(numbers)}H", *numbers)


def rational(*fractions: tuple[int, int]) -> Entry:
    """Return unsigned fractions."""
    return 5, len(fractions), b"".join(struct.pack(">II", *fraction) for fraction in fractions)


def block(
    exif: Mapping[int, Entry] | None = None,
    *,
    first: Mapping[int, Entry] | None = None,
    gps: Mapping[int, Entry] | None = None,
) -> bytes:
    """Return a big-endian block with the three directories."""
    exif, gps = exif or {}, gps or {}
    links = {0x8769: (4, 1, bytes(4)), 0x8825: (4, 1, bytes(4))}
    exif_at = 8 + len(_directory({**(first or {}), **links}, 8))
    gps_at = exif_at + len(_directory(exif, exif_at))
    links = {0x8769: (4, 1, struct.pack(">I", exif_at)), 0x8825: (4, 1, struct.pack(">I", gps_at))}
    head = b"MM\x00*" + struct.pack(">I", 8) + _directory({**(first or {}), **links}, 8)
    return head + _directory(exif, exif_at) + _directory(gps, gps_at)


def _directory(entries: Mapping[int, Entry], position: int) -> bytes:
    values_at = position + 6 + 12 * len(entries)
    rows, values = struct.pack(">H", len(entries)), b""
    for tag, (kind, count, content) in sorted(entries.items()):
        if len(content) <= 4:
            rows += struct.pack(">HHI", tag, kind, count) + content.ljust(4, b"\x00")
        else:
            rows += struct.pack(">HHII", tag, kind, count, values_at + len(values))
            values += content
    return rows + bytes(4) + values
