"""Cached sessions, looked up at most once in five seconds per instance.

A session that has ended is therefore rejected everywhere within that time. `auth` compares the caller's credentials, a
signed token or the cookie's secret.
"""

import time
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, select

from image_api.actor import Actor, Role
from image_api.lookups.database_time import Seen, database_now
from image_api.lookups.fresh_cache import FreshCache
from image_core import errors
from image_core.db import Database, Query, Record
from image_core.models import session, user, user_disabled_at

by_id = Query(
    select(
        session.c.id.label("session_id"), session.c.token_hash, session.c.expires_at, session.c.ended_at,
        session.c.key_public_id, user.c.id, user.c.name, user.c.team_id, user.c.role, user.c.scopes,
        user_disabled_at.label("disabled_at"), database_now,
    )
    .join(user, user.c.id == session.c.user_id)
    .where(session.c.id == bindparam("session_id"))
)  # fmt: skip


class SessionCache:
    """Rows by session id; None if the session does not exist."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self.database = database
        self.rows: FreshCache[UUID, Seen | None] = FreshCache(self._load, clock)

    async def _load(self, session_id: UUID) -> Seen | None:
        asked_at = self.rows.clock()
        row = await self.database.fetch_one(by_id, session_id=session_id)
        return Seen(row, asked_at) if row is not None else None

    async def get(self, session_id: UUID) -> tuple[Record, datetime] | None:
        """Return the cached row of a session, and the database's time now."""
        seen = await self.rows.get(session_id)
        return (seen.row, seen.now(self.rows.clock())) if seen is not None else None

    def forget_user(self, user_id: UUID) -> None:
        """Drop the sessions of a user who, or one of which, was just changed here."""
        self.rows.forget_where(lambda seen: seen is not None and seen.row["id"] == user_id)

    def forget_team(self, team_id: UUID) -> None:
        """Drop the sessions of a team that was just changed here."""
        self.rows.forget_where(lambda seen: seen is not None and seen.row["team_id"] == team_id)


def check_not_over(row: Record, now: datetime) -> None:
    """Check that a session lasts at `now`, a time of the database.

    Raises:
        errors.SessionEnded: The session has ended.
    """
    if row["ended_at"] is not None or row["expires_at"] <= now:
        raise errors.SessionEnded("The session has ended. Sign in again.")


def actor_of_session(row: Record, now: datetime) -> Actor:
    """Return the person of a session at `now`, a time of the database; a session that began with a key is refused.

    Raises:
        errors.SessionEnded: The session has ended.
        errors.UserDisabled: The user is disabled.
    """
    check_not_over(row, now)
    if row["key_public_id"] is not None:
        raise errors.SessionEnded("The session has ended. Sign in again.")
    if row["disabled_at"] is not None:
        raise errors.UserDisabled("An admin has disabled this user. Ask an admin to enable it again.")
    return actor_of_user(row, row["session_id"])


def actor_of_user(row: Record, session_id: UUID | None = None) -> Actor:
    """Return the actor of a user who authenticated by a session."""
    return Actor(
        user_id=row["id"],
        user_name=row["name"],
        team_id=row["team_id"],
        role=Role(row["role"]),
        scopes=frozenset(row["scopes"]),
        credential_id=None,
        key_prefix=None,
        key_expires_at=None,
        is_default_key=False,
        session_id=session_id,
    )
