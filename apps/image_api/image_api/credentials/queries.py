"""The SQL of credentials."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, func, insert, or_, select, update

from image_api.http.pagination import Cursor, newest_first
from image_core.db import Record, Runner, Transaction
from image_core.models import credential, session, user, user_disabled_at

REPORTS_SHOWN_FOR = timedelta(days=30)


def _with_user(user_id: UUID) -> Select[Any]:
    """Return the query for a user's credentials, with the user's scopes and the database's time."""
    return (
        select(
            credential,
            user.c.team_id,
            user.c.role,
            user.c.scopes.label("user_scopes"),
            user_disabled_at.label("disabled_at"),
            func.now().label("now"),
        )
        .join(user, user.c.id == credential.c.user_id)
        .where(credential.c.user_id == user_id, user.c.deleting_at.is_(None))
    )


async def page(runner: Runner, user_id: UUID, cursor: Cursor | None, limit: int) -> list[Record]:
    """Return a user's credentials, newest first, including inactive ones."""
    statement = newest_first(_with_user(user_id), credential.c.created_at, credential.c.id, cursor, limit)
    return await runner.fetch(statement)


async def live(runner: Runner, user_id: UUID, limit: int) -> list[Record]:
    """Return a user's credentials that are neither revoked nor expired, those that expire first at the top.

    Those that were revoked in the last 30 days because somebody reported their key are among them.
    """
    is_live = and_(
        credential.c.revoked_at.is_(None),
        or_(credential.c.expires_at.is_(None), credential.c.expires_at > func.now()),
    )
    is_reported = and_(
        credential.c.revoked_reason == "reported", credential.c.revoked_at > func.now() - REPORTS_SHOWN_FOR
    )
    statement = (
        _with_user(user_id)
        .where(or_(is_live, is_reported))
        .order_by(
            credential.c.revoked_at.asc().nulls_first(),
            credential.c.expires_at.asc().nulls_last(),
            credential.c.created_at.desc(),
            credential.c.id.desc(),
        )
        .limit(limit)
    )
    return await runner.fetch(statement)


async def find(runner: Runner, user_id: UUID, credential_id: UUID) -> Record | None:
    """Return a credential of a user."""
    return await runner.fetch_one(_with_user(user_id).where(credential.c.id == credential_id))


async def lock(transaction: Transaction, user_id: UUID, credential_id: UUID) -> Record | None:
    """Return a credential of a user, locked for the rest of the transaction."""
    statement = _with_user(user_id).where(credential.c.id == credential_id)
    return await transaction.fetch_one(statement.with_for_update(of=credential))


async def lock_live(transaction: Transaction, user_id: UUID, credential_id: UUID | None) -> Record | None:
    """Return a credential of a user that is not revoked, locked without waiting; by default the first live one.

    Raises:
        db.LockNotAvailable: Another transaction holds the lock.
    """
    statement = (
        _with_user(user_id)
        .where(credential.c.revoked_at.is_(None))
        .order_by(credential.c.created_at, credential.c.id)
        .limit(1)
        .with_for_update(of=credential, nowait=True)
    )
    if credential_id is not None:
        statement = statement.where(credential.c.id == credential_id)
    else:
        statement = statement.where(or_(credential.c.expires_at.is_(None), credential.c.expires_at > func.now()))
    return await transaction.fetch_one(statement)


async def lock_by_public_id(transaction: Transaction, public_id: str) -> Record | None:
    """Return the credential whose current or previous key has this public id, locked until the transaction ends."""
    return await transaction.fetch_one(
        select(credential, user.c.team_id, func.now().label("now"))
        .join(user, user.c.id == credential.c.user_id)
        .where(or_(credential.c.public_id == public_id, credential.c.previous_public_id == public_id))
        .with_for_update(of=credential)
    )


async def now(transaction: Transaction) -> datetime:
    """Return the time at which the transaction began, by the database's clock."""
    began_at: datetime = await transaction.fetch_value(select(func.now()))
    return began_at


async def count_live(transaction: Transaction, user_id: UUID) -> int:
    """Count the credentials of a user that are neither revoked nor expired."""
    statement = (
        select(func.count())
        .select_from(credential)
        .where(
            credential.c.user_id == user_id,
            credential.c.revoked_at.is_(None),
            or_(credential.c.expires_at.is_(None), credential.c.expires_at > func.now()),
        )
    )
    return int(await transaction.fetch_value(statement))


async def other_admin_keys(transaction: Transaction, credential_id: UUID) -> list[Record]:
    """Return every live admin credential other than this one."""
    return await transaction.fetch(
        select(credential.c.expires_at, credential.c.address_ranges)
        .join(user, user.c.id == credential.c.user_id)
        .where(
            credential.c.id != credential_id,
            credential.c.revoked_at.is_(None),
            or_(credential.c.expires_at.is_(None), credential.c.expires_at > func.now()),
            or_(credential.c.scopes.is_(None), credential.c.scopes.contains(["admin"])),
            user.c.role == "admin",
            user.c.scopes.contains(["admin"]),
            user_disabled_at.is_(None),
        )
    )


async def add(transaction: Transaction, credential_id: UUID, user_id: UUID, values: dict[str, Any]) -> None:
    """Insert a credential; only the public id and the hash of its key are stored."""
    await transaction.execute(insert(credential).values(id=credential_id, user_id=user_id, **values))


async def rebind_session(transaction: Transaction, session_id: UUID, public_id: str) -> None:
    """Let a session that began with a key continue under another key."""
    await transaction.execute(update(session).where(session.c.id == session_id).values(key_public_id=public_id))


async def change(transaction: Transaction, credential_id: UUID, values: dict[str, Any]) -> None:
    """Update a credential."""
    await transaction.execute(
        update(credential).where(credential.c.id == credential_id).values(revision=credential.c.revision + 1, **values)
    )
