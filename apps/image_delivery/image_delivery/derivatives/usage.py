"""What teams use of delivery: counted in memory, written once a minute, and held to their budgets.

Counts are approximate: those of a minute go with an instance that is killed, and other instances see them late.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from uuid import UUID

from image_core import errors, telemetry
from image_core.db import Database
from image_delivery.derivatives import queries
from image_delivery.derivatives.queries import Usage
from image_delivery.grants.lookups import Lookups
from image_delivery.settings import DeliverySettings

FLUSH_SECONDS = 60.0
_MOST_KEPT = 10_000
# A request waits this long for the writing of what came before it: the instance may have no CPU after its answer.
_FLUSH_PATIENCE_SECONDS = 0.25


@lru_cache(maxsize=2)
def _day(number: int) -> date:
    """Return the day so many days after the first of 1970."""
    return date(1970, 1, 1) + timedelta(days=number)


@dataclass
class _Traffic:
    """What this instance has answered since it was last logged."""

    requests: int = 0
    size_bytes: int = 0
    refused: int = 0


@dataclass
class _Counts:
    requests: int = 0
    bytes: int = 0
    exact_makes: int = 0
    open_makes: int = 0


class TeamUsage:
    """Counts requests, bytes and makes of teams, and the days on which renditions were used."""

    def __init__(self, database: Database, settings: DeliverySettings, now: Callable[[], float] = time.time) -> None:
        self._database, self._settings, self.now = database, settings, now
        self._counts: defaultdict[tuple[UUID, date], _Counts] = defaultdict(_Counts)
        self._traffic = _Traffic()
        self._used: set[str] = set()
        self._noted_on: dict[str, date] = {}
        self._flushed_at = now()
        self._flushing: asyncio.Task[None] | None = None
        self._written: Lookups[UUID, Usage] = Lookups(
            self._read, outage_seconds=settings.delivery_outage_seconds, most_kept=_MOST_KEPT
        )

    @property
    def today(self) -> date:
        """The day in UTC."""
        return _day(int(self.now() // 86_400))

    def count_answer(self, team_id: UUID, size_bytes: int) -> None:
        """Count a request, and the bytes of its answer."""
        counts = self._counts[team_id, self.today]
        counts.requests += 1
        counts.bytes += size_bytes
        self._traffic.requests += 1
        self._traffic.size_bytes += size_bytes

    def count_refusal(self) -> None:
        """Count a request that was refused because too many wait for a worker."""
        self._traffic.refused += 1

    def count_make(self, team_id: UUID, *, is_exact: bool) -> None:
        """Count a picture that is made."""
        counts = self._counts[team_id, self.today]
        if is_exact:
            counts.exact_makes += 1
        else:
            counts.open_makes += 1

    def note_use(self, object_name: str) -> None:
        """Note that a rendition was used today."""
        today = self.today
        if self._noted_on.pop(object_name, None) != today:
            self._used.add(object_name)
        self._noted_on[object_name] = today
        if len(self._noted_on) > _MOST_KEPT:
            del self._noted_on[next(iter(self._noted_on))]

    async def check_make(self, team_id: UUID, *, is_exact: bool) -> None:
        """Let a team have another picture made today.

        Raises:
            errors.DeliveryQuotaExceeded: it has had as many made as it may.
        """
        settings = self._settings
        most = settings.delivery_exact_makes_per_day if is_exact else settings.delivery_open_makes_per_day
        if most is None:
            return
        written, counted = await self._known(team_id), self._counts.get((team_id, self.today), _Counts())
        made = written.exact_makes + counted.exact_makes if is_exact else written.open_makes + counted.open_makes
        if made >= most:
            raise errors.DeliveryQuotaExceeded(
                f"Too many pictures made today: the limit is {most}. Pictures that are stored are still delivered.",
                retry_after_seconds=self._seconds_until_tomorrow(),
            )

    async def check_bytes(self, team_id: UUID) -> None:
        """Let a team have another answer this month.

        Raises:
            errors.DeliveryQuotaExceeded: it has had as many bytes delivered as it may.
        """
        most = self._settings.delivery_bytes_per_month
        if most is None:
            return
        written, counted = await self._known(team_id), self._counts.get((team_id, self.today), _Counts())
        if written.month_bytes + counted.bytes >= most:
            raise errors.DeliveryQuotaExceeded(f"Too many bytes delivered this month: the limit is {most} bytes.")

    async def flush_if_due(self) -> None:
        """Write what was counted, if the last time was a while ago. Waits a little for it, and never fails."""
        if self._flushing is None and self.now() - self._flushed_at >= FLUSH_SECONDS:
            self._flushed_at = self.now()
            self._flushing = asyncio.create_task(self.flush())
            self._flushing.add_done_callback(self._end_flush)
        if self._flushing is not None:
            await asyncio.wait([self._flushing], timeout=_FLUSH_PATIENCE_SECONDS)

    async def flush(self) -> None:
        """Log what was counted, and write it. What cannot be written is kept for the next time."""
        self._log_traffic()
        counts, used = dict(self._counts), list(self._used)
        self._counts.clear()
        self._used.clear()
        try:
            if counts:
                await queries.add_usage(self._database, [(*key, *vars(each).values()) for key, each in counts.items()])
                counts.clear()
            if used:
                await queries.note_uses(self._database, used)
        except errors.DatabaseUnavailable:
            telemetry.log("delivery_usage_not_written", severity="WARNING", teams=len(counts))
            self._used.update(used)
            for key, each in counts.items():
                self._restore(key, each)

    def _log_traffic(self) -> None:
        """Log the sums that alerts and the dashboard add up over all instances."""
        traffic, self._traffic = self._traffic, _Traffic()
        if traffic.requests:
            telemetry.log("delivery_traffic", requests=traffic.requests, size_bytes=traffic.size_bytes)
        if traffic.refused:
            telemetry.log("delivery_refusals", requests=traffic.refused)

    def _restore(self, key: tuple[UUID, date], counted: _Counts) -> None:
        counts = self._counts[key]
        for name, value in vars(counted).items():
            setattr(counts, name, getattr(counts, name) + value)

    def _end_flush(self, done: asyncio.Task[None]) -> None:
        self._flushing = None
        if not done.cancelled() and (error := done.exception()) is not None:
            telemetry.log_unexpected(error)

    async def _known(self, team_id: UUID) -> Usage:
        try:
            return await self._written.get(team_id) or Usage()
        except errors.DatabaseUnavailable:
            # A budget is no reason to refuse what could be delivered.
            return Usage()

    async def _read(self, team_ids: Collection[UUID]) -> Mapping[UUID, Usage]:
        return await queries.usage_of(self._database, team_ids, self.today)

    def _seconds_until_tomorrow(self) -> int:
        tomorrow = datetime.combine(self.today + timedelta(days=1), datetime.min.time(), UTC)
        return max(1, int(tomorrow.timestamp() - self.now()))
