"""One request, message by message, to the application with its whole middleware."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .conftest import Api

PATIENCE_SECONDS = 20
"""Far more than any of these takes; what hangs fails."""


@dataclass
class Sent:
    """What came back, and how often the body was asked for."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    reads: int = 0

    @property
    def status(self) -> int:
        status: int = self.messages[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode().lower(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(each.get("body", b"") for each in self.messages[1:])

    def json(self) -> Any:
        return json.loads(self.body)


async def asgi_call(
    api: Api, method: str, path: str, headers: dict[str, str], pieces: Iterable[bytes] = (), *, whole: bool = False
) -> Sent:
    """Sends these pieces of a body, and then its end if it is `whole`; otherwise nothing comes any more."""
    sent, remaining = Sent(), iter(pieces)

    async def receive() -> dict[str, Any]:
        sent.reads += 1
        piece = next(remaining, None)
        if piece is None and not whole:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def send(message: Any) -> None:
        sent.messages.append(message)

    path, _, query = path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1), "server": ("api", 80), "state": {},
    }  # fmt: skip
    async with asyncio.timeout(PATIENCE_SECONDS):
        await api.app(scope, receive, send)
    return sent
