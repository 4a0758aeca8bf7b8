"""Supervision of background work that runs as long as the process and must not stop unnoticed."""

import asyncio
from collections.abc import Awaitable, Callable

from image_core.telemetry import log_unexpected

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0
# A run of this length has recovered from whatever ended the previous one.
_HEALTHY_SECONDS = 60.0


async def supervise(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` until it returns; log a failure and start it again, with increasing pauses.

    Only cancellation stops it: every other exception of `work` leads to a restart.
    """
    loop = asyncio.get_running_loop()
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        started_at = loop.time()
        try:
            return await work()
        except Exception as error:  # noqa: BLE001 - that it ended is what must not go unnoticed
            log_unexpected(error, background_work=name)
        if loop.time() - started_at > _HEALTHY_SECONDS:
            pause_seconds = _FIRST_PAUSE_SECONDS
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(_LONGEST_PAUSE_SECONDS, 2 * pause_seconds)
