"""A receiver of webhooks on this machine, which answers as a test says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson

Write = Callable[[bytes], None]


@dataclass
class Received:
    """A request as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def type(self) -> str:
        kind: str = orjson.loads(self.body)["type"]
        return kind


@dataclass
class Receiver:
    """Answers with `status` and `headers`, and then `body`; or hangs, drips, or closes the connection."""

    url: str = ""
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    behaviour: str = "answers"
    received: list[Received] = field(default_factory=list)
    has_received: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    sent_bytes: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await reader.readexactly(int(headers["content-length"]))
            self.received.append(Received(headers, body))
            self.has_received.set()
            await self._answer(writer)
        writer.close()

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        if self.behaviour == "closes":
            return
        if self.behaviour == "hangs":
            await self.may_answer.wait()
        sent = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        length = "" if self.behaviour == "endless" else f"Content-Length: {len(self.body)}\r\n"
        writer.write(f"HTTP/1.1 {self.status} Said\r\n{length}{sent}\r\n".encode() + self.body)
        await writer.drain()
        while self.behaviour == "endless":
            writer.write(b"x" * 8192)
            self.sent_bytes += 8192
            await writer.drain()


@asynccontextmanager
async def receiving(**said: object) -> AsyncIterator[Receiver]:
    receiver = Receiver(**said)  # type: ignore[arg-type]
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    receiver.url = f"http://{host}:{port}/hook?token=secret"
    try:
        yield receiver
    finally:
        receiver.may_answer.set()
        server.close()
