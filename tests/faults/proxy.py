"""What every misbehaving proxy has in common: it listens, lets everything through, and can stop, refuse or cut it.

All proxies live in one event loop in a thread of its own, so that they go on while a test blocks or waits.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

HOST = "127.0.0.1"
PIECE_BYTES = 64 * 1024

T = TypeVar("T")
Then = Literal["pass", "cut", "hang"]


class ProxyThread:
    """The event loop of all proxies."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(15)

    def close(self) -> None:
        async def cancel_all() -> None:
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.run(cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@dataclass(kw_only=True)
class Rule:
    """What to do with the `skip`+1st match and those after it, `times` of them.

    `act` runs in the proxies' thread at the moment of the match, before anything more passes.
    """

    act: Callable[[], None] = lambda: None
    then: Then = "pass"
    skip: int = 0
    times: int = 1
    met: threading.Event = field(default_factory=threading.Event)
    matches: int = 0

    def take(self) -> bool:
        """Count one match; whether the rule is to be carried out for it."""
        self.matches += 1
        return self.skip < self.matches <= self.skip + self.times

    def carry_out(self) -> None:
        self.act()
        self.met.set()

    def wait(self, seconds: float = 30) -> None:
        assert self.met.wait(seconds), f"nothing of this kind passed the proxy: {self}"


R = TypeVar("R", bound=Rule)


class Connection:
    """Two streams; closing either end closes both, hard."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.client_reader, self.client_writer = reader, writer
        self._upstream: asyncio.StreamWriter | None = None

    async def connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, self._upstream = await asyncio.open_connection(host, port, limit=4 * PIECE_BYTES)
        return reader, self._upstream

    def abort(self) -> None:
        """Reset both directions at once; what was not sent yet is lost."""
        for writer in (self.client_writer, self._upstream):
            if writer is not None:
                writer.transport.abort()


class Proxy(Generic[R]):
    """Stands before one address. Without rules it only passes on."""

    def __init__(self, thread: ProxyThread, upstream_port: int) -> None:
        self._thread = thread
        self._upstream_port = upstream_port
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._rules: list[R] = []
        self.port = 0
        thread.run(self._prepare())

    async def _prepare(self) -> None:
        self._flowing = asyncio.Event()
        self._flowing.set()
        await self._listen()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port, limit=4 * PIECE_BYTES)
            self.port = self._server.sockets[0].getsockname()[1]

    # --- What a test says ---------------------------------------------------------------------------------------

    def add(self, rule: R) -> R:
        """Have a rule stand until `heal`."""
        self._rules.append(rule)
        return rule

    def cut(self) -> None:
        """Reset every connection; new ones are welcome."""

        async def cut() -> None:
            self._cut()

        self._thread.run(cut())

    def refuse(self) -> None:
        """Nobody listens any more."""

        async def refuse() -> None:
            if self._server is not None:
                self._server.close()
                self._server = None
            self._cut()

        self._thread.run(refuse())

    def stall(self) -> None:
        """Everything is accepted and nothing is passed on."""

        async def stall() -> None:
            self._flowing.clear()

        self._thread.run(stall())

    def heal(self) -> None:
        """Forget all rules and behave; connections that were spoiled or stalled are cut."""

        async def heal() -> None:
            self._rules.clear()
            if not self._flowing.is_set():
                self._cut()
                self._flowing.set()
            await self._listen()

        self._thread.run(heal())

    @property
    def connections(self) -> int:
        return len(self._connections)

    # --- What happens to a connection ---------------------------------------------------------------------------

    def _cut(self) -> None:
        for connection in list(self._connections):
            connection.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        self._connections.add(connection)
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            await self._flowing.wait()
            await self._relay(connection, *await connection.connect(HOST, self._upstream_port))
        self._connections.discard(connection)
        connection.abort()

    async def _relay(self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    async def _both(self, there: Coroutine[Any, Any, None], back: Coroutine[Any, Any, None]) -> None:
        """Run both directions until one ends, then end the other."""
        tasks = [asyncio.ensure_future(there), asyncio.ensure_future(back)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _end(self, connection: Connection, then: Then) -> None:
        """Carry out what a rule wants of a connection; returns only for `pass`."""
        if then == "hang":
            await asyncio.Event().wait()
        if then == "cut":
            connection.abort()
            raise ConnectionResetError
