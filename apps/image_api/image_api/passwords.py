"""Passwords: which are accepted, and how they are hashed (argon2id).

Source: NIST SP 800-63B-4, section 3.1.1.2: length and a list of what everybody guesses first, no rules of
composition, normalised by NFKC, counted in code points. Source of the parameters: RFC 9106, section 4, the second
recommended option.
"""

import asyncio
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from image_core import errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from argon2 import PasswordHasher

Result = TypeVar("Result")

LEAST_LENGTH, MOST_LENGTH = 12, 128
_LANES = 4
_THREADS = 2
_MOST_WAITING = 32
# Those of at least twelve characters that lists of leaked passwords count most often.
_COMMON = frozenset(
    {
        "000000000000", "111111111111", "121212121212", "123123123123", "123412341234", "123456123456",
        "123456654321", "1234567890123", "123456789012", "12345678901234", "123456789123", "1234567891234",
        "123456789abc", "123qwe123qwe", "1q2w3e4r5t6y", "1qaz2wsx3edc", "abcdefghijkl", "administrator",
        "changeme1234", "computer1234", "iloveyou1234", "letmein12345", "password1234", "password12345",
        "password123456", "passwordpassword", "q1w2e3r4t5y6", "qazwsxedcrfv", "qwerty123456", "qwertyqwerty",
        "qwertyuiop12", "qwertyuiop123", "qwertyuiopasdfgh", "welcome12345", "zaq12wsxcde3", "asdfghjkl123",
    }
)  # fmt: skip


def checked(password: str, email: str) -> str:
    """The password as it is hashed. Raises `errors.RequestInvalid` where it is too short, too long or guessed first."""
    password = _normalised(password)
    if not LEAST_LENGTH <= len(password) <= MOST_LENGTH:
        raise _refused("password-length", f"A password has {LEAST_LENGTH} to {MOST_LENGTH} characters.")
    guessed = password.casefold()
    if guessed in _COMMON or len(set(guessed)) == 1:
        raise _refused("password-common", "This password is among those that are guessed first.")
    if guessed in (email.casefold(), email.casefold().partition("@")[0]):
        raise _refused("password-is-email", "The e-mail address cannot be the password.")
    return password


def _normalised(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


def _refused(code: str, message: str) -> errors.RequestInvalid:
    return errors.invalid_fields([{"field": "password", "code": code, "message": message}])


@dataclass
class Passwords:
    """Hashes and verifies in threads of their own, because one hash keeps a core busy for a tenth of a second."""

    memory_kib: int
    iterations: int
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_THREADS, "passwords"))
    _waiting: int = 0

    @cached_property
    def _hasher(self) -> "PasswordHasher":
        from argon2 import PasswordHasher

        return PasswordHasher(self.iterations, self.memory_kib, _LANES)

    @cached_property
    def _nobodys_hash(self) -> str:
        return self._hasher.hash("the password of nobody")

    async def hash(self, password: str) -> str:
        """The hash of a password that has been `checked`. Raises `errors.PasswordsBusy`."""
        return await self._in_thread(self._hasher.hash, password)

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether this is the password; with no hash to compare, the same work for nothing.

        Raises `errors.PasswordsBusy`.
        """
        return await self._in_thread(self._verify, _normalised(password), stored)

    def _verify(self, password: str, stored: str | None) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError

        # Made before either way parts from the other, so that the first unknown account takes no longer.
        nobodys = self._nobodys_hash
        try:
            return self._hasher.verify(stored or nobodys, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False

    def is_outdated(self, stored: str) -> bool:
        """Whether a hash was made with other parameters than the present ones."""
        return self._hasher.check_needs_rehash(stored)

    async def _in_thread(self, work: "Callable[..., Result]", *arguments: str | None) -> Result:
        if self._waiting >= _MOST_WAITING:
            raise errors.PasswordsBusy("Try again in a moment.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Ends the threads once they have done what they have begun."""
        self._threads.shutdown(wait=False, cancel_futures=True)
