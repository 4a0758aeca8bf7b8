"""Ranges and validators of stored content, as plain functions that every service uses."""

import re
from typing import NamedTuple

from image_core import errors

MOST_COUNTED_BYTES = 31 * 1024 * 1024
"""Longer bodies are sent in chunks without Content-Length: Cloud Run rejects a longer response that states its size."""
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


class ByteRange(NamedTuple):
    """The first and the last byte, both included."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """The number of bytes."""
        return self.end - self.start + 1


def parse_range(header: str | None, size_bytes: int) -> ByteRange | None:
    """Return the requested range; None means the whole content, also for anything that is not a single byte range.

    Source: RFC 9110, section 14.

    Raises:
        errors.RangeNotSatisfiable: The range is empty or starts beyond the end.
    """
    match = _RANGE.fullmatch(header) if header and len(header) <= 100 else None
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        length = min(int(last), size_bytes)
        if length == 0:
            raise errors.RangeNotSatisfiable("Range not valid: it is empty.", size_bytes=size_bytes)
        return ByteRange(size_bytes - length, size_bytes - 1)
    start, end = int(first), min(int(last), size_bytes - 1) if last else size_bytes - 1
    if last and int(last) < start:
        return None
    if start >= size_bytes:
        raise errors.RangeNotSatisfiable(
            f"Range not valid: it starts beyond the end of the file ({size_bytes} bytes).", size_bytes=size_bytes
        )
    return ByteRange(start, end)


def matches(header: str, entity_tag: str) -> bool:
    """Return whether an If-None-Match header contains this tag; weak comparison, as RFC 9110 requires."""
    return header.strip() == "*" or any(tag.strip().removeprefix("W/") == entity_tag for tag in header.split(","))
