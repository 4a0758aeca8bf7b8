"""A proxy before PostgreSQL that reads the statements that pass. Source: PostgreSQL, "Frontend/Backend Protocol"."""

import asyncio
import re
import struct
from dataclasses import dataclass
from typing import Literal

from .proxy import Connection, Proxy, Rule

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104


@dataclass(kw_only=True)
class SqlRule(Rule):
    """Applies to statements that match `sql`.

    before: the statement has not reached the server; after: the server has answered, the client knows nothing yet.
    With a `sqlstate` the server never sees the statement and the client is told of that error.
    """

    sql: str
    when: Literal["before", "after"] = "before"
    sqlstate: str | None = None


class _State:
    """What is known of one connection."""

    def __init__(self) -> None:
        self.statements: dict[bytes, str] = {}
        self.after: SqlRule | None = None
        self.in_transaction = False
        self.skip_to_sync = False


class PostgresProxy(Proxy[SqlRule]):
    """Passes messages on one by one."""

    async def _relay(self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._startup(connection, writer)
        state = _State()
        await self._both(self._from_client(connection, writer, state), self._from_server(connection, reader, state))

    async def _startup(self, connection: Connection, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await connection.client_reader.readexactly(8)
            length, code = struct.unpack("!ii", head)
            rest = await connection.client_reader.readexactly(length - 8)
            if code not in {_SSL_REQUEST, _GSS_REQUEST}:
                break
            connection.client_writer.write(b"N")
        writer.write(head + rest)
        await writer.drain()

    async def _from_client(self, connection: Connection, writer: asyncio.StreamWriter, state: _State) -> None:
        while True:
            kind, message = await _read_message(connection.client_reader)
            await self._flowing.wait()
            if state.skip_to_sync:
                state.skip_to_sync = kind != b"S"
                continue
            rule = self._rule_for(_statement(kind, message, state))
            if rule is not None and rule.sqlstate is not None:
                rule.carry_out()
                state.skip_to_sync = kind == b"B"
                connection.client_writer.write(_error(rule.sqlstate, in_transaction=state.in_transaction))
                continue
            if rule is not None and rule.when == "before":
                rule.carry_out()
                await self._end(connection, rule.then)
            elif rule is not None:
                state.after = rule
            writer.write(message)
            await writer.drain()

    async def _from_server(self, connection: Connection, reader: asyncio.StreamReader, state: _State) -> None:
        held = b""
        while True:
            kind, message = await _read_message(reader)
            await self._flowing.wait()
            held += message
            if kind == b"Z":
                state.in_transaction = message[5:6] != b"I"
            if state.after is not None:
                if kind != b"Z":
                    continue
                rule, state.after = state.after, None
                rule.carry_out()
                await self._end(connection, rule.then)
            connection.client_writer.write(held)
            held = b""
            await connection.client_writer.drain()

    def _rule_for(self, sql: str | None) -> SqlRule | None:
        if sql is None:
            return None
        return next((rule for rule in self._rules if re.search(rule.sql, sql, re.I | re.S) and rule.take()), None)


async def _read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    (length,) = struct.unpack("!i", head[1:])
    return head[:1], head + await reader.readexactly(length - 4)


def _statement(kind: bytes, message: bytes, state: _State) -> str | None:
    """The SQL that this message runs, if it runs any."""
    if kind == b"Q":
        return message[5:].rstrip(b"\0").decode(errors="replace")
    if kind == b"P":
        name, sql = message[5:].split(b"\0", 2)[:2]
        state.statements[name] = sql.decode(errors="replace")
    if kind == b"B":
        return state.statements.get(message[5:].split(b"\0", 2)[1])
    return None


def _error(sqlstate: str, *, in_transaction: bool) -> bytes:
    fields = b"SERROR\0VERROR\0C" + sqlstate.encode() + b"\0Mnot this time\0\0"
    ready = b"Z" + struct.pack("!i", 5) + (b"E" if in_transaction else b"I")
    return b"E" + struct.pack("!i", 4 + len(fields)) + fields + ready
