"""The value of a session's cookie, and its CSRF token.

A value is `<session id>.<secret>`: the id identifies the row, and the row holds the SHA-256 of the whole value, which
is random enough to need no salt. For a session that began with a key, a prefix is hashed as well: code that does not
know of such sessions, and would give them all rights of the user, does not find them. The CSRF token is derived from
the value by a one-way function, so it need not be stored: a page gets it from a response, which another site cannot
read, and never sees the cookie itself.
"""

import base64
import hashlib
import hmac
import secrets
from uuid import UUID


def generate(session_id: UUID) -> str:
    """Generate a value with 256 random bits."""
    return f"{session_id}.{secrets.token_urlsafe(32)}"


def session_id_of(value: str) -> UUID | None:
    """Return the session that a value names; None for a malformed value."""
    try:
        return UUID(value.partition(".")[0])
    except ValueError:
        return None


def hash_value(value: str) -> bytes:
    """Return the stored hash of a value, 32 bytes."""
    return hashlib.sha256(value.encode()).digest()


def hash_value_of_key(value: str) -> bytes:
    """Return the stored hash of a value whose session began with a key, 32 bytes."""
    return hashlib.sha256(b"key:" + value.encode()).digest()


def csrf_token(value: str) -> str:
    """Return the token that every changing request with this cookie must carry."""
    return base64.urlsafe_b64encode(hmac.digest(value.encode(), b"csrf", "sha256")).rstrip(b"=").decode()
