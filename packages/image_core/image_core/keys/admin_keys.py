"""The keys that the admin commands make: instead of the default key, and where no admin's key is left."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.engine import Connection

from image_core import events
from image_core.events import EventType
from image_core.ids import new_id
from image_core.keys import api_keys
from image_core.keys.api_keys import NewKey
from image_core.models import audit_event, credential, event, user


def rotate_default(connection: Connection, secret: str | None) -> str | None:
    """Replace the default key if it has not been revoked, and return the new one, else None."""
    row = connection.execute(
        select(credential.c.id, credential.c.user_id)
        .where(credential.c.is_default, credential.c.revoked_at.is_(None))
        .with_for_update()
    ).one_or_none()
    if row is None:
        return None
    key = _generate_key(secret)
    connection.execute(
        update(credential)
        .where(credential.c.id == row.id)
        .values(public_id=key.public_id, key_hash=key.key_hash, is_default=False, rotated_at=func.now())
    )
    _record(connection, EventType.KEY_ROTATED, row.id, row.user_id, key, {"previous_expires_at": None})
    _audit(connection, "credential.bootstrapped", row.id, key)
    return key.api_key


def recover(connection: Connection, secret: str | None, *, force: bool) -> str | None:
    """Add a key to an active admin, preferably the first one.

    Return None if an admin key is still valid and `force` is not set.

    Raises:
        SystemExit: No admin is active.
    """
    active = (
        select(user.c.id)
        .where(user.c.role == "admin", user.c.disabled_at.is_(None), user.c.scopes.contains(["admin"]))
        .order_by(user.c.id)
    )
    admins = connection.execute(active.with_for_update()).scalars().all()
    if not admins:
        raise SystemExit("No admin is active. Enable one in the database first.")
    valid_keys = connection.execute(
        select(func.count())
        .select_from(credential)
        .where(
            credential.c.user_id.in_(admins),
            credential.c.revoked_at.is_(None),
            or_(credential.c.expires_at.is_(None), credential.c.expires_at > func.now()),
            or_(credential.c.scopes.is_(None), credential.c.scopes.contains(["admin"])),
        )
    ).scalar_one()
    if valid_keys and not force:
        return None
    key, credential_id = _generate_key(secret), new_id()
    connection.execute(
        insert(credential).values(
            id=credential_id, user_id=admins[0], name="recovered", public_id=key.public_id, key_hash=key.key_hash
        )
    )
    _record(connection, EventType.KEY_CREATED, credential_id, admins[0], key, {"expires_at": None})
    _audit(connection, "credential.recovered", credential_id, key)
    return key.api_key


def _generate_key(secret: str | None) -> NewKey:
    """Generate a key and store it in the secret before it becomes valid, so that it cannot get lost."""
    key = api_keys.generate()
    if secret:
        from image_core import secrets

        secrets.add_version(secret, key.api_key)
    return key


def _audit(connection: Connection, action: str, credential_id: UUID, key: NewKey) -> None:
    connection.execute(
        insert(audit_event).values(
            id=new_id(), action=action, target_type="credential", target_id=credential_id,
            after={"key_prefix": key.key_prefix},
        )
    )  # fmt: skip


def _record(
    connection: Connection, kind: EventType, credential_id: UUID, user_id: UUID, key: NewKey, payload: dict[str, Any]
) -> None:
    """Write an event, which the sweep publishes. The key is an admin's, of no team."""
    row = {"id": credential_id, "user_id": user_id, "public_id": key.public_id}
    told = events.credential_event(kind, None, row, payload)
    values = {"id": told.event_id, "topic": told.topic, "type": told.type, "payload": told.payload}
    connection.execute(insert(event).values(values))
