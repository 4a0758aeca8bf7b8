"""Authentication by API key.

Each instance looks up a key at most once in five seconds, however many requests arrive, so a revocation takes effect
everywhere within that time.
"""

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Column, DateTime, Text, bindparam, func, or_, select, update
from sqlalchemy import column as sql_column
from sqlalchemy.dialects.postgresql import ARRAY

from image_api.actor import Actor, Role
from image_api.lookups.database_time import Seen, database_now
from image_api.lookups.fresh_cache import FreshCache
from image_core import errors
from image_core.db import Database, Query, Record
from image_core.keys import api_keys
from image_core.models import credential, user, user_disabled_at
from image_core.telemetry import log

LAST_USED_SECONDS = 60.0
_MAX_ADDRESS_LENGTH, _MAX_AGENT_LENGTH = 64, 200

by_public_id = Query(
    select(
        credential.c.id.label("credential_id"), credential.c.user_id, credential.c.scopes.label("key_scopes"),
        credential.c.is_default, credential.c.public_id, credential.c.key_hash, credential.c.expires_at,
        credential.c.last_used_at, credential.c.previous_public_id, credential.c.previous_key_hash,
        credential.c.previous_expires_at, credential.c.previous_last_used_at, credential.c.revoked_at,
        credential.c.address_ranges,
        user.c.name.label("user_name"), user.c.team_id, user.c.role, user.c.scopes.label("user_scopes"),
        user_disabled_at.label("disabled_at"), database_now,
    )
    .join(user, user.c.id == credential.c.user_id)
    .where(
        or_(
            credential.c.public_id == bindparam("public_id"),
            credential.c.previous_public_id == bindparam("public_id"),
        )
    )
)  # fmt: skip


def _uses_written(public_id: Column[Any], prefix: str) -> Query:
    """Return the statement that writes many uses at once; a use older than the stored one changes nothing."""
    used = func.unnest(
        bindparam("public_ids", type_=ARRAY(Text)), bindparam("times", type_=ARRAY(DateTime(timezone=True))),
        bindparam("addresses", type_=ARRAY(Text)), bindparam("agents", type_=ARRAY(Text)),
    ).table_valued(
        sql_column("public_id", Text), sql_column("used_at", DateTime(timezone=True)), sql_column("address", Text),
        sql_column("agent", Text),
    ).render_derived(name="used")  # fmt: skip
    last_used_at = credential.c[f"{prefix}last_used_at"]
    return Query(
        update(credential)
        .where(public_id == used.c.public_id, or_(last_used_at.is_(None), last_used_at < used.c.used_at))
        .values(
            {
                last_used_at: used.c.used_at,
                credential.c[f"{prefix}last_used_address"]: used.c.address,
                credential.c[f"{prefix}last_used_agent"]: used.c.agent,
            }
        )
    )


_current_used = _uses_written(credential.c.public_id, "")
_previous_used = _uses_written(credential.c.previous_public_id, "previous_")


class Origin(NamedTuple):
    """The origin of a request: the address that our own proxies vouch for, and the caller's user agent."""

    address: str
    agent: str | None


class _Use(NamedTuple):
    used_at: datetime
    address: str
    agent: str | None


@dataclass
class _CachedKey:
    """The cached row of one public id, or None if no such key exists."""

    seen: Seen | None
    networks: "tuple[IPv4Network | IPv6Network, ...]" = ()
    used_at: datetime | None = None

    @property
    def row(self) -> Record | None:
        return self.seen.row if self.seen is not None else None

    def allows(self, address: str) -> bool:
        """Return whether the key may be used from an address; an unparsable address is in no network."""
        if not self.networks:
            return True
        try:
            found = ip_address(address)
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self.networks)


class KeyCache:
    """Rows by public id, and the last use of each key."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self.database = database
        self.rows: FreshCache[str, _CachedKey] = FreshCache(self._load, clock)
        self._used: dict[tuple[str, bool], _Use] = {}

    async def _load(self, public_id: str) -> _CachedKey:
        asked_at = self.rows.clock()
        row = await self.database.fetch_one(by_public_id, public_id=public_id)
        if row is None:
            return _CachedKey(None)
        return _CachedKey(Seen(row, asked_at), tuple(ip_network(network) for network in row["address_ranges"] or ()))

    def is_known_valid(self, api_key: str) -> bool:
        """Return whether a key was valid when it was last looked up, within five seconds; without a query."""
        public_id = api_keys.public_id_of(api_key)
        known = self.rows.peek(public_id) if public_id else None
        if known is None or known.row is None:
            return False
        hashed = api_keys.hash_key(api_key)
        return any(
            hmac.compare_digest(known.row[name], hashed)
            for name in ("key_hash", "previous_key_hash")
            if known.row[name] is not None
        )

    def forget(self, credential_id: UUID) -> None:
        """Drop the entries of a credential that was just changed here."""
        self._forget_where("credential_id", credential_id)

    def forget_user(self, user_id: UUID) -> None:
        """Drop the entries of the keys of a user who was just changed here."""
        self._forget_where("user_id", user_id)

    def forget_team(self, team_id: UUID) -> None:
        """Drop the entries of the keys of a team that was just changed here."""
        self._forget_where("team_id", team_id)

    def _forget_where(self, column: str, value: UUID) -> None:
        self.rows.forget_where(lambda known: known.row is not None and known.row[column] == value)

    async def note_use(self, known: _CachedKey, public_id: str, origin: Origin, *, previous: bool) -> None:
        """Write the first use before the response is sent; later ones wait for `flush`."""
        if known.seen is None:
            return
        last = known.used_at or known.seen.row["previous_last_used_at" if previous else "last_used_at"]
        now = known.seen.now(self.rows.clock())
        if last is not None and now - last < timedelta(seconds=LAST_USED_SECONDS):
            return
        use = _Use(now, origin.address[:_MAX_ADDRESS_LENGTH], (origin.agent or "")[:_MAX_AGENT_LENGTH] or None)
        if last is None:
            await self._write({(public_id, previous): use})
        else:
            self._used[public_id, previous] = use
        known.used_at = now

    async def flush(self) -> None:
        """Write the recorded uses; those that cannot be written stay for the next time."""
        used, self._used = self._used, {}
        try:
            await self._write(used)
        except BaseException:
            self._used = used | self._used
            raise

    async def _write(self, used: dict[tuple[str, bool], _Use]) -> None:
        for statement, of_previous in ((_current_used, False), (_previous_used, True)):
            uses = {public_id: use for (public_id, previous), use in used.items() if previous is of_previous}
            if uses:
                await self.database.execute(
                    statement,
                    public_ids=list(uses),
                    times=[use.used_at for use in uses.values()],
                    addresses=[use.address for use in uses.values()],
                    agents=[use.agent for use in uses.values()],
                )


async def authenticate_key(cache: KeyCache, api_key: str, origin: Origin) -> Actor:
    """Return the owner of a key, and record its use.

    Raises:
        errors.Unauthorized: The key is invalid, expired or disabled.
        errors.AddressNotAllowed: The key may not be used from this address.
    """
    public_id = api_keys.public_id_of(api_key)
    if public_id is None:
        raise errors.KeyInvalid("The API key is malformed. Check it for typing errors.")
    known = await cache.rows.get(public_id)
    if known.seen is None:
        raise errors.KeyInvalid("The API key is unknown. Check that it belongs to this service and is complete.")
    row = known.seen.row
    previous = row["previous_public_id"] == public_id
    if not hmac.compare_digest(row["previous_key_hash" if previous else "key_hash"], api_keys.hash_key(api_key)):
        raise errors.KeyInvalid("The API key is unknown. Check that it belongs to this service and is complete.")
    return await _admit(cache, known, known.seen, public_id, origin)


async def authenticate_session_of_key(cache: KeyCache, public_id: str, origin: Origin) -> Actor:
    """Return the owner of a key with which a session began, under all limits of the key, and record its use.

    Raises:
        errors.KeyInvalid: The key was revoked or rotated.
        errors.KeyExpired: The key has expired.
        errors.UserDisabled: The user is disabled.
        errors.AddressNotAllowed: The key may not be used from this address.
    """
    known = await cache.rows.get(public_id)
    if known.seen is None:
        raise errors.KeyInvalid("The API key has been rotated. Use the new one.")
    return await _admit(cache, known, known.seen, public_id, origin)


async def _admit(cache: KeyCache, known: _CachedKey, seen: Seen, public_id: str, origin: Origin) -> Actor:
    row, previous = seen.row, seen.row["previous_public_id"] == public_id
    check_alive(row, seen.now(cache.rows.clock()), previous=previous)
    if not known.allows(origin.address):
        log("key_refused_by_address", severity="WARNING", credential_id=str(row["credential_id"]))
        raise errors.AddressNotAllowed("Address not allowed: the key is limited to other networks.")
    await cache.note_use(known, public_id, origin, previous=previous)
    return actor_of_key(row, public_id)


async def owner_of_key(cache: KeyCache, public_id: str) -> Actor:
    """Return the owner of a key that was authenticated before, if it is still valid.

    Raises:
        errors.KeyInvalid: The key was revoked or rotated.
        errors.KeyExpired: The key has expired.
        errors.UserDisabled: The user is disabled.
    """
    known = await cache.rows.get(public_id)
    if known.seen is None:
        raise errors.KeyInvalid("The API key has been rotated. Use the new one.")
    row = known.seen.row
    check_alive(row, known.seen.now(cache.rows.clock()), previous=row["previous_public_id"] == public_id)
    return actor_of_key(row, public_id)


def earliest(*times: datetime | None) -> datetime | None:
    """Return the earliest of these times; null means never."""
    return min((time for time in times if time is not None), default=None)


def key_ends_at(row: Record, *, previous: bool) -> datetime | None:
    """Return when a key expires: a previous one with its grace period or its credential, whichever is earlier."""
    return earliest(row["expires_at"], row["previous_expires_at"] if previous else None)


def check_alive(row: Record, now: datetime, *, previous: bool) -> None:
    """Check at `now`, a time of the database, the key by which `row` was found.

    Raises:
        errors.KeyInvalid: The key was revoked.
        errors.KeyExpired: The key has expired.
        errors.UserDisabled: The user is disabled.
    """
    ends_at = key_ends_at(row, previous=previous)
    if row["revoked_at"] is not None:
        raise errors.KeyInvalid("The API key has been revoked. Use another one.")
    if ends_at is not None and ends_at <= now:
        raise errors.KeyExpired("The API key has expired. Use the key that replaced it, or ask an admin.")
    if row["disabled_at"] is not None:
        raise errors.UserDisabled("An admin has disabled this user. Ask an admin to enable it again.")


def actor_of_key(row: Record, public_id: str) -> Actor:
    """Return the owner of a key, with the key's rights."""
    user_scopes = frozenset(row["user_scopes"])
    key_scopes: Any = row["key_scopes"]
    return Actor(
        user_id=row["user_id"],
        user_name=row["user_name"],
        team_id=row["team_id"],
        role=Role(row["role"]),
        scopes=user_scopes if key_scopes is None else user_scopes & frozenset(key_scopes),
        credential_id=row["credential_id"],
        key_prefix=api_keys.PREFIX + public_id,
        key_expires_at=key_ends_at(row, previous=public_id == row["previous_public_id"]),
        is_default_key=row["is_default"],
        address_ranges=row["address_ranges"],
    )
