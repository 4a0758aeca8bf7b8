"""Master secrets: 32 random bytes for each purpose, from which keys are derived.

The text of a secret is one line for the current master, and after a rotation a second one for the master before it.
"""

import asyncio
import base64
import binascii
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from image_core import errors, telemetry
from image_core.keys.derived_secrets import MASTER_BYTES

COOL_DOWN_SECONDS = 10.0
"""How long after an attempt to read a secret no other is made."""
REFRESH_SECONDS = 300.0
"""How long a master secret is used before it is read again."""
_READ_SECONDS, _ATTEMPT_SECONDS = 4.0, 5.0
"""For the call itself, and including what has to be loaded before the first one."""


class Masters(NamedTuple):
    """The master secret from which keys are derived, and the one that it replaced."""

    current: bytes
    previous: bytes | None = None


def generate() -> str:
    """Return a new master secret as it is stored: 32 bytes in base64url, without padding."""
    return _to_text(secrets.token_bytes(MASTER_BYTES))


def generate_in_place_of(text: str) -> str:
    """Return a new master secret followed by the current one of `text`.

    Raises:
        ValueError: `text` does not hold master secrets.
    """
    return f"{generate()}\n{_to_text(masters_from_text(text).current)}"


def masters_from_text(text: str) -> Masters:
    """Return the master secrets of a secret's text.

    Raises:
        ValueError: the text is not one or two lines of 32 bytes in base64url; the message does not repeat it.
    """
    current, *previous = text.strip().split("\n")
    if len(previous) > 1:
        raise ValueError("at most two master secrets belong together: the current one and the one before it")
    return Masters(from_text(current), *map(from_text, previous))


def from_text(text: str) -> bytes:
    """Return the 32 bytes of one stored master secret.

    Raises:
        ValueError: the text is not 32 bytes in base64url; the message does not repeat it.
    """
    text = text.strip()
    try:
        master = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        master = b""
    if len(master) != MASTER_BYTES or _to_text(master) != text:
        raise ValueError("a master secret is 32 bytes in base64url, without padding")
    return master


def _to_text(master: bytes) -> str:
    return base64.urlsafe_b64encode(master).rstrip(b"=").decode()


@dataclass
class MasterSecret:
    """A master secret, read off the event loop by `read`.

    A service starts before its secret has a version: until then every attempt to use it fails, and it is read again
    at most once in `COOL_DOWN_SECONDS`. Later it is read again every `REFRESH_SECONDS` while the one that is known
    stays in use, so that a rotation reaches every instance without a restart, and nobody waits for it.
    """

    read: Callable[[], str]
    clock: Callable[[], float] = time.monotonic
    _masters: Masters | None = None
    _attempted_at: float = float("-inf")
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _refreshing: asyncio.Task[None] | None = None

    async def get(self) -> bytes:
        """Return the 32 bytes.

        Raises:
            errors.MasterSecretUnavailable: they cannot be read.
        """
        return (await self.get_with_previous()).current

    async def get_with_previous(self) -> Masters:
        """Return the current master secret and the one before it.

        Raises:
            errors.MasterSecretUnavailable: they cannot be read.
        """
        if self._masters is None:
            async with self._lock:
                if self._masters is None and self._age() >= COOL_DOWN_SECONDS:
                    await self._attempt()
        elif self._age() >= REFRESH_SECONDS and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.create_task(self._attempt())
        if self._masters is None:
            raise errors.MasterSecretUnavailable(
                "A master secret cannot be read at the moment. Try again.",
                retry_after_seconds=int(COOL_DOWN_SECONDS),
            )
        return self._masters

    def _age(self) -> float:
        return self.clock() - self._attempted_at

    async def _attempt(self) -> None:
        try:
            async with asyncio.timeout(_ATTEMPT_SECONDS):
                self._masters = masters_from_text(await asyncio.to_thread(self.read))
        except (errors.MasterSecretUnavailable, ValueError, TimeoutError) as error:
            telemetry.log(
                "master_secret_not_read", severity="ERROR", reason=type(error.__cause__ or error).__qualname__
            )
        self._attempted_at = self.clock()


def from_secret(secret: str) -> MasterSecret:
    """Return the master secret in the latest version of `projects/…/secrets/…`."""

    def read() -> str:
        from image_core.secrets import SecretNotRead, latest_version

        try:
            text = latest_version(secret, _READ_SECONDS)
        except SecretNotRead as error:
            raise errors.MasterSecretUnavailable("Secret Manager did not respond.") from (error.__cause__ or error)
        if text is None:
            raise errors.MasterSecretUnavailable("The secret has no version yet.")
        return text

    return MasterSecret(read)
