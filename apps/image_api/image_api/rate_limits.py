"""Rate limits, counted in the process's memory: each instance takes its share."""

from limits import RateLimitItem, RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from image_api.settings import ApiSettings
from image_core import errors


class RateLimits:
    """Three limits: requests a key, uploads a key, and attempts with bad keys an address."""

    def __init__(self, settings: ApiSettings) -> None:
        def share(amount: int) -> int:
            return max(1, amount // settings.max_instances)

        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        # Two seconds' worth may come at once.
        self._requests = RateLimitItemPerSecond(share(settings.rate_limit_per_second * 2), 2)
        self._uploads = RateLimitItemPerSecond(share(settings.upload_rate_limit_per_second * 2), 2)
        self._bad_keys = RateLimitItemPerMinute(share(settings.bad_key_limit_per_minute))

    def count_request(self, key_prefix: str) -> dict[str, str]:
        """Counts a request and returns the headers that tell of the limit. Raises `errors.TooManyRequests`."""
        return self._count(self._requests, "requests", key_prefix)

    def count_upload(self, key_prefix: str) -> dict[str, str]:
        """Counts an upload and returns the headers that tell of the limit. Raises `errors.TooManyRequests`."""
        return self._count(self._uploads, "uploads", key_prefix)

    def _count(self, limit: RateLimitItem, policy: str, key_prefix: str) -> dict[str, str]:
        allowed = self._limiter.hit(limit, policy, key_prefix)
        window = limit.get_expiry()
        if not allowed:
            raise errors.TooManyRequests(
                f"This key may send {limit.amount} {policy} in {window} s.",
                retry_after_seconds=window,
                limit=limit.amount,
                window_seconds=window,
            )
        stats = self._limiter.get_window_stats(limit, policy, key_prefix)
        # Source: IETF draft-ietf-httpapi-ratelimit-headers-10.
        return {
            "ratelimit-policy": f'"{policy}";q={limit.amount};w={window}',
            "ratelimit": f'"{policy}";r={stats.remaining};t={window}',
        }

    def check_bad_keys(self, address: str) -> None:
        """Raises `errors.TooManyBadKeys` if this address has tried too many."""
        if not self._limiter.test(self._bad_keys, "bad-keys", address):
            raise errors.TooManyBadKeys(
                "Too many attempts with keys that are not valid came from this address.", retry_after_seconds=60
            )

    def count_bad_key(self, address: str) -> None:
        """Counts an attempt with a key that is not valid."""
        self._limiter.hit(self._bad_keys, "bad-keys", address)
