"""From an API key to an `Actor`.

A key is looked up at most once per `CACHE_SECONDS` and instance, however many requests come at once, so a
revocation is complete everywhere within that time.
"""

import asyncio
import hmac
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, or_, select, update

from image_api.actor import Actor, Role
from image_core import errors, keys
from image_core.db import Database, Query, Record
from image_core.models import credential, user

CACHE_SECONDS = 5.0
LAST_USED_SECONDS = 60.0
_MOST_CACHED = 10_000

_by_public_id = Query(
    select(
        credential.c.id.label("credential_id"), credential.c.user_id, credential.c.scopes.label("key_scopes"),
        credential.c.is_default, credential.c.public_id, credential.c.key_hash, credential.c.expires_at,
        credential.c.last_used_at, credential.c.previous_public_id, credential.c.previous_key_hash,
        credential.c.previous_expires_at, credential.c.previous_last_used_at, credential.c.revoked_at,
        user.c.name.label("user_name"), user.c.team_id, user.c.role, user.c.scopes.label("user_scopes"),
        user.c.disabled_at,
    )
    .join(user, user.c.id == credential.c.user_id)
    .where(
        or_(
            credential.c.public_id == bindparam("public_id"),
            credential.c.previous_public_id == bindparam("public_id"),
        )
    )
)  # fmt: skip
_current_used = Query(
    update(credential).where(credential.c.public_id == bindparam("used_id")).values(last_used_at=func.now())
)
_previous_used = Query(
    update(credential)
    .where(credential.c.previous_public_id == bindparam("used_id"))
    .values(previous_last_used_at=func.now())
)


@dataclass
class _Known:
    """What is known of one public id: the row, or None for "no such key"."""

    row: Record | None
    loaded_at: float
    used_at: datetime | None = None


@dataclass
class KeyCache:
    """Rows by public id, each loaded at most once at a time."""

    database: Database
    _known: dict[str, _Known] = field(default_factory=dict)
    _loading: dict[str, "asyncio.Task[_Known]"] = field(default_factory=dict)
    _used: set[tuple[str, bool]] = field(default_factory=set)

    async def get(self, public_id: str) -> _Known:
        """What is known of a public id, from at most `CACHE_SECONDS` ago."""
        known = self._known.get(public_id)
        if known is not None and time.monotonic() - known.loaded_at < CACHE_SECONDS:
            return known
        task = self._loading.get(public_id)
        if task is None:
            task = asyncio.create_task(self._load(public_id))
            self._loading[public_id] = task
            task.add_done_callback(lambda _: self._loading.pop(public_id, None))
        # A caller that goes away must not take the others' look-up with it.
        return await asyncio.shield(task)

    async def _load(self, public_id: str) -> _Known:
        row = await self.database.fetch_one(_by_public_id, public_id=public_id)
        known = _Known(row, time.monotonic())
        if len(self._known) >= _MOST_CACHED:
            self._known.pop(next(iter(self._known)))
        self._known[public_id] = known
        return known

    def forget(self, credential_id: UUID) -> None:
        """Drops what is known of a credential that has just been changed here."""
        self._forget_where("credential_id", credential_id)

    def forget_user(self, user_id: UUID) -> None:
        """Drops what is known of the keys of a user who has just been changed here."""
        self._forget_where("user_id", user_id)

    def _forget_where(self, column: str, value: UUID) -> None:
        for public_id, known in list(self._known.items()):
            if known.row is not None and known.row[column] == value:
                del self._known[public_id]

    async def note_use(self, known: _Known, public_id: str, *, previous: bool) -> None:
        """Records the first use before the answer leaves; later ones wait for `flush`."""
        if known.row is None:
            return
        last = known.used_at or known.row["previous_last_used_at" if previous else "last_used_at"]
        now = datetime.now(UTC)
        if last is None:
            await self.database.execute(_previous_used if previous else _current_used, used_id=public_id)
        elif now - last < timedelta(seconds=LAST_USED_SECONDS):
            return
        else:
            self._used.add((public_id, previous))
        known.used_at = now

    async def flush(self) -> None:
        """Writes the uses that were noted."""
        used, self._used = self._used, set()
        for public_id, previous in used:
            await self.database.execute(_previous_used if previous else _current_used, used_id=public_id)


async def actor_of(cache: KeyCache, api_key: str) -> Actor:
    """The owner of a key, its use noted. Raises a leaf of `errors.Unauthorized`."""
    public_id = keys.public_id_of(api_key)
    if public_id is None:
        raise errors.KeyInvalid("This is not one of our keys, or it was mistyped.")
    known = await cache.get(public_id)
    row = known.row
    if row is None:
        raise errors.KeyInvalid("There is no such key.")
    previous = row["previous_public_id"] == public_id
    if not hmac.compare_digest(row["previous_key_hash" if previous else "key_hash"], keys.hash_key(api_key)):
        raise errors.KeyInvalid("There is no such key.")
    check_alive(row, previous=previous)
    await cache.note_use(known, public_id, previous=previous)
    return _actor(row, public_id)


def check_alive(row: Record, *, previous: bool) -> None:
    """Raises if the key that `row` was found by is revoked, expired, or its user disabled."""
    now = datetime.now(UTC)
    ends_at = row["previous_expires_at" if previous else "expires_at"]
    if row["revoked_at"] is not None:
        raise errors.KeyInvalid("This key has been revoked.")
    if ends_at is not None and ends_at <= now:
        raise errors.KeyExpired("This key has expired; use the one that it was rotated to, or ask an admin.")
    if row["disabled_at"] is not None:
        raise errors.UserDisabled("An admin has disabled this user.")


def _actor(row: Record, public_id: str) -> Actor:
    user_scopes = frozenset(row["user_scopes"])
    key_scopes: Any = row["key_scopes"]
    return Actor(
        user_id=row["user_id"],
        user_name=row["user_name"],
        team_id=row["team_id"],
        role=Role(row["role"]),
        scopes=user_scopes if key_scopes is None else user_scopes & frozenset(key_scopes),
        credential_id=row["credential_id"],
        key_prefix=keys.PREFIX + public_id,
        key_expires_at=row["expires_at"],
        is_default_key=row["is_default"],
    )
