"""A proxy before the object store that reads requests and answers, and spoils what it is told to."""

import asyncio
import re
from dataclasses import dataclass
from typing import Literal

from .proxy import PIECE_BYTES, Connection, Proxy, Rule


@dataclass(kw_only=True)
class HttpRule(Rule):
    """Applies to requests whose method and target match, and whose head matches `head` where that is given.

    Where in the exchange it applies:
        request: nothing has reached the store.
        body: `at_bytes` of the request's body have reached it.
        response: the store has done its work and answered; the client knows nothing yet.
        response_body: `at_bytes` of the answer's body have passed; `flip` spoils the next byte instead of `then`.
    With a `status` the client gets that answer from the proxy and the connection ends.
    """

    method: str
    target: str
    head: str = ""
    at: Literal["request", "body", "response", "response_body"] = "request"
    at_bytes: int = 0
    status: int | None = None
    flip: bool = False


class HttpProxy(Proxy[HttpRule]):
    """One request after the other on each connection, as the Google client sends them."""

    async def _relay(self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await _read_head(connection.client_reader)
            await self._flowing.wait()
            rule = self._rule_for(head)
            await self._at(connection, rule, "request")
            writer.write(head)
            await self._pass_request_body(connection, writer, rule, _length(head))
            answer = await _read_head(reader)
            await self._flowing.wait()
            await self._at(connection, rule, "response")
            connection.client_writer.write(answer)
            await self._pass_answer_body(connection, reader, rule, _answer_length(head, answer))

    async def _pass_request_body(
        self, connection: Connection, writer: asyncio.StreamWriter, rule: HttpRule | None, length: int
    ) -> None:
        passed = 0
        while passed < length:
            here = rule is not None and rule.at == "body" and passed >= rule.at_bytes
            if here:
                await self._at(connection, rule, "body")
                rule = None
            piece = await connection.client_reader.read(min(PIECE_BYTES, length - passed))
            if not piece:
                raise EOFError
            await self._flowing.wait()
            writer.write(piece)
            await writer.drain()
            passed += len(piece)

    async def _pass_answer_body(
        self, connection: Connection, reader: asyncio.StreamReader, rule: HttpRule | None, length: int | None
    ) -> None:
        passed = 0
        while length is None or passed < length:
            most = PIECE_BYTES if length is None else min(PIECE_BYTES, length - passed)
            piece = await reader.read(most)
            if not piece:
                raise EOFError
            await self._flowing.wait()
            if rule is not None and rule.at == "response_body" and passed + len(piece) > rule.at_bytes:
                keep = max(0, rule.at_bytes - passed)
                if rule.flip:
                    piece = piece[:keep] + bytes([piece[keep] ^ 0x55]) + piece[keep + 1 :]
                    rule.carry_out()
                else:
                    connection.client_writer.write(piece[:keep])
                    await connection.client_writer.drain()
                    await self._at(connection, rule, "response_body")
                    piece = piece[keep:]
                rule = None
            connection.client_writer.write(piece)
            await connection.client_writer.drain()
            passed += len(piece)

    async def _at(self, connection: Connection, rule: HttpRule | None, place: str) -> None:
        if rule is None or rule.at != place:
            return
        rule.carry_out()
        if rule.status is not None:
            connection.client_writer.write(_answer(rule.status))
            await connection.client_writer.drain()
            # Whoever is still sending reads the answer before it sees the connection end.
            connection.client_writer.write_eof()
            await asyncio.wait_for(connection.client_reader.read(-1), 5)
            raise EOFError
        await self._end(connection, rule.then)

    def _rule_for(self, head: bytes) -> HttpRule | None:
        method, target = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")[:2]
        text = head.decode("latin-1")
        for rule in self._rules:
            fits = rule.method == method and re.search(rule.target, target) and re.search(rule.head, text, re.I)
            if fits and rule.take():
                return rule
        return None


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


def _length(head: bytes) -> int:
    found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
    return int(found[1]) if found else 0


def _answer_length(request: bytes, answer: bytes) -> int | None:
    """How long the body of an answer is; None until the end of the connection."""
    status = int(answer.split(b" ", 2)[1])
    if request.startswith(b"HEAD ") or status in {204, 304}:
        return 0
    if re.search(rb"\r\ncontent-length:", answer, re.I):
        return _length(answer)
    return None


def _answer(status: int) -> bytes:
    body = b'{"error": {"code": %d, "message": "not this time"}}' % status
    head = f"HTTP/1.1 {status} Spoiled\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"connection: close\r\n\r\n" + body
