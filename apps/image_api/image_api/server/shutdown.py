"""Ends long requests in good time when the instance is told to stop."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

GRACE_SECONDS = 6.0
"""How long a request may go on after SIGTERM; Cloud Run kills after 10 s."""


class Shutdown:
    """Knows whether the process is stopping and shortens the deadlines of what is under way."""

    def __init__(self) -> None:
        self._stop_at: float | None = None
        self._running: set[asyncio.Timeout] = set()
        self._handlers: dict[signal.Signals, tuple[Any, Any]] = {}

    @property
    def stopping(self) -> bool:
        """Whether SIGTERM or SIGINT has come."""
        return self._stop_at is not None

    def listen(self) -> None:
        """Hears of SIGTERM and SIGINT before the server's own handler does. Call it in the main thread's loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._chain(number, loop)

    def _chain(self, number: signal.Signals, loop: asyncio.AbstractEventLoop) -> None:
        previous: Any = signal.getsignal(number)

        def handle(received: int, frame: FrameType | None) -> None:
            if previous == signal.SIG_DFL:
                # Nobody else ends this process: without a server around it, the signal does what it always does.
                signal.signal(received, signal.SIG_DFL)
                signal.raise_signal(received)
            loop.call_soon_threadsafe(self.begin)
            if callable(previous):
                previous(received, frame)

        try:
            signal.signal(number, handle)
        except ValueError:
            # Only the main thread may install handlers; an application in a test's thread goes without.
            return
        self._handlers[number] = (handle, previous)

    def release(self) -> None:
        """Leave the signals to whoever had them before."""
        for number, (handle, previous) in self._handlers.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, previous)
        self._handlers.clear()

    def begin(self) -> None:
        """Gives everything under way no more than `GRACE_SECONDS`."""
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
        """Like `asyncio.timeout`, but no longer than the process has left; raises `TimeoutError`."""
        async with asyncio.timeout(seconds) as timeout:
            self._running.add(timeout)
            self._shorten(timeout)
            try:
                yield
            finally:
                self._running.discard(timeout)
