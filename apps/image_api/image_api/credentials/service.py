"""The rules of a user's credentials: who may see and change them, and the scopes they may have."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from image_api import audit
from image_api.actor import Actor, Role, Scope
from image_api.credentials import queries
from image_api.credentials.limits import check_limits, check_within_limits, limits_of
from image_api.http.entity_tags import check_if_match
from image_api.http.pagination import Cursor
from image_api.http.timestamps import check_in_future
from image_api.proofs.key_cache import earliest
from image_api.proofs.still_valid import check_still_valid
from image_api.users import queries as users
from image_core import errors, events
from image_core.db import Record, Runner, Transaction
from image_core.events import EventType
from image_core.ids import new_id
from image_core.keys import api_keys
from image_core.keys.api_keys import NewKey

MAX_LIVE_CREDENTIALS = 50
REPORTS_SHOWN = 10
FIRST_WARNING = timedelta(days=7)
"""How long before a key's expiry the first of two warnings is sent; the second follows one day before."""


class CreatedCredential(NamedTuple):
    """A new credential with its key, which is shown once."""

    row: Record
    key: NewKey


def check_may_manage(actor: Actor, user_id: UUID) -> None:
    """Require an admin, or this user with `keys:self`.

    Raises:
        errors.UserNotFound: The user does not exist.
        errors.ScopeMissing: The key lacks a scope.
    """
    if is_admin(actor):
        return
    if user_id != actor.user_id:
        # Do not reveal whether another user exists.
        raise errors.UserNotFound
    if Scope.KEYS_SELF not in actor.scopes:
        raise errors.ScopeMissing(
            "The key lacks this scope: keys:self. Use another key, or ask an admin.", missing_scopes=[Scope.KEYS_SELF]
        )


def is_admin(actor: Actor) -> bool:
    """Return whether the caller acts as an admin of the platform."""
    return actor.is_admin and Scope.ADMIN in actor.scopes


def check_within_own(actor: Actor, row: Record) -> None:
    """Check that a credential of the caller itself has no more rights than the calling key.

    Otherwise a key with few scopes could extend or replace one with many. Admins may manage credentials of others.

    Raises:
        errors.ScopeMissing: The credential has scopes that the calling key lacks.
        errors.KeyLimitExceeded: It expires later, or may be used from other networks.
    """
    if row["user_id"] == actor.user_id:
        _require_all(actor, _scopes_of(row["scopes"], row["user_scopes"]))
        check_within_limits(actor, row)


def _require_all(actor: Actor, scopes: frozenset[str]) -> None:
    missing = [scope for scope in Scope if scope in scopes - actor.scopes]
    if missing:
        raise errors.ScopeMissing(
            f"The key lacks these scopes: {', '.join(missing)}. Use another key, or ask an admin.",
            missing_scopes=missing,
        )


def _scopes_of(key_scopes: list[str] | None, user_scopes: list[str]) -> frozenset[str]:
    return frozenset(user_scopes) if key_scopes is None else frozenset(user_scopes) & frozenset(key_scopes)


async def list_credentials(
    runner: Runner, actor: Actor, user_id: UUID, cursor: Cursor | None, limit: int
) -> list[Record]:
    """Return a user's credentials.

    Raises:
        errors.UserNotFound: The user does not exist.
        errors.ScopeMissing: The key lacks a scope.
    """
    check_may_manage(actor, user_id)
    if user_id != actor.user_id and await users.find(runner, user_id) is None:
        raise errors.UserNotFound
    return await queries.page(runner, user_id, cursor, limit)


async def live_credentials(runner: Runner, actor: Actor, user_id: UUID) -> list[Record]:
    """Return all of a user's credentials that are neither revoked nor expired, those that expire first at the top.

    Those that were revoked in the last 30 days because somebody reported their key are among them.

    Raises:
        errors.UserNotFound: The caller may not see them.
        errors.ScopeMissing: The key lacks a scope.
    """
    check_may_manage(actor, user_id)
    return await queries.live(runner, user_id, MAX_LIVE_CREDENTIALS + REPORTS_SHOWN)


async def get_credential(runner: Runner, actor: Actor, user_id: UUID, credential_id: UUID) -> Record:
    """Return one credential.

    Raises:
        errors.UserNotFound: The user does not exist.
        errors.CredentialNotFound: The credential does not exist.
        errors.ScopeMissing: The key lacks a scope.
    """
    check_may_manage(actor, user_id)
    return _require_found(await queries.find(runner, user_id, credential_id))


def _require_found(found: Record | None) -> Record:
    if found is None:
        raise errors.CredentialNotFound
    return found


async def create_credential(
    transaction: Transaction, actor: Actor, user_id: UUID, fields: dict[str, Any]
) -> CreatedCredential:
    """Add a credential. For the caller's own credentials, absent fields default to those of the calling key.

    Raises:
        errors.UserNotFound: The user does not exist, or the caller may not manage its keys.
        errors.ScopeMissing: The caller lacks a scope of the new key, or `keys:self`.
        errors.KeyLimitExceeded: The new key would exceed the limits of the calling one.
        errors.RequestInvalid: The user lacks a scope, or the expiry is in the past.
        errors.TooManyCredentials: The user has the maximum number of active credentials.
    """
    check_may_manage(actor, user_id)
    owner = await users.lock(transaction, user_id)
    if owner is None:
        raise errors.UserNotFound
    actor = await check_still_valid(transaction, actor)
    live = await queries.count_live(transaction, user_id)
    if live >= MAX_LIVE_CREDENTIALS:
        raise errors.TooManyCredentials(
            f"Too many active credentials: the limit is {MAX_LIVE_CREDENTIALS} for each user. Revoke one first.",
            limit=MAX_LIVE_CREDENTIALS,
        )
    fields = _with_defaults(actor, owner, fields)
    _check_scopes(actor, user_id, fields["scopes"], owner["scopes"])
    key, credential_id = api_keys.generate(), new_id()
    values = fields | expiry(fields["expires_at"], await queries.now(transaction))
    values |= {"public_id": key.public_id, "key_hash": key.key_hash}
    await queries.add(transaction, credential_id, user_id, values)
    await audit.record(
        transaction, actor, "credential.created", ("credential", credential_id), team_id=owner["team_id"],
        after={"key_prefix": key.key_prefix, **fields},
    )  # fmt: skip
    created = _require_found(await queries.find(transaction, user_id, credential_id))
    ends = {"expires_at": events.time_text(created["expires_at"])}
    told = events.credential_event(EventType.KEY_CREATED, owner["team_id"], created, ends)
    await events.record(transaction, told)
    return CreatedCredential(created, key)


def _with_defaults(actor: Actor, owner: Record, fields: dict[str, Any]) -> dict[str, Any]:
    """Fill in absent fields; for the caller's own credentials, check the limits of the calling key."""
    defaults: dict[str, Any] = {"scopes": None, "expires_at": None, "address_ranges": None}
    if owner["id"] != actor.user_id:
        return defaults | fields
    limits = limits_of(actor)
    fields = defaults | limits._asdict() | fields
    check_limits(limits, fields["expires_at"], fields["address_ranges"])
    if fields["scopes"] is None and actor.scopes != frozenset(owner["scopes"]):
        fields["scopes"] = sorted(actor.scopes)
    return fields


def _check_scopes(actor: Actor, user_id: UUID, scopes: list[str] | None, user_scopes: list[str]) -> None:
    """Check that a key has no scope that its user lacks, nor, for the caller itself, one that the calling key lacks.

    Raises:
        errors.ScopeMissing: The key lacks a scope.
        errors.RequestInvalid: The user lacks a scope.
    """
    if user_id == actor.user_id:
        _require_all(actor, frozenset(user_scopes if scopes is None else scopes))
    elif missing := sorted(frozenset(scopes or ()) - frozenset(user_scopes)):
        message = f"The user lacks these scopes: {', '.join(missing)}."
        raise errors.invalid_fields([{"field": "scopes", "code": "scope-not-of-user", "message": message}])


def expiry(expires_at: datetime | None, now: datetime) -> dict[str, Any]:
    """Return the columns of an expiry; a key that expires within a week gets only the warning one day before."""
    check_in_future("expires_at", expires_at, now)
    late = expires_at is not None and expires_at <= now + FIRST_WARNING
    return {"expires_at": expires_at, "expiry_warnings": int(late)}


async def change_credential(
    transaction: Transaction, actor: Actor, user_id: UUID, credential_id: UUID, patch: dict[str, Any],
    if_match: str | None,
) -> Record:  # fmt: skip
    """Apply a patch. The previous key expires no later than its credential.

    Raises:
        errors.UserNotFound: The user does not exist.
        errors.CredentialNotFound: The credential does not exist.
        errors.ScopeMissing: The key lacks a scope.
        errors.KeyLimitExceeded: The key cannot give more than it has.
        errors.RequestInvalid: A field of the request is not valid.
        errors.LastAdminKey: The last admin key cannot be revoked or restricted.
        errors.ETagMismatch: The resource has changed since it was read.
    """
    row, actor = await _lock(transaction, actor, user_id, credential_id)
    if row["revoked_at"] is not None:
        raise errors.CredentialNotFound
    check_if_match(if_match, row["revision"])
    if not patch:
        return row
    if "scopes" in patch:
        _check_scopes(actor, user_id, patch["scopes"], row["user_scopes"])
    values = dict(patch)
    if "expires_at" in patch:
        values |= expiry(patch["expires_at"], row["now"])
        if row["previous_expires_at"] is not None:
            values["previous_expires_at"] = earliest(row["previous_expires_at"], patch["expires_at"])
    check_within_limits(actor, row, values)
    await check_admin_keeps_a_key(transaction, row, values)
    await queries.change(transaction, credential_id, values)
    await audit.record(
        transaction, actor, "credential.changed", ("credential", credential_id), team_id=row["team_id"],
        before={name: row[name] for name in patch}, after=patch,
    )  # fmt: skip
    return _require_found(await queries.find(transaction, user_id, credential_id))


async def revoke_credential(
    transaction: Transaction, actor: Actor, user_id: UUID, credential_id: UUID, if_match: str | None
) -> None:
    """Revoke both keys of a credential permanently; repeating it changes nothing.

    Raises:
        errors.UserNotFound: The user does not exist.
        errors.CredentialNotFound: The credential does not exist.
        errors.ScopeMissing: The key lacks a scope.
        errors.KeyLimitExceeded: The key cannot give more than it has.
        errors.LastAdminKey: The last admin key cannot be revoked or restricted.
        errors.ETagMismatch: The resource has changed since it was read.
    """
    row, _ = await _lock(transaction, actor, user_id, credential_id)
    if row["revoked_at"] is not None:
        return
    check_if_match(if_match, row["revision"])
    values = {"revoked_at": row["now"], "revoked_reason": "revoked"}
    await check_admin_keeps_a_key(transaction, row, values)
    await queries.change(transaction, credential_id, values)
    await events.record(transaction, events.credential_event(EventType.KEY_REVOKED, row["team_id"], row))
    await audit.record(
        transaction, actor, "credential.revoked", ("credential", credential_id), team_id=row["team_id"],
        before={"key_prefix": api_keys.PREFIX + row["public_id"]},
    )  # fmt: skip


async def _lock(transaction: Transaction, actor: Actor, user_id: UUID, credential_id: UUID) -> tuple[Record, Actor]:
    """Lock and return a credential that the caller may change; for an admin's credential, lock the admins first.

    The caller is returned as well, as it currently is.

    Raises:
        errors.UserNotFound: The user does not exist.
        errors.CredentialNotFound: The credential does not exist.
        errors.ScopeMissing: The key lacks a scope.
        errors.KeyLimitExceeded: The key cannot give more than it has.
    """
    check_may_manage(actor, user_id)
    found = _require_found(await queries.find(transaction, user_id, credential_id))
    if found["role"] == Role.ADMIN:
        await users.lock_active_admins(transaction)
    row = _require_found(await queries.lock(transaction, user_id, credential_id))
    actor = await check_still_valid(transaction, actor)
    check_within_own(actor, row)
    return row, actor


async def check_admin_keeps_a_key(transaction: Transaction, row: Record, values: dict[str, Any]) -> None:
    """Check that an admin can still act after a change of this credential. The admins must be locked before.

    A key counts as *open* if it has no address ranges and is valid for at least a week. If this key is open and would
    not be afterwards, another open one must exist. If it is not open, because it is about to expire, another live one
    is enough.

    Raises:
        errors.LastAdminKey: The last admin key cannot be revoked or restricted.
    """
    after = dict(row) | values
    if row["disabled_at"] is not None or not _is_admin_key(row) or _is_open(after, row["now"]):
        return
    others = await queries.other_admin_keys(transaction, row["id"])
    if _is_open(row, row["now"]):
        others = [other for other in others if _is_valid_for_a_week(other, row["now"])]
    if not others:
        raise errors.LastAdminKey(
            "This is the last admin key. First create another one without address ranges, valid for at least 7 days."
        )


def _is_admin_key(row: Record | dict[str, Any]) -> bool:
    return (
        row["role"] == Role.ADMIN
        and Scope.ADMIN in _scopes_of(row["scopes"], row["user_scopes"])
        and row["revoked_at"] is None
        and (row["expires_at"] is None or row["expires_at"] > row["now"])
    )


def _is_open(row: Record | dict[str, Any], now: datetime) -> bool:
    return _is_admin_key(row) and _is_valid_for_a_week(row, now)


def _is_valid_for_a_week(row: Record | dict[str, Any], now: datetime) -> bool:
    ends_late = row["expires_at"] is None or row["expires_at"] > now + FIRST_WARNING
    return ends_late and row["address_ranges"] is None
