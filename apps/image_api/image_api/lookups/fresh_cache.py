"""A cache with a short, fixed lifetime."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

CACHE_SECONDS = 5.0
"""How long entries are valid: a key or session that ends is rejected everywhere within that time."""
_MAX_ENTRIES = 10_000


class FreshCache(Generic[Key, Value]):
    """Values by key, at most `CACHE_SECONDS` old; concurrent lookups of a key share one load."""

    def __init__(self, load: Callable[[Key], Awaitable[Value]], clock: Callable[[], float] = time.monotonic) -> None:
        self._load, self.clock = load, clock
        self._known: dict[Key, tuple[float, Value]] = {}
        self._loading: dict[Key, asyncio.Task[Value]] = {}

    def peek(self, key: Key) -> Value | None:
        """Return the cached value of a key; None if it would have to be loaded."""
        known = self._known.get(key)
        return known[1] if known is not None and self.clock() - known[0] < CACHE_SECONDS else None

    async def get(self, key: Key) -> Value:
        """Return the value of a key; load it if it is missing or too old."""
        known = self._known.get(key)
        if known is not None and self.clock() - known[0] < CACHE_SECONDS:
            return known[1]
        task = self._loading.get(key)
        if task is None:
            task = asyncio.create_task(self._look_up(key))
            self._loading[key] = task
            task.add_done_callback(lambda _: self._loading.pop(key, None))
        # A caller that is cancelled must not cancel the load of the others.
        return await asyncio.shield(task)

    async def _look_up(self, key: Key) -> Value:
        # An entry's age counts from the query, however long the response takes.
        asked_at = self.clock()
        value = await self._load(key)
        if len(self._known) >= _MAX_ENTRIES:
            self._known.pop(next(iter(self._known)))
        self._known[key] = asked_at, value
        return value

    def forget_where(self, changed: Callable[[Value], bool]) -> None:
        """Drop entries that this process has just changed."""
        for key, (_, value) in list(self._known.items()):
            if changed(value):
                del self._known[key]

    def forget(self, key: Key) -> None:
        """Drop what is cached under a key."""
        self._known.pop(key, None)

    def clear(self) -> None:
        """Drop all entries."""
        self._known.clear()

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._known)
