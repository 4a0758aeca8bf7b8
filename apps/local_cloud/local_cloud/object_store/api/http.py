"""Requests and responses over plain ASGI: bodies are streamed in both directions, never collected."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from local_cloud.object_store.errors import ClientGoneError, invalid

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_DOCUMENT_BYTES = 1 << 20


class Request:
    """One HTTP request; the path stays percent-encoded, because object names may contain slashes."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: str = scope["method"]
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        self.path = raw_path.split(b"?", 1)[0].decode("latin-1")
        self.query_string: str = scope["query_string"].decode("latin-1")
        self.query = dict(parse_qsl(self.query_string, keep_blank_values=True))
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._scheme: str = scope["scheme"]
        self._server = scope.get("server") or ("127.0.0.1", 80)
        self._receive = receive

    @property
    def segments(self) -> list[str]:
        """The path's segments, decoded one by one."""
        return [unquote(part) for part in self.path.strip("/").split("/")]

    @property
    def base_url(self) -> str:
        """Scheme and host as the client sees them, so that links lead back through the same proxy."""
        host = self.headers.get("host") or f"{self._server[0]}:{self._server[1]}"
        return f"{self._scheme}://{host}"

    @property
    def content_length(self) -> int | None:
        """The declared length of the body in bytes; `None` for a chunked one."""
        value = self.headers.get("content-length")
        return int(value) if value is not None and value.isdigit() else None

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            ClientGoneError: The connection ended before the body did.
        """
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            if message.get("body"):
                yield message["body"]
            more = message.get("more_body", False)

    async def document(self) -> dict[str, Any]:
        """Read a JSON object of at most 1 MiB; an empty body is an empty object."""
        collected = bytearray()
        async for chunk in self.body():
            collected += chunk
            if len(collected) > MAX_DOCUMENT_BYTES:
                raise invalid("The JSON body is larger than 1 MiB.")
        return parse_document(bytes(collected))


def parse_document(text: bytes) -> dict[str, Any]:
    """Parse a JSON object; an empty text is an empty object."""
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        raise invalid("Parse Error: the body is not JSON.") from None
    if not isinstance(value, dict):
        raise invalid("Parse Error: the body is not a JSON object.")
    return value


@dataclass
class Response:
    """A response; `stream` replaces `body` if that would be large."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=UTF-8"
    stream: AsyncIterator[bytes] | None = None
    length: int | None = None

    async def send(self, send: Send, *, head: bool = False) -> None:
        """Send the response; for HEAD only its headers."""
        length = len(self.body) if self.length is None else self.length
        headers = {"content-type": self.content_type, "content-length": str(length), **self.headers}
        if self.status in {204, 304}:
            headers.pop("content-length")
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": encoded})
        if self.stream is not None and not head:
            async for chunk in self.stream:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"" if head or self.stream else self.body})


def json_response(value: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response with a JSON object."""
    return Response(status, json.dumps(value, separators=(",", ":")).encode(), headers or {})
