"""Receivers of webhooks as others run them: real HTTP servers that answer well, badly, slowly, or not at all."""

import asyncio
import base64
import contextlib
import hmac
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

HOST = "127.0.0.1"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
_PIECE = b"x" * 8192


@dataclass
class Receiver:
    """Remembers each request that it was sent; `answer` writes what comes back."""

    answer: "Answer"
    url: str = ""
    received: defaultdict[str, list[tuple[dict[str, str], bytes]]] = field(default_factory=lambda: defaultdict(list))
    """Headers and body by `webhook-id`."""
    act: Callable[[], None] = lambda: None
    """Done at the next request, before it is answered."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await reader.readexactly(int(headers["content-length"]))
            self.received[headers["webhook-id"]].append((headers, body))
            act, self.act = self.act, lambda: None
            act()
            await self.answer(writer)
        writer.close()


Answer = Callable[[asyncio.StreamWriter], Any]


def says(status: int, **headers: str) -> Answer:
    """Answer with a status and headers."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n{lines}\r\n".encode())
        await writer.drain()

    return answer


good, gone, broken = says(204), says(410), says(500)


async def slow(writer: asyncio.StreamWriter) -> None:
    """Answer well, after two seconds."""
    await asyncio.sleep(2)
    writer.write(NO_CONTENT)


async def closes(_writer: asyncio.StreamWriter) -> None:
    """Read the request and close the connection."""


async def hangs(_writer: asyncio.StreamWriter) -> None:
    """Read the request and never answer."""
    await asyncio.sleep(60)


async def drips(writer: asyncio.StreamWriter) -> None:
    """Send a header line each second, for ever, so that no pause is long."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: 1\r\n")
        await writer.drain()
        await asyncio.sleep(1)


async def endless(writer: asyncio.StreamWriter) -> None:
    """Send a body without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(_PIECE)
        await writer.drain()


@asynccontextmanager
async def receiving(answer: Answer = good) -> AsyncIterator[Receiver]:
    """Serve on a port of its own."""
    receiver = Receiver(answer)
    server = await asyncio.start_server(receiver.serve, HOST, 0)
    receiver.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        server.close()


def signatures(secret: str, headers: dict[str, str], body: bytes) -> str:
    """Return the signature that a secret makes. Source: Standard Webhooks 1.0.0."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def type_of(body: bytes) -> str:
    kind: str = json.loads(body)["type"]
    return kind
