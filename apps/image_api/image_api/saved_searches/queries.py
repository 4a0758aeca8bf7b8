"""The SQL of saved searches. Everything is limited to a team; null means all teams, for an admin."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, insert, select, true, update

from image_api.http.pagination import Cursor, newest_first
from image_core.db import Record, Runner, Transaction
from image_core.models import saved_search


def _visible(team_id: UUID | None) -> ColumnElement[bool]:
    return true() if team_id is None else saved_search.c.team_id == team_id


async def page(runner: Runner, team_id: UUID, cursor: Cursor | None, limit: int) -> list[Record]:
    """Return a team's saved searches, newest first."""
    statement = select(saved_search).where(saved_search.c.team_id == team_id)
    return await runner.fetch(newest_first(statement, saved_search.c.created_at, saved_search.c.id, cursor, limit))


async def find(runner: Runner, team_id: UUID | None, search_id: UUID) -> Record | None:
    """Return one saved search."""
    return await runner.fetch_one(select(saved_search).where(saved_search.c.id == search_id, _visible(team_id)))


async def lock(transaction: Transaction, team_id: UUID | None, search_id: UUID) -> Record | None:
    """Return one saved search, locked for the rest of the transaction."""
    statement = select(saved_search).where(saved_search.c.id == search_id, _visible(team_id))
    return await transaction.fetch_one(statement.with_for_update())


async def count(transaction: Transaction, team_id: UUID) -> int:
    """Return the number of a team's saved searches."""
    statement = select(func.count()).select_from(saved_search).where(saved_search.c.team_id == team_id)
    return int(await transaction.fetch_value(statement))


async def add(transaction: Transaction, team_id: UUID, search_id: UUID, values: dict[str, Any]) -> Record | None:
    """Insert a saved search and return it."""
    statement = insert(saved_search).values(id=search_id, team_id=team_id, **values)
    return await transaction.fetch_one(statement.returning(saved_search))


async def change(transaction: Transaction, team_id: UUID, search_id: UUID, values: dict[str, Any]) -> Record | None:
    """Update a saved search and return it."""
    return await transaction.fetch_one(
        update(saved_search)
        .where(saved_search.c.id == search_id, saved_search.c.team_id == team_id)
        .values(revision=saved_search.c.revision + 1, updated_at=func.now(), **values)
        .returning(saved_search)
    )


async def remove(transaction: Transaction, team_id: UUID, search_id: UUID) -> None:
    """Delete a saved search."""
    await transaction.execute(
        delete(saved_search).where(saved_search.c.id == search_id, saved_search.c.team_id == team_id)
    )
