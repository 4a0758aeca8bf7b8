"""The rules of rotation: a credential gets a new key, and the old key stays valid for a grace period."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from image_api import audit
from image_api.actor import Actor
from image_api.credentials import queries
from image_api.credentials.limits import check_within_limits
from image_api.credentials.schemas import Rotation
from image_api.credentials.service import (
    check_admin_keeps_a_key,
    check_may_manage,
    check_within_own,
    expiry,
)
from image_api.proofs.key_cache import earliest, key_ends_at
from image_api.proofs.still_valid import check_still_valid
from image_api.users import queries as users
from image_core import errors, events
from image_core.db import LockNotAvailable, Record, Transaction
from image_core.events import EventType
from image_core.keys import api_keys
from image_core.keys.api_keys import NewKey


class Rotated(NamedTuple):
    """The outcome of a rotation."""

    credential_id: UUID
    key: NewKey
    previous: dict[str, Any] | None


async def rotate(transaction: Transaction, actor: Actor, user_id: UUID, rotation: Rotation) -> Rotated:
    """Rotate a credential's key; `_next_keys` decides what happens to the old one.

    Raises:
        errors.UserNotFound: The user does not exist.
        errors.CredentialNotFound: The credential does not exist.
        errors.ScopeMissing: The key lacks a scope.
        errors.KeyLimitExceeded: The key cannot give more than it has.
        errors.RotationInProgress: Another rotation of this credential is in progress.
        errors.RotationInGrace: The previous key is still in its grace period.
        errors.DefaultKeyMustBeRotated: The default key can only rotate itself.
        errors.LastAdminKey: The last admin key cannot be revoked or restricted.
    """
    _check_may_rotate(actor, user_id, rotation)
    own = user_id == actor.user_id
    target_id = rotation.credential_id or (actor.credential_id if own else None)
    if rotation.expires_at is not None:
        # The change may end the last admin key, so the admins are locked first.
        await users.lock_active_admins(transaction)
    try:
        row = await queries.lock_live(transaction, user_id, target_id)
    except LockNotAvailable as error:
        raise errors.RotationInProgress(
            "Another request is rotating this credential. Wait for it to finish, then read the credential."
        ) from error
    if row is None:
        raise errors.CredentialNotFound("The user has no such active credential.")
    actor = await check_still_valid(transaction, actor)
    if row["id"] != actor.credential_id:
        check_within_own(actor, row)
    key = api_keys.generate()
    values = _next_keys(row, key, rotation)
    check_within_limits(actor, row, values)
    if rotation.expires_at is not None:
        await check_admin_keeps_a_key(transaction, row, values)
    await queries.change(transaction, row["id"], values)
    if actor.session_id is not None and row["id"] == actor.credential_id:
        await queries.rebind_session(transaction, actor.session_id, key.public_id)
    after = {
        "key_prefix": key.key_prefix,
        "grace_period_seconds": rotation.grace_period_seconds,
        "reason": rotation.reason,
    }
    await audit.record(
        transaction, actor, "credential.rotated", ("credential", row["id"]), team_id=row["team_id"],
        before={"key_prefix": api_keys.PREFIX + row["public_id"]}, after=after,
    )  # fmt: skip
    previous = _previous_of(row, values)
    await _record(transaction, row, key, previous)
    return Rotated(row["id"], key, previous)


async def _record(transaction: Transaction, row: Record, key: NewKey, previous: dict[str, Any] | None) -> None:
    ends_at: datetime | None = None if previous is None else previous["expires_at"]
    payload = {"key_prefix": key.key_prefix, "previous_expires_at": events.time_text(ends_at)}
    rotated = events.credential_event(EventType.KEY_ROTATED, row["team_id"], row, payload)
    await events.record(transaction, rotated)


def _check_may_rotate(actor: Actor, user_id: UUID, rotation: Rotation) -> None:
    if actor.is_default_key:
        if user_id != actor.user_id or rotation.credential_id not in (None, actor.credential_id):
            raise errors.DefaultKeyMustBeRotated("The default key can only rotate itself. Leave out `credential_id`.")
        return
    check_may_manage(actor, user_id)


def _next_keys(row: Record, key: NewKey, rotation: Rotation) -> dict[str, Any]:
    """Return the columns after a rotation, given the row before it.

    Raises:
        errors.RotationInGrace: Both keys are in use and `force` is not set.
    """
    now: datetime = row["now"]
    _check_not_expired(row, rotation)
    values: dict[str, Any] = {
        "public_id": key.public_id,
        "key_hash": key.key_hash,
        "last_used_at": None,
        "last_used_address": None,
        "last_used_agent": None,
        "rotated_at": now,
        "is_default": False,
    }
    if rotation.expires_at is not None:
        values |= expiry(rotation.expires_at, now)
    # An old key outlives neither its own expiry nor the new expiry of its credential.
    ends_at = earliest(row["expires_at"], rotation.expires_at)
    grace_ends_at = now + timedelta(seconds=rotation.grace_period_seconds)
    previous_ends_at = key_ends_at(row, previous=True) if row["previous_public_id"] is not None else None
    previous_is_live = previous_ends_at is not None and previous_ends_at > now
    if rotation.grace_period_seconds == 0 or row["is_default"]:
        return values | _previous(None, None)
    if previous_is_live and row["last_used_at"] is None:
        # The response with the current key was lost: replace that key, and keep the working one.
        return values | {"previous_expires_at": earliest(max(row["previous_expires_at"], grace_ends_at), ends_at)}
    if previous_is_live and not rotation.force:
        raise errors.RotationInGrace(
            "The previous key is still valid. Wait until its grace period ends, or send `force: true` to end it now.",
            previous_expires_at=previous_ends_at,
        )
    return values | _previous(row, earliest(grace_ends_at, ends_at))


def _check_not_expired(row: Record, rotation: Rotation) -> None:
    """Check that the new key would be valid.

    Raises:
        errors.RequestInvalid: The credential has expired.
    """
    if rotation.expires_at is None and row["expires_at"] is not None and row["expires_at"] <= row["now"]:
        message = f"The credential expired at {row['expires_at'].isoformat()}. Send a later expiry for the new key."
        raise errors.invalid_fields([{"field": "expires_at", "code": "credential-expired", "message": message}])


def _previous(row: Record | None, expires_at: datetime | None) -> dict[str, Any]:
    carried = ("public_id", "key_hash", "last_used_at", "last_used_address", "last_used_agent")
    return {f"previous_{name}": None if row is None else row[name] for name in carried} | {
        "previous_expires_at": expires_at
    }


def _previous_of(row: Record, values: dict[str, Any]) -> dict[str, Any] | None:
    expires_at = values["previous_expires_at"]
    if expires_at is None:
        return None
    last_used_at = values.get("previous_last_used_at", row["previous_last_used_at"])
    return {"credential_id": row["id"], "expires_at": expires_at, "last_used_at": last_used_at}
