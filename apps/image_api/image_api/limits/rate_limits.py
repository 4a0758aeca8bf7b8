"""Rate limits: how often each caller may send requests, and the headers and errors that report the limits."""

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from image_api.limits.redis_buckets import RedisBuckets
from image_api.limits.token_buckets import Limit, MemoryBuckets, wait_seconds
from image_api.settings import ApiSettings
from image_core import errors

_BURST_SECONDS = 2
_MAX_EXHAUSTED = 10_000
_REPORTS_PER_MINUTE = 10
_WEBHOOK_CALLS_PER_MINUTE = 10
_FLOORS = {"requests": 20, "addresses": 20, "sign-ins": 10}


class RateLimits:
    """Limits per caller (requests, uploads) and per address (unauthenticated requests, bad keys, sign-ins, reports).

    The buckets are in Redis if it is configured, shared by all instances. Otherwise, and while Redis is unavailable,
    each instance grants its share of the sustained rate; `on_fallback` is called for each request affected.
    """

    def __init__(self, settings: ApiSettings, on_fallback: Callable[[], None] = lambda: None) -> None:
        url = settings.rate_limit_url
        self._shared = RedisBuckets(url.get_secret_value(), settings.rate_limit_ca_pem) if url else None
        self._own, self._on_fallback = MemoryBuckets(), on_fallback
        self._exhausted: dict[str, float] = {}

        # Bursts may use two seconds' worth of requests.
        self._requests = Limit("requests", settings.rate_limit_per_second * _BURST_SECONDS, _BURST_SECONDS)
        self._uploads = Limit("uploads", settings.upload_rate_limit_per_second * _BURST_SECONDS, _BURST_SECONDS)
        self._addresses = Limit("addresses", settings.address_rate_limit_per_second * _BURST_SECONDS, _BURST_SECONDS)
        self._bad_keys = Limit("bad-keys", settings.bad_key_limit_per_minute, 60)
        self._sign_ins = Limit("sign-ins", settings.sign_in_limit_per_minute, 60)
        self._reports = Limit("reports", _REPORTS_PER_MINUTE, 60)
        self._webhook_calls = Limit("webhook-calls", _WEBHOOK_CALLS_PER_MINUTE, 60)
        by_address = (self._addresses, self._bad_keys, self._sign_ins, self._reports)
        limits = (self._requests, self._uploads, self._webhook_calls, *by_address)
        self._shares = {limit: limit.share(settings.max_instances, _FLOORS.get(limit.name, 1)) for limit in limits}

    @property
    def of_callers(self) -> tuple[Limit, ...]:
        """The limits of each caller, as configured."""
        return self._requests, self._uploads

    async def open(self) -> None:
        """Connect to Redis, if configured; wait no longer than a second."""
        if self._shared is not None:
            await self._shared.open()

    async def close(self) -> None:
        """Close the connections."""
        if self._shared is not None:
            await self._shared.close()

    async def count_request(self, caller_name: str) -> dict[str, str]:
        """Count a request and return the headers that report the limit.

        Raises:
            errors.TooManyRequests: Too many requests.
        """
        return await self._count(caller_name, self._requests)

    async def count_upload(self, caller_name: str) -> dict[str, str]:
        """Count an upload, which also counts as a request; return the headers that report the limits.

        Raises:
            errors.TooManyRequests: Too many requests.
        """
        return await self._count(caller_name, self._uploads, self._requests)

    async def count_address(self, address: str) -> dict[str, str]:
        """Count an unauthenticated request; return the headers that report the limit.

        Raises:
            errors.TooManyRequests: Too many requests.
        """
        return await self._count(network_of(address), self._addresses)

    async def count_bad_key(self, address: str) -> None:
        """Count an attempt with an invalid key.

        Raises:
            errors.TooManyBadKeys: Too many attempts with invalid keys.
            errors.TooManyRequests: Too many requests.
        """
        await self._count(network_of(address), self._bad_keys, self._addresses)

    async def count_sign_in(self, address: str) -> None:
        """Count an attempt to sign in, register or reset a password.

        Raises:
            errors.TooManySignIns: Too many attempts to sign in.
        """
        await self._count(network_of(address), self._sign_ins)

    async def count_report(self, address: str) -> None:
        """Count a report of a leaked key.

        Raises:
            errors.TooManyRequests: Too many requests.
        """
        await self._count(network_of(address), self._reports)

    async def count_webhook_call(self, caller_name: str) -> None:
        """Count a test or a replay of a webhook.

        Raises:
            errors.TooManyWebhookCalls: There were too many.
        """
        await self._count(caller_name, self._webhook_calls)

    def refusal(self, address: str) -> errors.LimitExceeded | None:
        """Return the error for an address that was just refused here and has no token yet, else None."""
        if not self._exhausted:
            return None
        wait = self._exhausted.get(network_of(address), 0) - time.monotonic()
        return _exceeded(self._addresses, -int(wait * 1_000_000)) if wait > 0 else None

    async def _count(self, caller: str, *limits: Limit) -> dict[str, str]:
        taken: Sequence[Limit] = limits
        spares = await self._shared.take(caller, limits) if self._shared is not None else None
        if spares is None:
            if self._shared is not None:
                self._on_fallback()
            taken = [self._shares[limit] for limit in limits]
            spares = self._own.take(caller, taken)
        refused = [(limit, spare) for limit, spare in zip(taken, spares, strict=True) if spare < 0]
        if not refused:
            return {
                "ratelimit-policy": ", ".join([limit.policy for limit in taken]),
                "ratelimit": ", ".join([limit.state(spare) for limit, spare in zip(taken, spares, strict=True)]),
            }
        for limit, spare in refused:
            if limit.name == self._addresses.name:
                self._remember(caller, spare)
        raise _exceeded(*refused[0])

    def _remember(self, network: str, spare_us: int) -> None:
        now = time.monotonic()
        if len(self._exhausted) >= _MAX_EXHAUSTED:
            self._exhausted.clear()
        self._exhausted[network] = now - spare_us / 1_000_000


_ERRORS: dict[str, type[errors.LimitExceeded]] = {
    "bad-keys": errors.TooManyBadKeys,
    "sign-ins": errors.TooManySignIns,
    "webhook-calls": errors.TooManyWebhookCalls,
}
_DETAILS = {
    "requests": "Too many requests: the limit is {0.capacity} in {0.window_seconds} s. Wait for `Retry-After`.",
    "uploads": "Too many uploads: the limit is {0.capacity} in {0.window_seconds} s. Wait for `Retry-After`.",
    "addresses": "Too many requests without a valid key from this address: the limit is {0.capacity} in"
    " {0.window_seconds} s. Wait for `Retry-After`.",
    "webhook-calls": "Too many tests and replays of webhooks: the limit is {0.capacity} in {0.window_seconds} s."
    " Wait for `Retry-After`.",
    "bad-keys": "Too many invalid keys from this address: the limit is {0.capacity} in {0.window_seconds} s."
    " Wait for `Retry-After`.",
    "sign-ins": "Too many attempts to sign in from this address: the limit is {0.capacity} in {0.window_seconds} s."
    " Wait for `Retry-After`.",
    "reports": "Too many reports from this address: the limit is {0.capacity} in {0.window_seconds} s."
    " Wait for `Retry-After`.",
}


def _exceeded(limit: Limit, spare_us: int) -> errors.LimitExceeded:
    error = _ERRORS.get(limit.name, errors.TooManyRequests)
    return error(
        _DETAILS[limit.name].format(limit),
        retry_after_seconds=wait_seconds(spare_us),
        policy=limit.name,
        limit=limit.capacity,
        window_seconds=limit.window_seconds,
    )


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Return the network by which an address is counted: for IPv6 its /64, the least that a subscriber gets."""
    try:
        found = ip_address(address)
    except ValueError:
        return "unknown"
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ip_network((found, 64), strict=False))
