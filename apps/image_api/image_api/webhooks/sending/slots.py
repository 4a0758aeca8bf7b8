"""Who may be sent to at once: endpoints that hang must not hold up those that answer."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

SLOTS = 128
"""Attempts of an instance at once."""
MOST_OF_FAILING = SLOTS // 2
MOST_OF_ENDPOINT = 4
SLOW_SECONDS = 1.0
"""An attempt that takes longer counts like those to failing endpoints."""


class Candidate(NamedTuple):
    """A delivery that is due."""

    delivery_id: UUID
    webhook_id: UUID
    team_id: UUID
    is_proven: bool
    """Whether the last attempt at the endpoint succeeded. A new one is not proven yet."""


@dataclass(frozen=True)
class Flight:
    """An attempt under way."""

    candidate: Candidate
    started_at: float


@dataclass
class Slots:
    """The attempts of one instance: at most four an endpoint, one where the last attempt did not succeed.

    Endpoints that fail or are slow take at most half of the slots together, and a team a quarter of the rest.
    """

    clock: Callable[[], float]
    _flights: dict[UUID, Flight] = field(default_factory=dict)
    _last_team: UUID | None = None

    def __len__(self) -> int:
        return len(self._flights)

    def release(self, delivery_id: UUID) -> None:
        """Free the slot of an attempt that has ended."""
        self._flights.pop(delivery_id, None)

    def take(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Take slots for as many deliveries as there are, in turn by team, then by endpoint; return those."""
        queues = self._queues(candidates)
        taken: list[Candidate] = []
        while queues:
            for team_id in list(queues):
                chosen = self._take_one(queues[team_id])
                if chosen is not None:
                    taken.append(chosen)
                    self._last_team = team_id
                if not queues[team_id]:
                    del queues[team_id]
        return taken

    def _queues(self, candidates: Iterable[Candidate]) -> dict[UUID, deque[deque[Candidate]]]:
        """Return the candidates by endpoint by team; the team after the one served last comes first."""
        grouped: dict[UUID, dict[UUID, deque[Candidate]]] = {}
        for candidate in candidates:
            if candidate.delivery_id not in self._flights:
                grouped.setdefault(candidate.team_id, {}).setdefault(candidate.webhook_id, deque()).append(candidate)
        order = sorted(grouped)
        last = self._last_team
        if last is not None:
            order.sort(key=lambda team_id: (team_id <= last, team_id))
        return {team_id: deque(grouped[team_id].values()) for team_id in order}

    def _take_one(self, endpoints: deque[deque[Candidate]]) -> Candidate | None:
        """Take a slot for the first endpoint that may have one, which then comes last; drop those that may not."""
        while endpoints:
            queue = endpoints.popleft()
            if not self._may_take(queue[0]):
                continue
            chosen = queue.popleft()
            self._flights[chosen.delivery_id] = Flight(chosen, self.clock())
            if queue:
                endpoints.append(queue)
            return chosen
        return None

    def _may_take(self, candidate: Candidate) -> bool:
        flights = self._flights.values()
        if len(flights) >= SLOTS:
            return False
        own = [flight for flight in flights if flight.candidate.webhook_id == candidate.webhook_id]
        is_sound = candidate.is_proven and not any(self._hangs(flight) for flight in own)
        if len(own) >= (MOST_OF_ENDPOINT if is_sound else 1):
            return False
        hanging = sum(self._hangs(flight) for flight in flights)
        if not is_sound:
            return hanging < MOST_OF_FAILING
        of_team = sum(flight.candidate.team_id == candidate.team_id and not self._hangs(flight) for flight in flights)
        return of_team < (SLOTS - min(hanging, MOST_OF_FAILING)) // 4

    def _hangs(self, flight: Flight) -> bool:
        return not flight.candidate.is_proven or self.clock() - flight.started_at > SLOW_SECONDS
