"""The keys that sign access tokens: a JSON Web Key Set of symmetric keys. The first signs, all of them verify.

Source: RFC 7517, section 5, and RFC 7518, section 6.4.
"""

import base64
import binascii
import json
import secrets
from typing import NamedTuple

MIN_KEY_BYTES = 32
"""As long as the hash of HS256. Source: RFC 7518, section 3.2."""
_MAX_KEYS = 2


class SigningKey(NamedTuple):
    """One key; `kid` identifies it in the tokens that it signed."""

    kid: str
    secret: bytes


def generate() -> SigningKey:
    """Generate a key of 256 random bits."""
    return SigningKey(secrets.token_hex(8), secrets.token_bytes(MIN_KEY_BYTES))


def to_text(keys: list[SigningKey]) -> str:
    """Serialize a key set for storage."""
    entries = [{"kty": "oct", "alg": "HS256", "kid": key.kid, "k": _encode(key.secret)} for key in keys]
    return json.dumps({"keys": entries}, separators=(",", ":"))


def from_text(text: str) -> list[SigningKey]:
    """Parse a stored key set.

    Raises:
        ValueError: The set is malformed or empty, repeats a key id, or has a key that is too short. The message
            does not contain the text.
    """
    try:
        keys = [SigningKey(str(entry["kid"]), _decode(entry["k"])) for entry in json.loads(text)["keys"]]
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise ValueError("the signing keys are not a JSON Web Key Set of symmetric keys") from None
    if not keys or len({key.kid for key in keys}) != len(keys):
        raise ValueError("the signing keys need one key at least, each with a `kid` of its own")
    if any(len(key.secret) < MIN_KEY_BYTES for key in keys):
        raise ValueError(f"a signing key has fewer than {MIN_KEY_BYTES} bytes")
    return keys


def with_new_key(keys: list[SigningKey]) -> list[SigningKey]:
    """Put a new key in front of the newest current one, whose tokens stay valid until they expire."""
    return [generate(), *keys][:_MAX_KEYS]


def _encode(secret: bytes) -> str:
    return base64.urlsafe_b64encode(secret).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
