"""Work that outlives its request, and is cancelled when the process ends."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from image_core.telemetry import log_unexpected


class BackgroundWork:
    """Holds references to tasks, which are otherwise garbage-collected."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start some work."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log_unexpected(error)

    async def close(self) -> None:
        """Cancel all work in progress."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
