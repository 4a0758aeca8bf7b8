"""Places among the workers: who makes a picture now, who waits, and who is sent away at once."""

import asyncio
import math
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple
from uuid import UUID

from image_core import errors

MOST_PER_IMAGE = 2
"""How many pictures of one image are made at once, so that one image cannot hold all workers."""
_MOST_WAITING = 1000
_FIRST_ESTIMATE_SECONDS = 0.5
_WEIGHT_OF_LAST = 0.2


class _Waiting(NamedTuple):
    image_id: UUID
    entered_at: float
    admitted: "asyncio.Future[None]"


class Places:
    """A number of places that teams take in turn.

    One team may hold all places but one, so that another's first picture never waits for a flood of its pictures.
    """

    def __init__(self, count: int, deadline_seconds: float) -> None:
        """Describe the places.

        Args:
            count: how many there are.
            deadline_seconds: the longest that anybody waits for one.
        """
        self._count, self._deadline_seconds = count, deadline_seconds
        self._most_per_team = max(1, count - 1)
        self._waiting: OrderedDict[UUID, deque[_Waiting]] = OrderedDict()
        self._by_team: Counter[UUID] = Counter()
        self._by_image: Counter[UUID] = Counter()
        self._estimate_seconds = _FIRST_ESTIMATE_SECONDS

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return sum(len(queue) for queue in self._waiting.values())

    @asynccontextmanager
    async def place(self, team_id: UUID, image_id: UUID) -> AsyncIterator[None]:
        """Hold a place.

        Raises:
            errors.DeliveryBusy: too many wait before, or none became free in time.
        """
        self._check_wait(team_id)
        await self._enter(team_id, image_id)
        began_at = asyncio.get_running_loop().time()
        try:
            yield
            lasted = asyncio.get_running_loop().time() - began_at
            self._estimate_seconds += _WEIGHT_OF_LAST * (lasted - self._estimate_seconds)
            self._send_away_the_late()
        finally:
            self._leave(team_id, image_id)

    def _check_wait(self, team_id: UUID) -> None:
        """Send away whoever would wait too long.

        Raises:
            errors.DeliveryBusy: with the time after which there may be a place.
        """
        seconds = self._expected_wait(team_id, len(self._waiting.get(team_id, ())))
        if seconds > self._deadline_seconds or self.waiting >= _MOST_WAITING:
            raise _busy(seconds)

    def _expected_wait(self, team_id: UUID, waiting_before: int) -> float:
        teams = {*self._waiting, *+self._by_team, team_id}
        at_once = min(self._most_per_team, self._count / len(teams))
        return waiting_before / at_once * self._estimate_seconds

    def _send_away_the_late(self) -> None:
        """Refuse whoever would wait beyond the deadline, now that pictures are known to take longer than estimated."""
        now = asyncio.get_running_loop().time()
        for team_id, queue in self._waiting.items():
            still_waiting = [each for each in queue if not each.admitted.done()]
            for waiting_before, each in enumerate(still_waiting):
                seconds = self._expected_wait(team_id, waiting_before)
                if now - each.entered_at + seconds > self._deadline_seconds:
                    each.admitted.set_exception(_busy(seconds))

    async def _enter(self, team_id: UUID, image_id: UUID) -> None:
        loop = asyncio.get_running_loop()
        waiting = _Waiting(image_id, loop.time(), loop.create_future())
        self._waiting.setdefault(team_id, deque()).append(waiting)
        self._admit()
        try:
            async with asyncio.timeout(self._deadline_seconds):
                await waiting.admitted
        except BaseException as error:
            if _is_admitted(waiting):
                self._leave(team_id, image_id)
            else:
                self._forget(team_id, waiting)
            if isinstance(error, TimeoutError):
                raise _busy(self._estimate_seconds) from None
            raise

    def _admit(self) -> None:
        """Give free places to whoever is next, team by team."""
        while self._by_team.total() < self._count:
            admitted = next((each for each in list(self._waiting) if self._admit_one_of(each)), None)
            if admitted is None:
                return

    def _admit_one_of(self, team_id: UUID) -> bool:
        if self._by_team[team_id] >= self._most_per_team:
            return False
        # Whoever has just left is still in the queue, until its task has run.
        queue = (each for each in self._waiting[team_id] if not each.admitted.done())
        first = next((each for each in queue if self._by_image[each.image_id] < MOST_PER_IMAGE), None)
        if first is None:
            return False
        self._forget(team_id, first)
        if team_id in self._waiting:
            self._waiting.move_to_end(team_id)
        self._by_team[team_id] += 1
        self._by_image[first.image_id] += 1
        first.admitted.set_result(None)
        return True

    def _forget(self, team_id: UUID, waiting: _Waiting) -> None:
        queue = self._waiting[team_id]
        queue.remove(waiting)
        if not queue:
            del self._waiting[team_id]

    def _leave(self, team_id: UUID, image_id: UUID) -> None:
        for counter, key in ((self._by_team, team_id), (self._by_image, image_id)):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]
        self._admit()


def _is_admitted(waiting: _Waiting) -> bool:
    admitted = waiting.admitted
    return admitted.done() and not admitted.cancelled() and admitted.exception() is None


def _busy(seconds: float) -> errors.DeliveryBusy:
    return errors.DeliveryBusy(
        "Too many pictures are being made at the moment. Try again.", retry_after_seconds=max(1, math.ceil(seconds))
    )
