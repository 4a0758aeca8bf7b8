"""The SQL of delivery keys. Everything is limited to a team."""

from uuid import UUID

from sqlalchemy import Update, func, select
from sqlalchemy.dialects.postgresql import insert

from image_api.http.pagination import Cursor, newest_first
from image_core.db import Record, Runner, Transaction
from image_core.models import delivery_key
from image_core.states import DeliveryKeyState

COLUMNS = tuple(
    delivery_key.c[name]
    for name in ("id", "team_id", "number", "name", "state", "verifying_at", "retired_at", "created_at")
)


async def page(runner: Runner, team_id: UUID, cursor: Cursor | None, limit: int) -> list[Record]:
    """Return the keys of a team, newest first."""
    statement = select(*COLUMNS).where(delivery_key.c.team_id == team_id)
    return await runner.fetch(newest_first(statement, delivery_key.c.created_at, delivery_key.c.id, cursor, limit))


async def find(runner: Runner, team_id: UUID | None, key_id: UUID) -> Record | None:
    """Return one key; a null team means any, for an admin."""
    statement = select(*COLUMNS).where(delivery_key.c.id == key_id)
    if team_id is not None:
        statement = statement.where(delivery_key.c.team_id == team_id)
    return await runner.fetch_one(statement)


async def count_live(transaction: Transaction, team_id: UUID) -> int:
    """Return how many keys of a team are not retired."""
    live = (delivery_key.c.team_id == team_id) & (delivery_key.c.state != DeliveryKeyState.RETIRED)
    count: int = await transaction.fetch_value(select(func.count()).select_from(delivery_key).where(live))
    return count


async def add(transaction: Transaction, key_id: UUID, team_id: UUID, name: str | None) -> Record | None:
    """Insert a key with a random number and return it; None if another key has that number."""
    statement = insert(delivery_key).values(id=key_id, team_id=team_id, name=name)
    return await transaction.fetch_one(statement.on_conflict_do_nothing(index_elements=["number"]).returning(*COLUMNS))


async def change(transaction: Transaction, transition: Update) -> Record | None:
    """Change the state of a key and return it; None if its state does not allow that."""
    return await transaction.fetch_one(transition.returning(*COLUMNS))
