"""The state of object storage, checked in the background so that no readiness probe waits for it."""

import asyncio
import time

from image_core import errors
from image_core.storage.protocol import ObjectMissing, ObjectStorage

_FRESH_SECONDS = 10.0


class StorageProbe:
    """`ok`, `unavailable`, or `unknown` before the first check."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._storage = storage
        self._state = "unknown"
        self._asked_at = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def state(self) -> str:
        """Return the last result; start a new check if it is old."""
        if time.monotonic() - self._asked_at > _FRESH_SECONDS and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self.ask())
        return self._state

    async def ask(self) -> None:
        """Check storage and remember the result."""
        self._asked_at = time.monotonic()
        try:
            await self._storage.check()
            self._state = "ok"
        except (errors.StorageUnavailable, ObjectMissing):
            self._state = "unavailable"
