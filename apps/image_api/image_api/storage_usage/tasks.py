"""Notification of teams that approach their quota."""

from uuid import UUID

from image_api.tasks.parts import TaskParts, committing
from image_api.tasks.runner import BATCH, Budget, row_by_row
from image_core.billing import storage_quota


async def report_low_storage(parts: TaskParts, budget: Budget) -> int:
    """Record the event of teams whose storage has started, or stopped, to run low."""
    quota = parts.settings.default_quota

    async def report(team_id: UUID) -> None:
        async with committing(parts) as transaction:
            await storage_quota.record_if_low(transaction, team_id, quota)

    return await row_by_row(
        budget, lambda: storage_quota.find_low_storage_changes(parts.database, quota, BATCH), report
    )
