"""Answers with the bytes of an object: ranges, validators, and how long caches may keep them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

from starlette.types import Receive, Send

from image_core.storage.content import MOST_COUNTED_BYTES, ByteRange, matches, parse_range
from image_core.storage.protocol import content_chunks
from image_delivery.derivatives.finding import Content
from image_delivery.derivatives.memory import MOST_PICTURE_BYTES, PictureMemory, name_of

CHANGEABLE_SECONDS = 300
"""How long caches may keep what an address without the present recipe's hash shows."""
SHARED_SECONDS = 600
"""How long shared caches may keep anything: what is revoked is gone from them within that time."""

Headers = list[tuple[bytes, bytes]]


class Prepared(NamedTuple):
    """An answer whose first bytes are there, so that nothing that can be foreseen fails after its head."""

    status: int
    headers: Headers
    first: bytes
    rest: AsyncIterator[bytes] | None
    size_bytes: int

    async def send(self, send: Send, receive: Receive, headers: Headers) -> None:
        """Send it with more headers. A caller that goes away ends the reading from storage.

        Raises:
            errors.StorageUnavailable: in the middle of the body; the server ends the connection.
        """
        await send({"type": "http.response.start", "status": self.status, "headers": [*self.headers, *headers]})
        if self.rest is None:
            await send({"type": "http.response.body", "body": self.first})
            return
        await send({"type": "http.response.body", "body": self.first, "more_body": True})
        leaving = asyncio.create_task(_left(receive))
        try:
            async for chunk in self.rest:
                if leaving.done():
                    return
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            leaving.cancel()
        await send({"type": "http.response.body", "body": b""})


async def _left(receive: Receive) -> None:
    """Wait until the caller goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def prepare(
    content: Content, method: str, request_headers: Mapping[bytes, bytes], memory: PictureMemory
) -> Prepared:
    """Return the answer to a GET or HEAD, as its conditional and range headers ask for it.

    Raises:
        errors.RangeNotSatisfiable: the range lies outside the object.
        errors.StorageUnavailable: storage does not respond.
        ObjectMissing: the object is not there.
    """
    entity_tag = f'"{content.sha256.hex()}"'
    headers = [(b"etag", entity_tag.encode()), (b"accept-ranges", b"bytes")]
    if (none_match := request_headers.get(b"if-none-match")) and matches(none_match.decode("latin-1"), entity_tag):
        return Prepared(304, headers, b"", None, 0)
    part = _part(content, method, request_headers, entity_tag)
    start, end = part or ByteRange(0, content.size_bytes - 1)
    length = end - start + 1
    headers += [
        (b"content-type", content.content_type.encode()),
        (b"content-disposition", content.disposition.encode("latin-1")),
    ]
    if length <= MOST_COUNTED_BYTES:
        headers.append((b"content-length", b"%d" % length))
    if part is not None:
        headers.append((b"content-range", b"bytes %d-%d/%d" % (start, end, content.size_bytes)))
    status = 206 if part else 200
    if method == "HEAD":
        return Prepared(status, headers, b"", None, 0)
    if content.body is not None or content.size_bytes <= MOST_PICTURE_BYTES:
        picture = content.body or await _whole(content, memory)
        return Prepared(status, headers, picture if part is None else picture[start : end + 1], None, length)
    chunks = content_chunks(content.storage, content.name, content.generation, start, end)
    first = await anext(chunks)
    return Prepared(status, headers, first, chunks if len(first) < length else None, length)


def _part(content: Content, method: str, request_headers: Mapping[bytes, bytes], entity_tag: str) -> ByteRange | None:
    # Ranges are defined for GET alone. Source: RFC 9110, section 14.2.
    asked = request_headers.get(b"range") if method == "GET" else None
    if asked is None or request_headers.get(b"if-range", entity_tag.encode()) != entity_tag.encode():
        return None
    return parse_range(asked.decode("latin-1"), content.size_bytes)


async def _whole(content: Content, memory: PictureMemory) -> bytes:
    async def read() -> bytes:
        return await content.storage.read(content.name, content.generation, 0, content.size_bytes - 1)

    return await memory.get(name_of(content.storage.bucket, content.name, content.generation), read)


def cache_control(now: float, expires_at: float | None, *, is_lasting: bool, most_seconds: int) -> bytes:
    """Return the header of a picture: as long as its grant is good, within limits.

    Args:
        now: Unix time.
        expires_at: when the grant ends; None where it does not.
        is_lasting: False for what may come to be another picture under the same address.
        most_seconds: the longest time in browsers.
    """
    seconds = most_seconds if expires_at is None else min(most_seconds, max(0, int(expires_at - now)))
    if not is_lasting:
        seconds = min(seconds, CHANGEABLE_SECONDS)
    return b"public, max-age=%d, s-maxage=%d" % (seconds, min(seconds, SHARED_SECONDS))
