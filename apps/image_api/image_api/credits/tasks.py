"""Housekeeping of reservations that were never settled, and of scheduled refills."""

from datetime import UTC, datetime
from uuid import UUID

from image_api.tasks.parts import TaskParts, committing
from image_api.tasks.runner import BATCH, Budget, row_by_row
from image_core.billing import credits


async def lapse_reservations(parts: TaskParts, budget: Budget) -> int:
    """Return credits that were reserved and neither committed nor refunded in time."""

    async def lapse(reservation_id: UUID) -> None:
        async with committing(parts) as transaction:
            await credits.lapse(transaction, reservation_id)

    return await row_by_row(budget, lambda: credits.overdue_reservations(parts.database, BATCH), lapse)


async def refill_accounts(parts: TaskParts, budget: Budget) -> int:
    """Refill balances whose scheduled refill is due."""

    async def refill(team_id: UUID) -> None:
        async with committing(parts) as transaction:
            await credits.refill_if_due(transaction, team_id, datetime.now(UTC))

    return await row_by_row(budget, lambda: credits.due_refills(parts.database, BATCH), refill)
