"""Ends long requests in time when the instance is told to stop."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

GRACE_SECONDS = 6.0
"""How long a request may continue after SIGTERM; Cloud Run kills the process after 10 s."""


class Shutdown:
    """Tracks whether the process is stopping, and shortens the deadlines of requests in progress."""

    def __init__(self) -> None:
        self._stop_at: float | None = None
        self._running: set[asyncio.Timeout] = set()
        self._handlers: dict[signal.Signals, tuple[Any, Any]] = {}

    @property
    def stopping(self) -> bool:
        """Return whether SIGTERM or SIGINT has arrived."""
        return self._stop_at is not None

    def listen(self) -> None:
        """Handle SIGTERM and SIGINT before the server's own handler. Call it in the main thread's loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._chain(number, loop)

    def _chain(self, number: signal.Signals, loop: asyncio.AbstractEventLoop) -> None:
        previous: Any = signal.getsignal(number)

        def handle(received: int, frame: FrameType | None) -> None:
            if previous == signal.SIG_DFL:
                # Nothing else ends this process: without a server around it, the signal has its default effect.
                signal.signal(received, signal.SIG_DFL)
                signal.raise_signal(received)
            loop.call_soon_threadsafe(self.begin)
            if callable(previous):
                previous(received, frame)

        try:
            signal.signal(number, handle)
        except ValueError:
            # Only the main thread may install handlers; an application in a test's thread runs without.
            return
        self._handlers[number] = (handle, previous)

    def release(self) -> None:
        """Restore the previous signal handlers."""
        for number, (handle, previous) in self._handlers.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, previous)
        self._handlers.clear()

    def begin(self) -> None:
        """Limit everything in progress to `GRACE_SECONDS`."""
        if self._stop_at is None:
            self._stop_at = asyncio.get_running_loop().time() + GRACE_SECONDS
            for timeout in self._running:
                self._shorten(timeout)

    def _shorten(self, timeout: asyncio.Timeout) -> None:
        at = timeout.when()
        if self._stop_at is not None and (at is None or at > self._stop_at):
            timeout.reschedule(self._stop_at)

    @asynccontextmanager
    async def deadline(self, seconds: float) -> AsyncIterator[None]:
        """Return a context like `asyncio.timeout`, but no longer than the process has left."""
        async with asyncio.timeout(seconds) as timeout:
            self._running.add(timeout)
            self._shorten(timeout)
            try:
                yield
            finally:
                self._running.discard(timeout)
