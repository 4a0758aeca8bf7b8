"""The SQL of import sources."""

from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select

from image_api.http.pagination import Cursor, newest_first
from image_core.db import Record, Runner, Transaction
from image_core.models import import_source


async def page(runner: Runner, team_id: UUID | None, cursor: Cursor | None, limit: int) -> list[Record]:
    """Return the import sources of a team, or of all teams, newest first."""
    statement = select(import_source)
    if team_id is not None:
        statement = statement.where(import_source.c.team_id == team_id)
    return await runner.fetch(newest_first(statement, import_source.c.created_at, import_source.c.id, cursor, limit))


async def find_by_name(runner: Runner, team_id: UUID, name: str) -> Record | None:
    """Return a team's import source."""
    named = import_source.c.team_id == team_id, import_source.c.name == name
    return await runner.fetch_one(select(import_source).where(*named))


async def add(transaction: Transaction, source_id: UUID, values: dict[str, Any]) -> Record:
    """Insert an import source and return it.

    Raises:
        db.UniqueViolation: The team has one of this name.
    """
    (added,) = await transaction.fetch(insert(import_source).values(id=source_id, **values).returning(import_source))
    return added


async def remove(transaction: Transaction, source_id: UUID) -> Record | None:
    """Delete an import source and return it."""
    return await transaction.fetch_one(
        delete(import_source).where(import_source.c.id == source_id).returning(import_source)
    )
