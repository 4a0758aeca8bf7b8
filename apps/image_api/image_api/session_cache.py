"""From a session's id to its row, looked up at most once per `CACHE_SECONDS` and instance.

So a session that has ended is over everywhere within that time. What a caller proves with, a signed token or the
cookie's secret, is compared by `auth`.
"""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import bindparam, select

from image_api.actor import Actor, Role
from image_core import errors
from image_core.db import Database, Query, Record
from image_core.models import session, user

CACHE_SECONDS = 5.0
_MOST_CACHED = 10_000

_by_id = Query(
    select(
        session.c.id.label("session_id"), session.c.token_hash, session.c.expires_at, session.c.ended_at, user.c.id,
        user.c.name, user.c.team_id, user.c.role, user.c.scopes, user.c.disabled_at,
    )
    .join(user, user.c.id == session.c.user_id)
    .where(session.c.id == bindparam("session_id"))
)  # fmt: skip


@dataclass
class SessionCache:
    """Rows by session, each loaded at most once at a time; None for "no such session"."""

    database: Database
    _known: dict[UUID, tuple[float, Record | None]] = field(default_factory=dict)
    _loading: dict[UUID, "asyncio.Task[Record | None]"] = field(default_factory=dict)

    async def get(self, session_id: UUID) -> Record | None:
        """What is known of a session, from at most `CACHE_SECONDS` ago."""
        known = self._known.get(session_id)
        if known is not None and time.monotonic() - known[0] < CACHE_SECONDS:
            return known[1]
        task = self._loading.get(session_id)
        if task is None:
            task = asyncio.create_task(self._load(session_id))
            self._loading[session_id] = task
            task.add_done_callback(lambda _: self._loading.pop(session_id, None))
        # A caller that goes away must not take the others' look-up with it.
        return await asyncio.shield(task)

    async def _load(self, session_id: UUID) -> Record | None:
        row = await self.database.fetch_one(_by_id, session_id=session_id)
        if len(self._known) >= _MOST_CACHED:
            self._known.pop(next(iter(self._known)))
        self._known[session_id] = time.monotonic(), row
        return row

    def forget_user(self, user_id: UUID) -> None:
        """Drops what is known of the sessions of a user who, or one of which, has just been changed here."""
        for session_id, (_, row) in list(self._known.items()):
            if row is not None and row["id"] == user_id:
                del self._known[session_id]


def actor_of_session(row: Record) -> Actor:
    """Whose session this is. Raises `errors.SessionEnded`, `errors.UserDisabled`."""
    if row["ended_at"] is not None or row["expires_at"] <= datetime.now(UTC):
        raise errors.SessionEnded("This session is over. Sign in again.")
    if row["disabled_at"] is not None:
        raise errors.UserDisabled("An admin has disabled this user.")
    return actor_of_user(row, row["session_id"])


def actor_of_user(row: Record, session_id: UUID | None = None) -> Actor:
    """A user who has proven who it is otherwise than by a key."""
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
