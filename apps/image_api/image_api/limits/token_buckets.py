"""Token buckets: the definition of a limit, and buckets in the process's memory.

The only state per caller is the time at which its bucket will be full again, in whole microseconds.
Source: the generic cell rate algorithm, ITU-T I.371.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

_MAX_BUCKETS = 50_000
_MICROSECONDS = 1_000_000


class Limit:
    """A bucket of `capacity` tokens per caller that refills steadily within `window_seconds`."""

    def __init__(self, name: str, capacity: int, window_seconds: int) -> None:
        self.name, self.capacity, self.window_seconds = name, capacity, window_seconds
        self.token_us = max(1, window_seconds * _MICROSECONDS // capacity)
        self.window_us = self.token_us * capacity
        # Source: IETF draft-ietf-httpapi-ratelimit-headers-11.
        self.policy = f'"{name}";q={capacity};w={window_seconds}'

    def share(self, parts: int, floor: int) -> "Limit":
        """Return the limit for one of several instances that do not share state.

        The capacity stays the same, but the bucket refills more slowly, with at least `floor` tokens per window:
        usually there is only one instance, and then its share is all that a caller gets.
        """
        tokens = min(self.capacity, max(self.capacity // parts, floor))
        return Limit(self.name, self.capacity, math.ceil(self.window_seconds * self.capacity / tokens))

    def state(self, spare_us: int) -> str:
        """Return the remaining tokens and the seconds until the bucket is full, as in the header `RateLimit`."""
        full_in = max(1, math.ceil((self.window_us - spare_us) / _MICROSECONDS))
        return f'"{self.name}";r={spare_us // self.token_us};t={full_in}'


def wait_seconds(spare_us: int) -> int:
    """Return the seconds until a refused caller has a token."""
    return max(1, math.ceil(-spare_us / _MICROSECONDS))


def monotonic_us() -> int:
    """Return the process's clock."""
    return time.monotonic_ns() // 1000


class MemoryBuckets:
    """Buckets in the memory of this process."""

    def __init__(self, clock: Callable[[], int] = monotonic_us) -> None:
        self._clock = clock
        self._full_at: dict[str, dict[str, int]] = defaultdict(dict)

    def take(self, caller: str, limits: Sequence[Limit]) -> list[int]:
        """Take a token of each limit that has one; return the microseconds to spare per limit, negative for none."""
        now = self._clock()
        spares = []
        for limit in limits:
            buckets = self._full_at[limit.name]
            full_at = max(buckets.get(caller, now), now) + limit.token_us
            spare = now + limit.window_us - full_at
            spares.append(spare)
            if spare < 0:
                continue
            if len(buckets) >= _MAX_BUCKETS and caller not in buckets:
                # The oldest entry is evicted, whatever it holds: searching for a full bucket would cost each new caller
                # more.
                del buckets[next(iter(buckets))]
            buckets[caller] = full_at
        return spares
