"""A proxy before Pub/Sub that sees frames of HTTP/2 and the plain bytes in them. Source: RFC 9113, section 4."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from .proxy import Connection, Proxy, Rule

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA = 0


@dataclass(kw_only=True)
class GrpcRule(Rule):
    """Applies to calls whose request holds `text`: before it reaches the broker, or after the broker has answered."""

    text: bytes
    when: Literal["before", "after"] = "before"


class GrpcProxy(Proxy[GrpcRule]):
    """Passes frames on one by one."""

    async def _relay(self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await connection.client_reader.readexactly(len(_PREFACE)))
        awaited: list[GrpcRule] = []
        await self._both(self._from_client(connection, writer, awaited), self._from_server(connection, reader, awaited))

    async def _from_client(self, connection: Connection, writer: asyncio.StreamWriter, awaited: list[GrpcRule]) -> None:
        while True:
            kind, frame = await _read_frame(connection.client_reader)
            await self._flowing.wait()
            rule = self._rule_for(frame) if kind == _DATA else None
            if rule is not None and rule.when == "before":
                rule.carry_out()
                await self._end(connection, rule.then)
            elif rule is not None:
                awaited.append(rule)
            writer.write(frame)
            await writer.drain()

    async def _from_server(self, connection: Connection, reader: asyncio.StreamReader, awaited: list[GrpcRule]) -> None:
        while True:
            kind, frame = await _read_frame(reader)
            await self._flowing.wait()
            if kind == _DATA and awaited:
                rule = awaited.pop(0)
                rule.carry_out()
                await self._end(connection, rule.then)
            connection.client_writer.write(frame)
            await connection.client_writer.drain()

    def _rule_for(self, frame: bytes) -> GrpcRule | None:
        return next((rule for rule in self._rules if rule.text in frame and rule.take()), None)


async def _read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readexactly(9)
    return head[3], head + await reader.readexactly(int.from_bytes(head[:3], "big"))
