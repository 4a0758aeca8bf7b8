"""The system's resolver, with a limit per caller, because a lookup that hangs cannot be cancelled.

Each caller may have few lookups in progress, counted until their threads end, so names that hang only delay the caller
who sent them.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import suppress
from weakref import WeakValueDictionary

LOOKUPS_PER_CALLER = 2
_MAX_LOOKUPS = 128


def _addresses_of(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class SystemResolver:
    """Resolves names in daemon threads, which do not delay the end of the process."""

    def __init__(self, look_up: Callable[[str], list[str]] = _addresses_of) -> None:
        self._look_up = look_up
        self._all = asyncio.Semaphore(_MAX_LOOKUPS)
        self._of_callers: WeakValueDictionary[Hashable, asyncio.Semaphore] = WeakValueDictionary()

    async def __call__(self, host: str, caller: Hashable) -> list[str]:
        """Return the addresses of a host, without duplicates.

        Raises:
            OSError: The name does not resolve.
        """
        loop, own = asyncio.get_running_loop(), self._of_callers.get(caller)
        if own is None:
            own = self._of_callers[caller] = asyncio.Semaphore(LOOKUPS_PER_CALLER)
        await own.acquire()
        try:
            await self._all.acquire()
        except BaseException:
            own.release()
            raise

        def release() -> None:
            self._all.release()
            own.release()

        def released(_: object) -> None:
            # The loop may have been closed while a name was still hanging.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(release)

        found: Future[list[str]] = Future()
        found.set_running_or_notify_cancel()
        found.add_done_callback(released)
        threading.Thread(target=self._run, args=(host, found), name="resolve-source", daemon=True).start()
        return await asyncio.wrap_future(found)

    def _run(self, host: str, found: "Future[list[str]]") -> None:
        try:
            found.set_result(self._look_up(host))
        except Exception as error:  # noqa: BLE001 (whoever waits gets it)
            found.set_exception(error)
