"""The SQL of teams."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    ScalarSelect,
    Text,
    Uuid,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from image_api.http.pagination import Cursor, newest_first
from image_core.db import Query, Record, Runner, Transaction
from image_core.models import credential, credit_account, image, invitation, share_link, storage_usage, team, user

_by_id = Query(select(team).where(team.c.id == bindparam("team_id")))
_names = Query(select(team.c.id, team.c.name).where(team.c.id == func.any(bindparam("team_ids", type_=ARRAY(Uuid)))))


def _count(of: FromClause, *clauses: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).select_from(of).where(*clauses).scalar_subquery()


_users = (
    select(func.count())
    .where(user.c.team_id == team.c.id, user.c.deleting_at.is_(None))
    .correlate(team)
    .scalar_subquery()
)
_totals = Query(
    select(
        team.c.id, func.coalesce(storage_usage.c.images, 0).label("images"),
        func.coalesce(storage_usage.c.bytes, 0).label("bytes"), credit_account.c.balance, _users.label("users"),
    )
    .outerjoin_from(team, storage_usage)
    .outerjoin(credit_account, credit_account.c.team_id == team.c.id)
    .where(team.c.id == func.any(bindparam("team_ids", type_=ARRAY(Uuid))))
)  # fmt: skip


async def find(runner: Runner, team_id: UUID) -> Record | None:
    """Return one team."""
    return await runner.fetch_one(_by_id, team_id=team_id)


async def names(runner: Runner, team_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the names of teams by id."""
    rows = await runner.fetch(_names, team_ids=list(team_ids))
    return {row["id"]: row["name"] for row in rows}


async def page(runner: Runner, only_id: UUID | None, cursor: Cursor | None, limit: int) -> list[Record]:
    """Return teams, newest first; only the one of `only_id` if it is given."""
    statement = select(team)
    if only_id is not None:
        statement = statement.where(team.c.id == only_id)
    return await runner.fetch(newest_first(statement, team.c.created_at, team.c.id, cursor, limit))


async def matching(runner: Runner, text: str, limit: int) -> list[Record]:
    """Return id and name of the teams whose name contains a text, or whose id it is."""
    is_named = team.c.name.icontains(text, autoescape=True) | (cast(team.c.id, Text) == text.lower())
    return await runner.fetch(select(team.c.id, team.c.name).where(is_named).order_by(team.c.name).limit(limit))


async def totals(runner: Runner, team_ids: Collection[UUID]) -> list[Record]:
    """Return what each of these teams stores, its credits, and its number of users; one statement for all."""
    return await runner.fetch(_totals, team_ids=list(team_ids))


async def add(transaction: Transaction, team_id: UUID, values: dict[str, Any]) -> Record | None:
    """Insert a team and return it."""
    return await transaction.fetch_one(insert(team).values(id=team_id, **values).returning(team))


async def lock(transaction: Transaction, team_id: UUID) -> Record | None:
    """Return one team, locked for the rest of the transaction."""
    return await transaction.fetch_one(select(team).where(team.c.id == team_id).with_for_update())


async def lock_for_counting(transaction: Transaction, team_id: UUID) -> bool:
    """Lock one team against others that count its rows, but not against rows that refer to it; return if it exists."""
    statement = select(team.c.id).where(team.c.id == team_id).with_for_update(key_share=True)
    return await transaction.fetch_one(statement) is not None


async def change(transaction: Transaction, team_id: UUID, values: dict[str, Any]) -> Record | None:
    """Update a team and return it."""
    return await transaction.fetch_one(
        update(team)
        .where(team.c.id == team_id)
        .values(revision=team.c.revision + 1, updated_at=func.now(), **values)
        .returning(team)
    )


async def has_members_or_images(transaction: Transaction, team_id: UUID) -> bool:
    """Return whether users or images still belong to the team."""
    people = exists().where(user.c.team_id == team_id)
    images = exists().where(image.c.team_id == team_id)
    return bool(await transaction.fetch_value(select(people | images)))


_id = bindparam("team_id", type_=Uuid)
_by_default = image.c.visibility.is_(None) & image.c.deleted_at.is_(None)
_contents = Query(
    select(
        _count(image, image.c.team_id == _id).label("images"),
        _count(image, image.c.team_id == _id, _by_default).label("images_by_default"),
        _count(user, user.c.team_id == _id).label("users"),
        _count(
            credential.join(user), user.c.team_id == _id, credential.c.revoked_at.is_(None),
            func.coalesce(credential.c.expires_at > func.now(), True),
        ).label("api_keys"),
        _count(
            share_link, share_link.c.team_id == _id, share_link.c.ended_at.is_(None),
            func.coalesce(share_link.c.expires_at > func.now(), True),
        ).label("links"),
    )
)  # fmt: skip


async def count_contents(runner: Runner, team_id: UUID) -> dict[str, int]:
    """Return the numbers of a team's images, images without a visibility of their own, users, keys and open links."""
    rows = await runner.fetch(_contents, team_id=team_id)
    return dict(rows[0])


async def has_admins(transaction: Transaction, team_id: UUID) -> bool:
    """Return whether an admin of the platform belongs to the team."""
    admins = exists().where(user.c.team_id == team_id, user.c.role == "admin", user.c.deleting_at.is_(None))
    return bool(await transaction.fetch_value(select(admins)))


async def mark_for_removal(transaction: Transaction, team_id: UUID) -> Record | None:
    """Mark a team for removal by the sweep, revoke its open invitations, and return it."""
    open_ones = (invitation.c.accepted_at.is_(None), invitation.c.revoked_at.is_(None))
    await transaction.execute(
        update(invitation).where(invitation.c.team_id == team_id, *open_ones).values(revoked_at=func.now())
    )
    return await change(transaction, team_id, {"deleting_at": func.now()})


async def remove(transaction: Transaction, team_id: UUID) -> None:
    """Delete the row of an empty team."""
    await transaction.execute(delete(team).where(team.c.id == team_id))
