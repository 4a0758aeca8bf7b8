"""Limits of requests that wait for changes, which would otherwise take the places of those that do something."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from image_core import errors

_SHARE = 4
"""A quarter of what an instance handles at once."""
_RETRY_SECONDS = 5
MAX_OF_ONE_USER = 2


class LongRequests:
    """Counts the requests of this instance that wait."""

    def __init__(self, concurrency: int) -> None:
        self._free = max(1, concurrency // _SHARE)
        self._held: Counter[UUID] = Counter()

    @contextmanager
    def hold(self, user_id: UUID) -> Iterator[None]:
        """Take a place while a request waits.

        Raises:
            errors.TooManyStreams: The user has as many as one may have.
            errors.FeedBusy: There is no place left in this instance.
        """
        if self._held[user_id] >= MAX_OF_ONE_USER:
            raise errors.TooManyStreams(
                f"Too many requests wait for changes: the limit is {MAX_OF_ONE_USER} for each user. Close one.",
                retry_after_seconds=_RETRY_SECONDS,
            )
        if self._free <= 0:
            raise errors.FeedBusy(
                "Too many callers wait for changes at once. Try again, or ask without waiting.",
                retry_after_seconds=_RETRY_SECONDS,
            )
        self._free -= 1
        self._held[user_id] += 1
        try:
            yield
        finally:
            self._free += 1
            self._held[user_id] -= 1
            if not self._held[user_id]:
                del self._held[user_id]
