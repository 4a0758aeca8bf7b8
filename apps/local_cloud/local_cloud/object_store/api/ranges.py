"""The `Range` header of a download and the `Content-Range` header of an upload."""

import re
from dataclasses import dataclass

from local_cloud.object_store.errors import invalid, range_not_satisfiable

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


def requested_span(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """Return first byte and length of a single range, or `None` to send everything.

    A header that is not a single byte range is ignored, as RFC 9110 requires.

    Raises:
        StoreError: 416, no byte of the object is in the range.
    """
    match = _RANGE.fullmatch((header or "").strip())
    if match is None or match.groups() == ("", ""):
        return None
    first_text, last_text = match.groups()
    if not first_text:
        length = min(int(last_text), size_bytes)
        if length == 0:
            raise range_not_satisfiable(size_bytes)
        return size_bytes - length, length
    first = int(first_text)
    last = min(int(last_text), size_bytes - 1) if last_text else size_bytes - 1
    if last_text and int(last_text) < first:
        return None
    if first >= size_bytes:
        raise range_not_satisfiable(size_bytes)
    return first, last - first + 1


@dataclass(frozen=True)
class ContentRange:
    """The part of the whole that a request carries; without `first` it carries nothing and queries the progress."""

    first: int | None
    last: int | None
    total: int | None

    @property
    def is_query(self) -> bool:
        """Whether the request carries no bytes."""
        return self.first is None


def content_range(header: str | None) -> ContentRange | None:
    """Parse `bytes 0-9/20`, `bytes 0-9/*`, `bytes */20` or `bytes */*`; `None` without a header."""
    if header is None:
        return None
    match = _CONTENT_RANGE.fullmatch(header.strip())
    if match is None:
        raise invalid(f"Failed to parse Content-Range header: {header}")
    first, last, total = match.groups()
    parsed = ContentRange(
        int(first) if first else None, int(last) if last else None, int(total) if total != "*" else None
    )
    if parsed.first is not None and parsed.last is not None and parsed.last < parsed.first:
        raise invalid(f"Invalid Content-Range header: {header}")
    return parsed
