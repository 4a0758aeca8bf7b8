"""API keys: `im_<public id>_<secret><checksum>`.

The public id (8 characters) is safe to log and identifies the row; the secret is 28 base62 characters (166 random
bits); the checksum is the CRC-32 of everything before it in 6 base62 digits, so that a mistyped key is rejected without
a database query. Only the SHA-256 of the whole key is stored: it is random enough to need no salt.
"""

import hashlib
import re
import secrets
import string
import zlib
from typing import NamedTuple

DEFAULT_KEY = "ADMIN_ACCESS"
DEFAULT_PUBLIC_ID = "default"
PREFIX = "im_"

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PUBLIC_ID_LENGTH, _SECRET_LENGTH, _CHECKSUM_LENGTH = 8, 28, 6
PATTERN = re.compile(rf"im_([0-9A-Za-z]{{{_PUBLIC_ID_LENGTH}}})_([0-9A-Za-z]{{{_SECRET_LENGTH}}})([0-9A-Za-z]{{6}})")


class NewKey(NamedTuple):
    """A new key. `api_key` is known only at this moment."""

    api_key: str
    public_id: str
    key_hash: bytes

    @property
    def key_prefix(self) -> str:
        """The part of the key that may be shown and logged."""
        return PREFIX + self.public_id


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), []
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def hash_key(api_key: str) -> bytes:
    """Return the SHA-256 under which a key is stored, 32 bytes."""
    return hashlib.sha256(api_key.encode()).digest()


def generate() -> NewKey:
    """Generate a key."""
    public_id = _random_text(_PUBLIC_ID_LENGTH)
    body = f"{PREFIX}{public_id}_{_random_text(_SECRET_LENGTH)}"
    api_key = body + _checksum(body)
    return NewKey(api_key, public_id, hash_key(api_key))


def public_id_of(api_key: str) -> str | None:
    """Return the public id of a well-formed key; None for anything else, including a wrong checksum."""
    if api_key == DEFAULT_KEY:
        return DEFAULT_PUBLIC_ID
    if (match := PATTERN.fullmatch(api_key)) is None:
        return None
    body, checksum = api_key[:-_CHECKSUM_LENGTH], api_key[-_CHECKSUM_LENGTH:]
    return match[1] if secrets.compare_digest(_checksum(body), checksum) else None
