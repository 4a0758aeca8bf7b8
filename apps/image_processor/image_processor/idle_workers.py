"""Workers that uploads and analyses leave idle, for pictures that nobody waits for."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class IdleWorkers:
    """Counts who uses the workers.

    Where there are several workers, one is never lent, so that an upload finds it. Of a single one an upload waits at
    most for the rest of one picture.
    """

    def __init__(self, worker_count: int) -> None:
        self._workers, self._most_lent = worker_count, max(1, worker_count - 1)
        self._jobs = self._lent = 0
        self._waiting = 0
        self._changed = asyncio.Event()

    @property
    def is_awaited(self) -> bool:
        """Tell whether somebody waits already: each who waits holds a request that an upload could have."""
        return self._waiting > 0

    @contextmanager
    def without_one(self) -> Iterator[None]:
        """Use a worker for a job that comes first."""
        self._jobs += 1
        try:
            yield
        finally:
            self._jobs -= 1
            self._changed.set()

    async def acquire(self) -> None:
        """Wait for a worker that no job needs."""
        self._waiting += 1
        try:
            while self._lent >= self._most_lent or self._jobs + self._lent >= self._workers:
                self._changed.clear()
                await self._changed.wait()
        finally:
            self._waiting -= 1
        self._lent += 1

    def release(self) -> None:
        """Give the worker back."""
        self._lent -= 1
        self._changed.set()
