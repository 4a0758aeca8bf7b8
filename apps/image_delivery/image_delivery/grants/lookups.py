"""Rows that requests look up: read for all that wait in one query, one query at a time, and kept for a while."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, NamedTuple, TypeVar

from image_core import errors

Key = TypeVar("Key")
Value = TypeVar("Value")

FRESH_SECONDS = 5.0
"""How long what was read is believed: what ends is over everywhere within that time."""
REREAD_SECONDS = 1.0
"""How long after one read of a key another is made because a request did not fit what was read."""
_MOST_KEYS_A_QUERY = 500
# With something to fall back on, nobody waits as long as a connection may take to fail.
_PATIENCE_SECONDS = 2.0


class Found(NamedTuple, Generic[Value]):
    """What a key was found to be; `value` is None where there is nothing."""

    read_at: float
    value: Value | None


class Lookups(Generic[Key, Value]):
    """Values by key, each read at most once in `FRESH_SECONDS`, and kept for outages of the database.

    What exists and what does not are kept apart, each up to a limit, so that requests for keys that do not exist
    neither grow without bound nor push out what does.
    """

    def __init__(
        self,
        read: Callable[[Collection[Key]], Awaitable[Mapping[Key, Value]]],
        *,
        outage_seconds: float,
        most_kept: int,
        weight: Callable[[Value], int] = lambda _: 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Describe what is looked up.

        Args:
            read: reads the values of these keys; a key that does not exist is left out.
            outage_seconds: for how long what was read counts while the database is away.
            most_kept: sum of the weights that are kept, and number of keys known not to exist.
            weight: what one value counts.
            clock: monotonic, in seconds.
        """
        self._read, self._outage_seconds, self._weight, self.clock = read, outage_seconds, weight, clock
        self._most_kept, self._kept_weight = most_kept, 0
        # Oldest first: what is asked for again and again is also read again and again.
        self._existing: dict[Key, Found[Value]] = {}
        self._absent: dict[Key, Found[Value]] = {}
        self._waiting: dict[Key, asyncio.Future[Found[Value]]] = {}
        self._in_query: dict[Key, asyncio.Future[Found[Value]]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def get(self, key: Key) -> Value | None:
        """Return a value that was read at most `FRESH_SECONDS` ago, or an older one while the database is away.

        Raises:
            errors.DatabaseUnavailable: nothing is known of the key, or too long ago.
        """
        kept = self._kept(key)
        if kept is not None and self.clock() - kept.read_at < FRESH_SECONDS:
            return kept.value
        waiting = self._in_query.get(key) or self._wait_for(key)
        if kept is None or self.clock() - kept.read_at >= self._outage_seconds:
            return (await asyncio.shield(waiting)).value
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return (await asyncio.shield(waiting)).value
        except (errors.DatabaseUnavailable, TimeoutError):
            return kept.value

    async def get_since(self, key: Key, moment: float) -> Value | None:
        """Return a value whose read began at `moment` of the clock or later.

        A key is read at most once in `REREAD_SECONDS` for this.

        Raises:
            errors.DatabaseUnavailable: it cannot be read.
        """
        kept = self._kept(key)
        if kept is not None and kept.read_at < moment:
            await asyncio.sleep(max(0.0, kept.read_at + REREAD_SECONDS - self.clock()))
            kept = self._kept(key)
        if kept is not None and kept.read_at >= moment:
            return kept.value
        return (await asyncio.shield(self._wait_for(key))).value

    def peek(self, key: Key) -> Value | None:
        """Return what is kept of a key, however old it is."""
        kept = self._existing.get(key)
        return None if kept is None else kept.value

    def put(self, key: Key, value: Value) -> None:
        """Replace what is kept of a key that exists, after a change of our own; its age stays."""
        if (kept := self._existing.get(key)) is not None:
            self._keep(key, Found(kept.read_at, value))

    def _kept(self, key: Key) -> Found[Value] | None:
        return self._existing.get(key) or self._absent.get(key)

    def _wait_for(self, key: Key) -> "asyncio.Future[Found[Value]]":
        """Have a key read by the next query."""
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_waiting())
        return waiting

    async def _read_waiting(self) -> None:
        try:
            while self._waiting:
                keys = list(self._waiting)[:_MOST_KEYS_A_QUERY]
                self._in_query = {key: self._waiting.pop(key) for key in keys}
                await self._read_batch()
        finally:
            self._reading, self._in_query = None, {}

    async def _read_batch(self) -> None:
        batch = self._in_query
        # What is found is as old as the question, however long the answer takes.
        read_at = self.clock()
        try:
            values = await self._read(batch.keys())
        except BaseException as error:
            for waiting in batch.values():
                waiting.set_exception(error if isinstance(error, Exception) else errors.ShuttingDown())
                # Whoever waited may have left: nobody has to see the error.
                waiting.exception()
            if not isinstance(error, Exception):
                raise
            return
        for key, waiting in batch.items():
            found = Found(read_at, values.get(key))
            self._keep(key, found)
            waiting.set_result(found)

    def _keep(self, key: Key, found: Found[Value]) -> None:
        if (former := self._existing.pop(key, None)) is not None and former.value is not None:
            self._kept_weight -= self._weight(former.value)
        self._absent.pop(key, None)
        if found.value is None:
            self._absent[key] = found
            if len(self._absent) > self._most_kept:
                del self._absent[next(iter(self._absent))]
            return
        self._existing[key] = found
        self._kept_weight += self._weight(found.value)
        while self._kept_weight > self._most_kept and len(self._existing) > 1:
            oldest = self._existing.pop(next(iter(self._existing)))
            if oldest.value is not None:
                self._kept_weight -= self._weight(oldest.value)
