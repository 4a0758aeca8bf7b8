"""Authentication by the cookie of a session, which may have begun with a password or with an API key.

A session that began with a key is authenticated as that key, so it has no more rights than the key
and ends with it.
"""

import hmac
from dataclasses import replace
from datetime import datetime

from image_api.actor import Actor
from image_api.proofs import session_cookies
from image_api.proofs.key_cache import KeyCache, Origin, authenticate_session_of_key
from image_api.proofs.session_cache import SessionCache, actor_of_session, check_not_over
from image_core import errors
from image_core.db import Record


async def authenticate_session(sessions: SessionCache, keys: KeyCache, cookie: str, origin: Origin) -> Actor:
    """Return the caller whose cookie this is.

    Raises:
        errors.SessionEnded: The session, or the key that it began with, has ended.
        errors.UserDisabled: The user is disabled.
        errors.AddressNotAllowed: The key may not be used from this address.
    """
    row, now = await _find(sessions, cookie)
    if row["key_public_id"] is None:
        return actor_of_session(row, now)
    try:
        return await _as_key(keys, row, now, origin)
    except errors.KeyInvalid:
        # On another instance the session may just have rotated its key.
        sessions.rows.forget(row["session_id"])
        row, now = await _find(sessions, cookie)
        try:
            return await _as_key(keys, row, now, origin)
        except (errors.KeyInvalid, errors.KeyExpired) as error:
            raise _key_ended() from error
    except errors.KeyExpired as error:
        raise _key_ended() from error


async def _find(sessions: SessionCache, cookie: str) -> tuple[Record, datetime]:
    session_id = session_cookies.session_id_of(cookie)
    found = await sessions.get(session_id) if session_id else None
    if found is None or not _is_cookie_of(found[0], cookie):
        raise errors.SessionEnded("The session has ended. Sign in again.")
    return found


def _is_cookie_of(row: Record, cookie: str) -> bool:
    hash_value = session_cookies.hash_value if row["key_public_id"] is None else session_cookies.hash_value_of_key
    return row["token_hash"] is not None and hmac.compare_digest(row["token_hash"], hash_value(cookie))


async def _as_key(keys: KeyCache, row: Record, now: datetime, origin: Origin) -> Actor:
    check_not_over(row, now)
    actor = await authenticate_session_of_key(keys, row["key_public_id"], origin)
    return replace(actor, session_id=row["session_id"])


def _key_ended() -> errors.SessionEnded:
    return errors.SessionEnded("The API key with which this session began has ended. Sign in again.")
