"""Rate limits: token buckets in the process's memory. Each instance takes its share."""

import math
import time

from image_api.settings import ApiSettings
from image_core import errors

_BURST_SECONDS = 2
_MOST_BUCKETS = 100_000
_REPORTS_PER_MINUTE = 10


class TokenBucket:
    """One limit for many callers: so many tokens fit in, and come back at a steady rate.

    Kept for each caller is only the time at which its bucket will be full again.
    Source: the generic cell rate algorithm, ITU-T I.371.
    """

    def __init__(self, capacity: int, refill_seconds: float) -> None:
        self.capacity, self.refill_seconds = capacity, refill_seconds
        self._token_seconds = refill_seconds / capacity
        self._full_at: dict[str, float] = {}

    def take(self, caller: str, now: float) -> int | None:
        """Takes a token and returns how many are left; None where there was none."""
        full_at = max(self._full_at.get(caller, now), now) + self._token_seconds
        if full_at - now > self.refill_seconds + 1e-9:
            return None
        if len(self._full_at) >= _MOST_BUCKETS:
            self._full_at = {name: at for name, at in self._full_at.items() if at > now}
        self._full_at[caller] = full_at
        return int((self.refill_seconds - (full_at - now)) / self._token_seconds + 1e-6)

    def wait_seconds(self, caller: str, now: float) -> float:
        """How long until this caller has a token."""
        return max(0.0, self._full_at.get(caller, now) + self._token_seconds - self.refill_seconds - now)


class RateLimits:
    """Five limits: requests and uploads a caller; bad keys, reports of leaked ones and sign-ins an address."""

    def __init__(self, settings: ApiSettings) -> None:
        def bucket(amount: int, seconds: float) -> TokenBucket:
            return TokenBucket(max(1, amount // settings.max_instances), seconds)

        # Two seconds' worth may come at once.
        self._requests = bucket(settings.rate_limit_per_second * _BURST_SECONDS, _BURST_SECONDS)
        self._uploads = bucket(settings.upload_rate_limit_per_second * _BURST_SECONDS, _BURST_SECONDS)
        self._bad_keys = bucket(settings.bad_key_limit_per_minute, 60)
        self._reports = bucket(_REPORTS_PER_MINUTE, 60)
        self._sign_ins = bucket(settings.sign_in_limit_per_minute, 60)

    def count_request(self, caller_name: str) -> dict[str, str]:
        """Counts a request and returns the headers that tell of the limit. Raises `errors.TooManyRequests`."""
        return _count(self._requests, "requests", caller_name)

    def count_upload(self, caller_name: str) -> dict[str, str]:
        """Counts an upload and returns the headers that tell of the limit. Raises `errors.TooManyRequests`."""
        return _count(self._uploads, "uploads", caller_name)

    def count_bad_key(self, address: str) -> None:
        """Counts an attempt with a key that is not valid. Raises `errors.TooManyBadKeys`."""
        detail = "Too many attempts with keys that are not valid came from this address."
        _count_attempt(self._bad_keys, address, errors.TooManyBadKeys, detail)

    def count_sign_in(self, address: str) -> None:
        """Counts an attempt to sign in, register or reset. Raises `errors.TooManySignIns`."""
        detail = "Too many attempts to sign in came from this address."
        _count_attempt(self._sign_ins, address, errors.TooManySignIns, detail)

    def count_report(self, address: str) -> None:
        """Counts a report of a leaked key. Raises `errors.TooManyRequests`."""
        now = time.monotonic()
        if self._reports.take(address, now) is None:
            raise errors.TooManyRequests(
                "Too many reports came from this address.",
                retry_after_seconds=math.ceil(self._reports.wait_seconds(address, now)),
            )


def _count_attempt(bucket: TokenBucket, address: str, error: type[errors.LimitExceeded], detail: str) -> None:
    now = time.monotonic()
    if bucket.take(address, now) is None:
        raise error(detail, retry_after_seconds=math.ceil(bucket.wait_seconds(address, now)))


def _count(bucket: TokenBucket, policy: str, caller_name: str) -> dict[str, str]:
    now = time.monotonic()
    left = bucket.take(caller_name, now)
    if left is None:
        raise errors.TooManyRequests(
            f"This caller may send {bucket.capacity} {policy} in {bucket.refill_seconds} s.",
            retry_after_seconds=math.ceil(bucket.wait_seconds(caller_name, now)),
            limit=bucket.capacity,
            window_seconds=bucket.refill_seconds,
        )
    # Source: IETF draft-ietf-httpapi-ratelimit-headers-10.
    return {
        "ratelimit-policy": f'"{policy}";q={bucket.capacity};w={bucket.refill_seconds}',
        "ratelimit": f'"{policy}";r={left};t={bucket.refill_seconds}',
    }
