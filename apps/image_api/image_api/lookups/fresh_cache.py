"""What was looked up a moment ago, for as long as it may still be believed."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

CACHE_SECONDS = 5.0
"""How long what was found is believed: a key or session that ends is over everywhere within that time."""
_MOST_CACHED = 10_000


class FreshCache(Generic[Key, Value]):
    """Values by key, from at most `CACHE_SECONDS` ago, each looked up at most once at a time."""

    def __init__(self, load: Callable[[Key], Awaitable[Value]], clock: Callable[[], float] = time.monotonic) -> None:
        self._load, self.clock = load, clock
        self._known: dict[Key, tuple[float, Value]] = {}
        self._loading: dict[Key, asyncio.Task[Value]] = {}

    def peek(self, key: Key) -> Value | None:
        """What is known of a key; None where it would have to be looked up."""
        known = self._known.get(key)
        return known[1] if known is not None and self.clock() - known[0] < CACHE_SECONDS else None

    async def get(self, key: Key) -> Value:
        """What is known of a key, looked up where that is nothing, or too old."""
        known = self._known.get(key)
        if known is not None and self.clock() - known[0] < CACHE_SECONDS:
            return known[1]
        task = self._loading.get(key)
        if task is None:
            task = asyncio.create_task(self._look_up(key))
            self._loading[key] = task
            task.add_done_callback(lambda _: self._loading.pop(key, None))
        # A caller that goes away must not take the others' look-up with it.
        return await asyncio.shield(task)

    async def _look_up(self, key: Key) -> Value:
        # What is found is as old as the question, however long the answer takes.
        asked_at = self.clock()
        value = await self._load(key)
        if len(self._known) >= _MOST_CACHED:
            self._known.pop(next(iter(self._known)))
        self._known[key] = asked_at, value
        return value

    def forget_where(self, changed: Callable[[Value], bool]) -> None:
        """Drops what has just been changed here."""
        for key, (_, value) in list(self._known.items()):
            if changed(value):
                del self._known[key]

    def clear(self) -> None:
        """Drops everything, as if its time were over."""
        self._known.clear()

    def __len__(self) -> int:
        """How many keys something is known of."""
        return len(self._known)
