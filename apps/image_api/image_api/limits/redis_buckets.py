"""Token buckets in Redis, shared by all instances. While Redis is unavailable, no request waits for it."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from image_api.limits.token_buckets import Limit
from image_core.background import supervise
from image_core.telemetry import log

ANSWER_SECONDS = 0.05
"""The longest time for which a request waits for Redis."""
CONNECT_SECONDS = 1.0
"""Timeout of a new connection, in the background: TLS and login take longer than a request may wait."""
RETRY_SECONDS = 1.0
_LOG_SECONDS = 60.0
_MAX_CONNECTIONS = 8

# The same arithmetic as `MemoryBuckets.take`, in one round trip for all limits of a request. Keys of one caller share a
# hash tag, so that a cluster keeps them together. It uses the server's clock, because instances' clocks differ.
_TAKE = """
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local spares = {}
for i, key in ipairs(KEYS) do
  local token, window = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local full_at = math.max(tonumber(redis.call('GET', key)) or now, now) + token
  spares[i] = now + window - full_at
  if spares[i] >= 0 then
    redis.call('SET', key, string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000))
  end
end
return spares
"""
# The script's identifier in Redis.
_TAKE_SHA1 = hashlib.sha1(_TAKE.encode(), usedforsecurity=False).hexdigest()


class RedisBuckets:
    """Uses Redis while it responds, and reconnects in the background when it does not.

    At most one request waits `ANSWER_SECONDS` for a failure; requests before Redis is back do not wait at all.
    """

    def __init__(self, url: str, ca_pem: str | None = None, *, clock: Callable[[], int] | None = None) -> None:
        # Imported only if a URL is set.
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        # Managed instances use their own certificate authority, and an IP address that no certificate names.
        trust: dict[str, Any] = {"ssl_ca_data": ca_pem, "ssl_check_hostname": False} if ca_pem else {}
        self._redis = Redis(
            connection_pool=BlockingConnectionPool.from_url(
                url, max_connections=_MAX_CONNECTIONS, timeout=None, retry=Retry(NoBackoff(), 0), **trust
            )
        )
        self._clock = clock
        self._connected = False
        self._logged_at = float("-inf")
        self._connecting: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, or keep trying in the background."""
        if not await self._connect():
            self._connecting = asyncio.create_task(supervise("rate_limit_store", self._keep_connecting))

    async def close(self) -> None:
        """Stop the background task and close the connections."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        await self._redis.aclose()

    async def take(self, caller: str, limits: Sequence[Limit]) -> list[int] | None:
        """Do what `MemoryBuckets.take` does with the shared buckets; return None if Redis does not respond."""
        if not self._connected:
            return None
        keys = [f"rate-limit:{{{caller}}}:{limit.name}" for limit in limits]
        numbers = [number for limit in limits for number in (limit.token_us, limit.window_us)]
        now = "" if self._clock is None else self._clock()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                spares = await self._redis.evalsha(_TAKE_SHA1, len(keys), *keys, now, *numbers)
            if not _is_valid_reply(spares, len(limits)):
                raise ValueError("not an answer to what was asked")  # noqa: TRY301 (told as every other failure is)
        except Exception as error:  # noqa: BLE001 (whatever a broken server makes the client raise, requests go on)
            self._mark_unavailable(error)
            return None
        return spares  # type: ignore[no-any-return]

    def _mark_unavailable(self, error: Exception) -> None:
        self._connected = False
        self._log_failure(error)
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(supervise("rate_limit_store", self._keep_connecting))

    def _log_failure(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._logged_at >= _LOG_SECONDS:
            self._logged_at = now
            log("rate_limit_store_unavailable", severity="WARNING", reason=type(error).__qualname__)

    async def _keep_connecting(self) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            if await self._connect():
                return

    async def _connect(self) -> bool:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                # A server that was restarted has lost the script.
                loaded = await self._redis.script_load(_TAKE)
            if loaded not in (_TAKE_SHA1, _TAKE_SHA1.encode()):
                raise ValueError("not the script's name")  # noqa: TRY301 (told as every other failure is)
        except Exception as error:  # noqa: BLE001 (as in `take`)
            self._log_failure(error)
            return False
        self._connected = True
        return True


def _is_valid_reply(answer: object, count: int) -> bool:
    return isinstance(answer, list) and len(answer) == count and all(type(spare) is int for spare in answer)
