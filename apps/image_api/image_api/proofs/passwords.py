"""Passwords: the acceptance rules, and hashing with argon2id.

Source: NIST SP 800-63B-4, section 3.1.1.2: at least fifteen characters for single-factor authentication, a list of
common passwords, no composition rules, NFKC normalization, length in code points. Source of the parameters: RFC 9106,
section 4, the second recommended option.
"""

import asyncio
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from image_core import errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from argon2 import PasswordHasher

Result = TypeVar("Result")

MIN_LENGTH, MAX_LENGTH = 15, 128
MIN_SHARED_LENGTH = 8
"""Of a password that people tell each other: it opens a share link, not an account."""
_LANES = 4
_THREADS = 2
_MAX_WAITING = 32
# Common passwords of at least eight characters: repeated words, numbers and keyboard rows from leaked lists.
_COMMON = frozenset(
    {
        "12341234", "12345678", "123456789", "1234567890", "123123123", "1q2w3e4r", "1q2w3e4r5t", "1qaz2wsx",
        "87654321", "987654321", "abc12345", "abcd1234", "administrator", "asdfghjk", "asdfghjkl", "baseball",
        "changeme", "computer", "football", "iloveyou", "letmein1", "password", "password1", "password12",
        "password123", "password1234", "passw0rd", "princess", "qwerty12", "qwerty123", "qwertyui", "qwertyuiop",
        "starwars", "sunshine", "superman", "trustno1", "welcome1", "welcome123", "whatever", "zxcvbnm1",
        "012345678901234", "0123456789012345", "0123456789abcdef", "111222333444555", "112233445566778",
        "121212121212121", "123123123123123", "123451234512345", "123456123456123456", "123456789012345",
        "1234567890123456", "12345678901234567890", "1234567890qwerty", "1234567890qwertyuiop", "123456789123456",
        "123456789123456789", "123456789987654321", "1q2w3e4r5t6y7u8i", "1q2w3e4r5t6y7u8i9o0p", "1qaz2wsx3edc4rfv",
        "1qazxsw23edcvfr4", "abcdefghijklmno", "abcdefghijklmnop", "abcdefghijklmnopqrstuvwxyz", "administrator123",
        "changemechangeme", "correcthorsebatterystaple", "iloveyouiloveyou", "passwordpassword", "password12345678",
        "password123456789", "password1234567890", "q1w2e3r4t5y6u7i8", "qazwsxedcrfvtgb", "qazwsxedcrfvtgbyhnujm",
        "qwerty1234567890", "qwertyqwertyqwerty", "qwertyuiop12345", "qwertyuiop123456", "qwertyuiop1234567890",
        "qwertyuiopasdfg", "qwertyuiopasdfgh", "qwertyuiopasdfghjkl", "qwertyuiopasdfghjklzxcvbnm", "zaq12wsxcde34rfv",
    }
)  # fmt: skip


def validate(password: str, email: str) -> str:
    """Return the normalized password.

    Raises:
        errors.RequestInvalid: The password is too short, too long or too common.
    """
    password = _accepted(password, MIN_LENGTH)
    guessed = password.casefold()
    if guessed in (email.casefold(), email.casefold().partition("@")[0]):
        raise _refused("password-is-email", "The e-mail address cannot be the password.")
    return password


def validate_shared(password: str) -> str:
    """Return the normalized password of something that is shared.

    Raises:
        errors.RequestInvalid: The password is too short, too long or too common.
    """
    return _accepted(password, MIN_SHARED_LENGTH)


def _accepted(password: str, least: int) -> str:
    password = _normalised(password)
    if not least <= len(password) <= MAX_LENGTH:
        raise _refused(
            "password-length", f"Password length not valid: the limits are {least} and {MAX_LENGTH} characters."
        )
    guessed = password.casefold()
    if guessed in _COMMON or len(set(guessed)) == 1:
        raise _refused("password-common", "Password too common. Choose one that is harder to guess.")
    return password


def _normalised(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


def _refused(code: str, message: str) -> errors.RequestInvalid:
    return errors.invalid_fields([{"field": "password", "code": code, "message": message}])


@dataclass
class Passwords:
    """Hashes and verifies in separate threads, because one hash occupies a core for a tenth of a second."""

    memory_kib: int
    iterations: int
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_THREADS, "passwords"))
    _waiting: int = 0
    _visitors: int = 0

    @cached_property
    def _hasher(self) -> "PasswordHasher":
        from argon2 import PasswordHasher

        return PasswordHasher(self.iterations, self.memory_kib, _LANES)

    @cached_property
    def _dummy_hash(self) -> str:
        return self._hasher.hash("the password of nobody")

    async def hash(self, password: str) -> str:
        """Return the hash of a password returned by `validate`.

        Raises:
            errors.PasswordsBusy: Too many passwords are being checked at the moment.
        """
        return await self._in_thread(self._hasher.hash, password)

    async def verify(self, password: str, stored: str | None) -> bool:
        """Return whether the password matches; without a stored hash, do the same work and return False.

        Raises:
            errors.PasswordsBusy: Too many passwords are being checked at the moment.
        """
        return await self._in_thread(self._verify, _normalised(password), stored)

    def _verify(self, password: str, stored: str | None) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError

        # Computed before the branches diverge, so that the first unknown account takes no longer.
        dummy_hash = self._dummy_hash
        try:
            return self._hasher.verify(stored or dummy_hash, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False

    @contextmanager
    def place_of_visitor(self) -> Iterator[None]:
        """Take one of the places, one a thread, of visitors whose passwords are verified: they do not queue.

        Raises:
            errors.PasswordsBusy: All places are taken, or too many passwords are waiting already.
        """
        if self._visitors >= _THREADS or self._waiting >= _MAX_WAITING:
            raise errors.PasswordsBusy("Too many passwords are being checked. Try again in a moment.")
        self._visitors += 1
        try:
            yield
        finally:
            self._visitors -= 1

    def is_outdated(self, stored: str) -> bool:
        """Return whether a hash was computed with outdated parameters."""
        return self._hasher.check_needs_rehash(stored)

    async def _in_thread(self, work: "Callable[..., Result]", *arguments: str | None) -> Result:
        if self._waiting >= _MAX_WAITING:
            raise errors.PasswordsBusy("Too many passwords are being checked. Try again in a moment.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Stop the threads once they have finished their work."""
        self._threads.shutdown(wait=False, cancel_futures=True)
