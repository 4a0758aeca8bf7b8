"""Bytes on their way out: ranges, validators, and headers that keep a browser from running what it is given."""

import re
from collections.abc import AsyncIterator
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from image_core import errors
from image_core.images import filenames
from image_core.storage.protocol import ObjectMissing, ObjectStorage, content_chunks

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


class Content(NamedTuple):
    """An object to be served; `sha256` is its entity tag."""

    name: str
    generation: int | None
    size_bytes: int
    sha256: bytes
    content_type: str
    filename: str


class ByteRange(NamedTuple):
    """The first and the last byte, both included."""

    start: int
    end: int


def parse_range(header: str | None, size_bytes: int) -> ByteRange | None:
    """The one range that is asked for; None means the whole, also for anything that is not a single byte range.

    Raises `errors.RangeNotSatisfiable`. Source: RFC 9110, section 14.
    """
    match = _RANGE.fullmatch(header) if header and len(header) <= 100 else None
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        length = min(int(last), size_bytes)
        if length == 0:
            raise errors.RangeNotSatisfiable("The requested range is empty.", size_bytes=size_bytes)
        return ByteRange(size_bytes - length, size_bytes - 1)
    start, end = int(first), min(int(last), size_bytes - 1) if last else size_bytes - 1
    if last and int(last) < start:
        return None
    if start >= size_bytes:
        raise errors.RangeNotSatisfiable(
            f"Range starts beyond the end of the content ({size_bytes} bytes).", size_bytes=size_bytes
        )
    return ByteRange(start, end)


def matches(header: str, entity_tag: str) -> bool:
    """Whether an If-None-Match header names this tag; weak comparison, as RFC 9110 asks for it."""
    return header.strip() == "*" or any(tag.strip().removeprefix("W/") == entity_tag for tag in header.split(","))


def _headers(content: Content, entity_tag: str) -> dict[str, str]:
    return {
        "etag": entity_tag,
        "accept-ranges": "bytes",
        # The bytes under an image's id never change, but the right to see them may end: copies are asked about.
        "cache-control": "private, no-cache",
        "content-disposition": filenames.to_disposition(content.filename),
        "content-security-policy": "default-src 'none'; sandbox",
    }


async def serve(request: Request, storage: ObjectStorage, content: Content) -> Response:
    """The answer to a GET or HEAD. Raises `errors.RangeNotSatisfiable`, `errors.StorageUnavailable`."""
    entity_tag = f'"{content.sha256.hex()}"'
    headers = _headers(content, entity_tag)
    if (none_match := request.headers.get("if-none-match")) and matches(none_match, entity_tag):
        return Response(status_code=304, headers=headers)
    if_range = request.headers.get("if-range")
    # Ranges are defined for GET alone. Source: RFC 9110, section 14.2.
    ranged = request.method == "GET" and if_range in (None, entity_tag)
    asked = request.headers.get("range") if ranged else None
    part = parse_range(asked, content.size_bytes)
    start, end = part or ByteRange(0, content.size_bytes - 1)
    headers["content-length"] = str(end - start + 1)
    if part is not None:
        headers["content-range"] = f"bytes {start}-{end}/{content.size_bytes}"
    status = 206 if part else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=content.content_type)
    chunks = content_chunks(storage, content.name, content.generation, start, end)
    first = await _first(chunks)
    if len(first) == end - start + 1:
        # A stream costs a thumbnail a quarter more.
        return Response(first, status, headers, content.content_type)
    return StreamingResponse(_resumed(first, chunks), status, headers, content.content_type)


async def _first(chunks: AsyncIterator[bytes]) -> bytes:
    """Read the first chunk before any header has left, so that a fault still is an answer."""
    try:
        return await anext(chunks)
    except ObjectMissing as error:
        raise errors.StorageUnavailable("The bytes cannot be found at the moment. Try again.") from error


async def _resumed(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in chunks:
        yield chunk
