"""Delivery of bytes: ranges, validators, and headers that keep a browser from executing the content."""

from collections.abc import AsyncIterator
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from image_core import errors
from image_core.images import filenames
from image_core.storage.content import MOST_COUNTED_BYTES, ByteRange, matches, parse_range
from image_core.storage.protocol import ObjectMissing, ObjectStorage, content_chunks


class Content(NamedTuple):
    """An object to be served; `sha256` is its entity tag."""

    name: str
    generation: int | None
    size_bytes: int
    sha256: bytes
    content_type: str
    filename: str


def _headers(content: Content, entity_tag: str) -> dict[str, str]:
    return {
        "etag": entity_tag,
        "accept-ranges": "bytes",
        # The bytes of an image id never change, but access to them may end, so copies must be revalidated.
        "cache-control": "private, no-cache",
        "content-disposition": filenames.to_disposition(content.filename),
        "content-security-policy": "default-src 'none'; sandbox",
    }


async def serve(request: Request, storage: ObjectStorage, content: Content) -> Response:
    """Return the response to a GET or HEAD.

    Raises:
        errors.RangeNotSatisfiable: The requested range does not exist.
        errors.StorageUnavailable: Object storage does not respond.
    """
    entity_tag = f'"{content.sha256.hex()}"'
    headers = _headers(content, entity_tag)
    if (none_match := request.headers.get("if-none-match")) and matches(none_match, entity_tag):
        return Response(status_code=304, headers=headers)
    if_range = request.headers.get("if-range")
    # Ranges are defined for GET only. Source: RFC 9110, section 14.2.
    ranged = request.method == "GET" and if_range in (None, entity_tag)
    range_header = request.headers.get("range") if ranged else None
    part = parse_range(range_header, content.size_bytes)
    sent = part or ByteRange(0, content.size_bytes - 1)
    if sent.length <= MOST_COUNTED_BYTES or request.method == "HEAD":
        headers["content-length"] = str(sent.length)
    if part is not None:
        headers["content-range"] = f"bytes {sent.start}-{sent.end}/{content.size_bytes}"
    status = 206 if part else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=content.content_type)
    chunks = content_chunks(storage, content.name, content.generation, *sent)
    first = await _first(chunks)
    if len(first) == sent.length:
        # A streaming response makes a thumbnail a quarter slower.
        return Response(first, status, headers, content.content_type)
    return StreamingResponse(_prepend(first, chunks), status, headers, content.content_type)


async def _first(chunks: AsyncIterator[bytes]) -> bytes:
    """Read the first chunk before any header is sent, so that a failure still becomes an error response."""
    try:
        return await anext(chunks)
    except ObjectMissing as error:
        raise errors.StorageUnavailable("The file cannot be read at the moment. Try again.") from error


async def _prepend(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in chunks:
        yield chunk
