"""The SQL of credits that only the API needs."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, select, tuple_, update

from image_api.http.pagination import Cursor
from image_core.db import Record, Runner, Transaction
from image_core.models import credit_account, credit_entry


async def page(runner: Runner, team_id: UUID, cursor: Cursor | None, limit: int) -> list[Record]:
    """Return a team's ledger, newest first."""
    statement = (
        select(credit_entry)
        .where(credit_entry.c.team_id == team_id)
        .order_by(credit_entry.c.created_at.desc(), credit_entry.c.id.desc())
        .limit(limit)
    )
    if cursor is not None:
        statement = statement.where(
            tuple_(credit_entry.c.created_at, credit_entry.c.id) < tuple_(cursor.created_at, cursor.row_id)
        )
    return await runner.fetch(statement)


async def change(transaction: Transaction, team_id: UUID, values: dict[str, Any]) -> None:
    """Update schedule and threshold of an account."""
    await transaction.execute(
        update(credit_account).where(credit_account.c.team_id == team_id).values(updated_at=func.now(), **values)
    )
