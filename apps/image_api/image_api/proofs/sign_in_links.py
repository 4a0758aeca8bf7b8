"""Links that sign in once, on the local cloud. They are kept in memory, because its API is one process.

A token is 256 random bits in base64url; only its SHA-256 is kept.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

from image_api.actor import Actor
from image_core import errors
from image_core.keys import api_keys

LIFETIME_SECONDS = 300
_MAX_LINKS = 100


class _Link(NamedTuple):
    key_public_id: str
    ends_at: float


class SignInLinks:
    """The open links, each with the key whose owner it signs in."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._links: dict[bytes, _Link] = {}

    def issue(self, key_owner: Actor) -> str:
        """Return the token of a new link for the owner of a key; beyond 100 links the oldest ends."""
        token = secrets.token_urlsafe(32)
        public_id = (key_owner.key_prefix or "").removeprefix(api_keys.PREFIX)
        if len(self._links) >= _MAX_LINKS:
            self._links.pop(next(iter(self._links)))
        self._links[_hash(token)] = _Link(public_id, self._clock() + LIFETIME_SECONDS)
        return token

    def spend(self, token: str) -> str:
        """End a link and return the public id of its key.

        Raises:
            errors.SignInLinkSpent: The link has been used or has expired.
        """
        link = self._links.pop(_hash(token), None)
        if link is None or link.ends_at <= self._clock():
            raise errors.SignInLinkSpent(
                "The link has been used or has expired. `image-manager open` prints another one and opens it."
            )
        return link.key_public_id


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
