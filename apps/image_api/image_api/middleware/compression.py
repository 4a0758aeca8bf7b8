"""Compression of JSON and text if the caller accepts it. Streams, pictures and secrets stay uncompressed."""

import gzip
import re
from functools import lru_cache

import anyio.to_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from image_api.http.paths import STATIC_PREFIX
from image_api.openapi import page

MIN_BYTES = 1024
_IN_THREAD_BYTES = 32 * 1024
_LEVEL = 4
_TYPES = (b"application/json", b"application/problem+json", b"text/")
_ACCEPTED = re.compile(rb"(?:^|,)\s*(gzip|x-gzip|identity|\*)\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?)\s*)?(?=,|$)")


class CompressionMiddleware:
    """Compress responses that arrive in one piece and may be stored. Pure ASGI.

    A response that must not be stored holds a secret, whose length compression could leak next to the caller's own
    text. A route that repeats no such text says so with `request.state.may_compress`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start: Message | None = None

        async def send_compressed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_compressible(scope, message):
                start = message
                return
            if start is not None:
                head, start = start, None
                if not message.get("more_body") and len(message.get("body", b"")) >= MIN_BYTES:
                    head, message = await _negotiated(scope, head, message)
                await send(head)
            await send(message)

        await self._app(scope, receive, send_compressed)


def _is_compressible(scope: Scope, start: Message) -> bool:
    headers = dict(start["headers"])
    return (
        headers.get(b"content-type", b"").startswith(_TYPES)
        and b"content-encoding" not in headers
        and (b"no-store" not in headers.get(b"cache-control", b"") or scope["state"].get("may_compress", False))
    )


async def _negotiated(scope: Scope, start: Message, message: Message) -> tuple[Message, Message]:
    headers = [*start["headers"], (b"vary", b"Accept-Encoding")]
    accepted = b",".join(value for name, value in scope["headers"] if name == b"accept-encoding")
    if not _accepts_gzip(accepted):
        return {**start, "headers": headers}, message
    body = await _compressed(scope["path"], message["body"])
    headers = [(name, value) for name, value in headers if name != b"content-length"]
    headers += [(b"content-encoding", b"gzip"), (b"content-length", str(len(body)).encode())]
    return {**start, "headers": headers}, {**message, "body": body}


def _accepts_gzip(header: bytes) -> bool:
    """Return whether gzip is acceptable and not less preferred than identity. Source: RFC 9110, section 12.5.3."""
    qualities = {name: float(quality or 1) for name, quality in _ACCEPTED.findall(header.lower())}
    quality = qualities.get(b"gzip", qualities.get(b"x-gzip", qualities.get(b"*", 0.0)))
    return quality > 0 and quality >= qualities.get(b"identity", 0.0)


async def _compressed(path: str, body: bytes) -> bytes:
    if path in page.PATHS or path.startswith(f"{STATIC_PREFIX}/"):
        # Public and always the same.
        return await anyio.to_thread.run_sync(_compress_once, body)
    if len(body) >= _IN_THREAD_BYTES:
        return await anyio.to_thread.run_sync(_compress, body)
    return _compress(body)


def _compress(body: bytes) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0)


_compress_once = lru_cache(maxsize=64)(_compress)
