"""The SQL of users."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, bindparam, cast, delete, exists, func, insert, or_, select, update

from image_api.http.pagination import Cursor, newest_first
from image_api.lookups.database_time import database_now
from image_core.db import Query, Record, Runner, Transaction
from image_core.keys.api_keys import NewKey
from image_core.models import USER_REFERENCES, credential, session, user, user_disabled_at

_team_id = bindparam("team_id", type_=Uuid)
_names = Query(
    select(user.c.id, user.c.name).where(
        user.c.id == func.any(bindparam("user_ids", type_=ARRAY(Uuid))), user.c.deleting_at.is_(None),
        or_(_team_id.is_(None), user.c.team_id == _team_id),
    )
)  # fmt: skip


async def find(runner: Runner, user_id: UUID) -> Record | None:
    """Return one user that is not being removed."""
    return await runner.fetch_one(select(user).where(user.c.id == user_id, user.c.deleting_at.is_(None)))


async def page(runner: Runner, team_id: UUID, cursor: Cursor | None, limit: int) -> list[Record]:
    """Return a team's users, newest first."""
    statement = select(user).where(user.c.team_id == team_id, user.c.deleting_at.is_(None))
    return await runner.fetch(newest_first(statement, user.c.created_at, user.c.id, cursor, limit))


async def matching(runner: Runner, text: str | None, cursor: Cursor | None, limit: int) -> list[Record]:
    """Return users of all teams, newest first; with a text those with it in name or e-mail, or with this id."""
    statement = select(user).where(user.c.deleting_at.is_(None))
    if text is not None:
        names_it = (each.icontains(text, autoescape=True) for each in (user.c.name, user.c.email))
        statement = statement.where(or_(*names_it, cast(user.c.id, Text) == text.lower()))
    return await runner.fetch(newest_first(statement, user.c.created_at, user.c.id, cursor, limit))


async def names(runner: Runner, team_id: UUID | None, user_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the names of users by id; only those of a team if it is given."""
    rows = await runner.fetch(_names, user_ids=list(user_ids), team_id=team_id)
    return {row["id"]: row["name"] for row in rows}


async def add(transaction: Transaction, user_id: UUID, team_id: UUID, values: dict[str, Any]) -> Record | None:
    """Insert a user and return it."""
    return await transaction.fetch_one(insert(user).values(id=user_id, team_id=team_id, **values).returning(user))


async def add_credential(transaction: Transaction, credential_id: UUID, user_id: UUID, name: str, key: NewKey) -> None:
    """Insert a credential; only the public id and the hash of its key are stored."""
    await transaction.execute(
        insert(credential).values(
            id=credential_id, user_id=user_id, name=name, public_id=key.public_id, key_hash=key.key_hash
        )
    )


async def lock(transaction: Transaction, user_id: UUID) -> Record | None:
    """Return one user, locked for the rest of the transaction, and the database's time."""
    return await transaction.fetch_one(
        select(user, database_now).where(user.c.id == user_id, user.c.deleting_at.is_(None)).with_for_update()
    )


async def lock_active_admins(transaction: Transaction) -> list[UUID]:
    """Lock and return every active admin with a usable key.

    Admins are locked in the order of their ids, so that concurrent demotions or revocations wait for each other.
    """
    active = (
        select(user.c.id)
        .where(user.c.role == "admin", user_disabled_at.is_(None), user.c.scopes.contains(["admin"]))
        .order_by(user.c.id)
    )
    await transaction.fetch(active.with_for_update(of=user))
    # Queried only now, so that it sees the keys as the previous holder of the locks left them.
    live_key = exists().where(
        credential.c.user_id == user.c.id,
        credential.c.revoked_at.is_(None),
        or_(credential.c.expires_at.is_(None), credential.c.expires_at > func.now()),
        or_(credential.c.scopes.is_(None), credential.c.scopes.contains(["admin"])),
    )
    return [row["id"] for row in await transaction.fetch(active.where(live_key))]


async def change(transaction: Transaction, user_id: UUID, values: dict[str, Any]) -> Record | None:
    """Update a user and return it."""
    return await transaction.fetch_one(
        update(user)
        .where(user.c.id == user_id)
        .values(revision=user.c.revision + 1, updated_at=func.now(), **values)
        .returning(user)
    )


async def has_many_references(transaction: Transaction, user_id: UUID, limit: int) -> bool:
    """Return whether more rows refer to a user than one statement should touch."""
    for column in USER_REFERENCES:
        # Rows are read only until there is one too many.
        one_too_many = select(column).where(column == user_id).offset(limit).exists()
        if await transaction.fetch_value(select(one_too_many)):
            return True
    return False


async def remove(transaction: Transaction, user_id: UUID) -> None:
    """Delete a user and its credentials; its images stay with the team."""
    await transaction.execute(delete(user).where(user.c.id == user_id))


async def mark_for_removal(transaction: Transaction, user_id: UUID) -> None:
    """Remove a user's personal data and credentials, and leave its row to the sweep."""
    for table, ended_at in ((credential, credential.c.revoked_at), (session, session.c.ended_at)):
        await transaction.execute(
            update(table).where(table.c.user_id == user_id, ended_at.is_(None)).values({ended_at: func.now()})
        )
    erased = {"name": "removed", "email": None, "password_hash": None}
    await transaction.execute(
        update(user).where(user.c.id == user_id).values(deleting_at=func.now(), disabled_at=func.now(), **erased)
    )
