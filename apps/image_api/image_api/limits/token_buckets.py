"""Token buckets: what a limit is, and the buckets in the process's memory.

Kept for each caller is only the time at which its bucket will be full again, in whole microseconds.
Source: the generic cell rate algorithm, ITU-T I.371.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

_MOST_BUCKETS = 50_000
_MICROSECONDS = 1_000_000


class Limit:
    """So many tokens fit into a caller's bucket, and come back at a steady rate, all of them within the window."""

    def __init__(self, name: str, capacity: int, window_seconds: int) -> None:
        self.name, self.capacity, self.window_seconds = name, capacity, window_seconds
        self.token_us = max(1, window_seconds * _MICROSECONDS // capacity)
        self.window_us = self.token_us * capacity
        # Source: IETF draft-ietf-httpapi-ratelimit-headers-11.
        self.policy = f'"{name}";q={capacity};w={window_seconds}'

    def share(self, parts: int, floor: int) -> "Limit":
        """Return the limit of one of so many instances that know nothing of one another.

        As much fits into the bucket as ever; it fills more slowly, but with `floor` tokens in the window at least:
        usually a single instance is there, and then its share is all that a caller gets.
        """
        tokens = min(self.capacity, max(self.capacity // parts, floor))
        return Limit(self.name, self.capacity, math.ceil(self.window_seconds * self.capacity / tokens))

    def state(self, spare_us: int) -> str:
        """What is left, and in how many seconds all of it is back, as the header `RateLimit` tells it."""
        full_in = max(1, math.ceil((self.window_us - spare_us) / _MICROSECONDS))
        return f'"{self.name}";r={spare_us // self.token_us};t={full_in}'


def wait_seconds(spare_us: int) -> int:
    """In how many seconds a caller that was refused has a token."""
    return max(1, math.ceil(-spare_us / _MICROSECONDS))


def monotonic_us() -> int:
    """The process's clock."""
    return time.monotonic_ns() // 1000


class MemoryBuckets:
    """Buckets that this process alone knows of."""

    def __init__(self, clock: Callable[[], int] = monotonic_us) -> None:
        self._clock = clock
        self._full_at: dict[str, dict[str, int]] = defaultdict(dict)

    def take(self, caller: str, limits: Sequence[Limit]) -> list[int]:
        """Takes a token of each limit that has one; for each, the microseconds to spare, negative where it has none."""
        now = self._clock()
        spares = []
        for limit in limits:
            buckets = self._full_at[limit.name]
            full_at = max(buckets.get(caller, now), now) + limit.token_us
            spare = now + limit.window_us - full_at
            spares.append(spare)
            if spare < 0:
                continue
            if len(buckets) >= _MOST_BUCKETS and caller not in buckets:
                # The oldest goes, whatever it holds: to search for a full one would cost each new caller more.
                del buckets[next(iter(buckets))]
            buckets[caller] = full_at
        return spares
