"""The SQL of credits that only the API needs."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update

from image_api.http.pagination import Cursor, newest_first
from image_core.db import Record, Runner, Transaction
from image_core.models import credit_account, credit_entry


async def page(runner: Runner, team_id: UUID, cursor: Cursor | None, limit: int) -> list[Record]:
    """Return a team's ledger, newest first."""
    statement = select(credit_entry).where(credit_entry.c.team_id == team_id)
    return await runner.fetch(newest_first(statement, credit_entry.c.created_at, credit_entry.c.id, cursor, limit))


async def change(transaction: Transaction, team_id: UUID, values: dict[str, Any]) -> None:
    """Update schedule and threshold of an account."""
    await transaction.execute(
        update(credit_account).where(credit_account.c.team_id == team_id).values(updated_at=func.now(), **values)
    )
