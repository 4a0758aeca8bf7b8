"""The source of the keys that sign access tokens."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from image_core import errors, telemetry
from image_core.keys import signing_keys
from image_core.keys.signing_keys import SigningKey

REFRESH_SECONDS = 300.0
COOL_DOWN_SECONDS = 30.0
"""Pause after a failed read, and after a read that did not find a key."""
_READ_SECONDS, _TOTAL_SECONDS = 4.0, 5.0
"""Timeouts of the call itself, and of a read including everything before it."""


@dataclass
class SigningKeySource:
    """The current keys, read off the event loop by `read` and cached for `REFRESH_SECONDS`; None means no keys.

    If a later read fails, the keys read before stay in use, so that an outage signs nobody out.
    """

    read: Callable[[], str] | None
    _keys: list[SigningKey] = field(default_factory=list)
    _read_at: float = float("-inf")
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def signing_key(self) -> SigningKey:
        """Return the key that signs.

        Raises:
            errors.TokensNotConfigured: This deployment issues no access tokens.
            errors.SigningKeysUnavailable: The keys that sign access tokens cannot be read.
        """
        if self.read is None:
            raise errors.TokensNotConfigured("Access tokens are not configured here. Sign in with `mode: cookie`.")
        return (await self._refresh(REFRESH_SECONDS))[0]

    async def find(self, kid: str) -> SigningKey | None:
        """Return the key with this id; read the keys again if it is unknown.

        Raises:
            errors.SigningKeysUnavailable: The keys that sign access tokens cannot be read.
        """
        if self.read is None:
            return None
        for max_age_seconds in (REFRESH_SECONDS, COOL_DOWN_SECONDS):
            for key in await self._refresh(max_age_seconds):
                if key.kid == kid:
                    return key
        return None

    async def _refresh(self, max_age_seconds: float) -> list[SigningKey]:
        if self._age() >= (max_age_seconds if self._keys else COOL_DOWN_SECONDS):
            async with self._lock:
                if self._age() >= COOL_DOWN_SECONDS:
                    await self._read_keys()
        if not self._keys:
            raise errors.SigningKeysUnavailable(
                "The signing keys cannot be read at the moment. API keys and cookies still work.",
                retry_after_seconds=int(COOL_DOWN_SECONDS),
            )
        return self._keys

    def _age(self) -> float:
        return time.monotonic() - self._read_at

    async def _read_keys(self) -> None:
        if self.read is None:
            return
        try:
            async with asyncio.timeout(_TOTAL_SECONDS):
                self._keys = signing_keys.from_text(await asyncio.to_thread(self.read))
        except (errors.SigningKeysUnavailable, ValueError, TimeoutError) as error:
            telemetry.log("signing_keys_not_read", severity="ERROR", reason=type(error.__cause__ or error).__qualname__)
        # A cancelled caller says nothing about the state of the source.
        self._read_at = time.monotonic()


def from_secret(secret: str) -> SigningKeySource:
    """Return a source for the latest version of `projects/…/secrets/…`."""

    def read() -> str:
        from image_core import secrets

        try:
            text = secrets.latest_version(secret, _READ_SECONDS)
        except secrets.SecretNotRead as error:
            raise errors.SigningKeysUnavailable("Secret Manager did not respond. Try again.") from (
                error.__cause__ or error
            )
        if text is None:
            raise errors.SigningKeysUnavailable(
                "The secret of the signing keys has no version yet. An operator has to add one."
            )
        return text

    return SigningKeySource(read)
