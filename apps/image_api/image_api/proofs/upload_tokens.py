"""Upload tokens: what a page may hold instead of a key, to open direct uploads and nothing else.

The text is `ut_` and 43 characters of base64url (256 random bits); only its SHA-256 is stored.
"""

import hashlib
import secrets
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import LargeBinary, bindparam, func, select

from image_api.actor import Actor
from image_api.proofs.key_cache import KeyCache, owner_of_key
from image_api.proofs.session_cache import SessionCache, actor_of_session
from image_core import errors
from image_core.db import Query, Record
from image_core.models import upload_token

PREFIX = "ut_"
_RANDOM_BYTES = 32

_find = Query(
    select(upload_token, (upload_token.c.expires_at <= func.now()).label("has_expired")).where(
        upload_token.c.token_hash == bindparam("digest", type_=LargeBinary)
    )
)


class NewToken(NamedTuple):
    """A new token. Its text is known only at this moment."""

    text: str
    token_hash: bytes


def generate() -> NewToken:
    """Generate a token."""
    text = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    return NewToken(text, _hash(text))


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


async def authenticate_upload_token(keys: KeyCache, sessions: SessionCache, text: str) -> tuple[Actor, Record]:
    """Return the caller who created a token, with the rights that it has now, and the token's row.

    Raises:
        errors.UploadTokenInvalid: The token is unknown or has expired, or the key or session that created it has ended.
        errors.UserDisabled: The user is disabled.
    """
    row = await keys.database.fetch_one(_find, digest=_hash(text))
    if row is None or row["has_expired"]:
        raise errors.UploadTokenInvalid("The upload token is unknown or has expired. Get another one.")
    try:
        return await _creator(keys, sessions, row["key_public_id"], row["session_id"]), row
    except (errors.KeyInvalid, errors.KeyExpired, errors.SessionEnded) as error:
        raise errors.UploadTokenInvalid("The upload token has ended. Get another one.") from error


async def _creator(keys: KeyCache, sessions: SessionCache, public_id: str | None, session_id: UUID) -> Actor:
    if public_id is not None:
        return await owner_of_key(keys, public_id)
    found = await sessions.get(session_id)
    if found is None:
        raise errors.SessionEnded("The session has ended. Sign in again.")
    return actor_of_session(*found)
