"""The value of a session's cookie, and the CSRF token that belongs to it.

A value is `<session id>.<secret>`: the id finds the row, and the row holds the SHA-256 of the whole value, which is
random enough to need no salt. The CSRF token follows from the value by a one-way function, so that it need not be
stored: a page learns it from the answer, which another site cannot read, and never sees the cookie itself.
"""

import base64
import hashlib
import hmac
import secrets
from uuid import UUID


def generate(session_id: UUID) -> str:
    """A new value, with 256 random bits."""
    return f"{session_id}.{secrets.token_urlsafe(32)}"


def session_id_of(value: str) -> UUID | None:
    """The session that a value names; None for anything that is no value."""
    try:
        return UUID(value.partition(".")[0])
    except ValueError:
        return None


def hash_value(value: str) -> bytes:
    """What is stored of a value, 32 bytes."""
    return hashlib.sha256(value.encode()).digest()


def csrf_token(value: str) -> str:
    """The token that every changing request with this cookie has to carry."""
    return base64.urlsafe_b64encode(hmac.digest(value.encode(), b"csrf", "sha256")).rstrip(b"=").decode()
