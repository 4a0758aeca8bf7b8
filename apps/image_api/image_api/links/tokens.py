"""Tokens of share links, which their addresses end with: 128 random bits in hex. Only their SHA-256 is stored."""

import hashlib
import re
import secrets
from typing import NamedTuple

from image_api.http.paths import SHARE_PREFIX

_RANDOM_BYTES = 16
_TOKEN = re.compile(r"[0-9a-f]{32}", re.ASCII)


class NewToken(NamedTuple):
    """A new token. Its text is known only at this moment."""

    text: str
    token_hash: bytes


def generate() -> NewToken:
    """Generate a token."""
    text = secrets.token_hex(_RANDOM_BYTES)
    return NewToken(text, _hash(text))


def hash_of(text: str) -> bytes | None:
    """Return the hash to look a token up by, 32 bytes; None for a text that is no token."""
    return _hash(text) if _TOKEN.fullmatch(text) else None


def path_of(token: str) -> str:
    """Return the path of a link's first page."""
    return f"{SHARE_PREFIX}/{token}"


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
