"""When a delivery is tried again, and what an answer means."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple

DELAYS = tuple(
    timedelta(seconds=seconds)
    for seconds in (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
)  # fmt: skip
"""Before each attempt. The second is awaited within the push that made the first."""
MOST_ATTEMPTS = len(DELAYS)
FAILING_FOR = timedelta(days=5)
"""After so long without a success an endpoint is disabled."""
ABORT_HEADER, ABORT_VALUE = "webhook-delivery", "abort-message"
_JITTER = 0.1
_SLOWING = frozenset({429, 502, 504})
_SLOWED_FOR = timedelta(seconds=30)
_SHORTEST_HOLD, _LONGEST_HOLD = timedelta(seconds=5), timedelta(days=1)


class Verdict(NamedTuple):
    """What an attempt means for the delivery and its endpoint."""

    succeeded: bool
    aborted: bool = False
    """The delivery is not tried again."""
    gone: bool = False
    """The endpoint is disabled."""
    hold: timedelta | None = None
    """Nothing is sent to the endpoint for so long."""


def next_delay(attempts: int, draw: Callable[[], float] = random.random) -> timedelta | None:
    """Return how long to wait after a number of failed attempts, about; None after the last."""
    if attempts >= MOST_ATTEMPTS:
        return None
    return DELAYS[attempts] * (1 + _JITTER * (2 * draw() - 1))


def judge(status: int, headers: dict[str, str], now: datetime) -> Verdict:
    """Say what an answer means."""
    if 200 <= status < 300:
        return Verdict(succeeded=True)
    aborted = headers.get(ABORT_HEADER, "").strip().lower() == ABORT_VALUE
    hold = retry_after(headers.get("retry-after", ""), now)
    if hold is None and status in _SLOWING:
        hold = _SLOWED_FOR
    return Verdict(succeeded=False, aborted=aborted or status == 410, gone=status == 410, hold=hold)


def retry_after(text: str, now: datetime) -> timedelta | None:
    """Return what `Retry-After` asks for, 5 seconds to a day; None if it is absent or cannot be read.

    Source: RFC 9110, section 10.2.3.
    """
    text = text.strip()
    if text.isascii() and text.isdecimal():
        wanted = timedelta(seconds=min(int(text[:9]), 86_400))
    else:
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        wanted = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return min(max(wanted, _SHORTEST_HOLD), _LONGEST_HOLD)
