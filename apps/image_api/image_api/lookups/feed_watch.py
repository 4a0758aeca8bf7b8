"""Tells those who wait for events that there are some: one query per interval, however many wait."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from image_core import errors
from image_core.background import supervise
from image_core.db import Database
from image_core.feed import reading
from image_core.feed.reading import Position
from image_core.telemetry import log

INTERVAL_SECONDS = 0.5
_BATCH = 500


class Watcher:
    """Somebody who waits for events of a team, or of all teams (None)."""

    def __init__(self, team_id: UUID | None) -> None:
        self._team_id = team_id
        self._woken = asyncio.Event()
        # What was read before this began is not what is there now.
        self._woken.set()

    async def wait(self, seconds: float) -> bool:
        """Wait; return whether it is worth reading the feed, the first time always."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        woken = self._woken.is_set()
        self._woken.clear()
        return woken

    def tell(self, team_ids: set[UUID | None] | None = None) -> None:
        """Wake this watcher if one of these teams concerns it; None is everybody."""
        if team_ids is None or self._team_id in team_ids or (self._team_id is None and team_ids):
            self._woken.set()


class FeedWatch:
    """Polls the feed while somebody watches it."""

    def __init__(self, database: Database, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self.interval_seconds = interval_seconds
        self._database = database
        self._watchers: set[Watcher] = set()
        self._polling: asyncio.Task[None] | None = None
        self._seen: Position | None = None

    @contextmanager
    def watching(self, team_id: UUID | None) -> Iterator[Watcher]:
        """Watch the events of a team, or of all teams. Read the feed whenever `Watcher.wait` says so."""
        watcher = Watcher(team_id)
        self._watchers.add(watcher)
        if self._polling is None or self._polling.done():
            self._seen = None
            self._polling = asyncio.create_task(supervise("feed_watch", self._poll_until_nobody_watches))
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    async def close(self) -> None:
        """Stop polling."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)

    async def _poll_until_nobody_watches(self) -> None:
        while self._watchers:
            try:
                await self._poll()
            except errors.DatabaseUnavailable:
                # Each of them meets the error for itself.
                log("feed_not_polled", severity="WARNING")
                self._tell(None)
            await asyncio.sleep(self.interval_seconds)

    async def _poll(self) -> None:
        if self._seen is None:
            self._seen = await reading.newest(self._database)
            # Events may have come between what they have read and this beginning.
            self._tell(None)
            return
        has_more = True
        while has_more:
            found = await reading.new_events(self._database, self._seen, _BATCH)
            self._seen, has_more = found.next_position, found.has_more
            self._tell(found.team_ids)

    def _tell(self, team_ids: set[UUID | None] | None) -> None:
        for watcher in self._watchers:
            watcher.tell(team_ids)
