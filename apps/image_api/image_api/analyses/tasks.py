"""Housekeeping of analyses that wait too long."""

from image_api.tasks.parts import TaskParts, committing
from image_api.tasks.runner import BATCH, Budget, in_batches
from image_core import events
from image_core.analyses import failures, transitions
from image_core.models import analysis


async def request_again(parts: TaskParts, budget: Budget) -> int:
    """Request analyses again that have not been claimed for longer than a lease, or whose lease has expired."""
    settings = parts.settings
    requeued = transitions.requeue(settings.lease, settings.max_attempts, BATCH).returning(
        analysis.c.id, analysis.c.team_id, analysis.c.trace_parent
    )

    async def batch() -> int:
        async with committing(parts) as transaction:
            rows = await transaction.fetch(requeued)
            for row in rows:
                request = events.analysis_request(row["id"], row["team_id"], row["trace_parent"])
                await events.record(transaction, request)
        return len(rows)

    return await in_batches(budget, batch)


async def fail_exhausted(parts: TaskParts, budget: Budget) -> int:
    """Fail analyses that wait too long and have no attempts left, and refund their price."""
    settings = parts.settings
    ended = transitions.give_up_waiting(settings.lease, settings.max_attempts, BATCH).returning(*failures.COLUMNS)

    async def batch() -> int:
        async with committing(parts) as transaction:
            rows = await transaction.fetch(ended)
            # Accounts are locked in a fixed order, so that concurrent sweeps do not deadlock.
            for row in sorted(rows, key=lambda row: row["team_id"]):
                await failures.refund_and_record(
                    transaction, row["id"], row["team_id"], row["analyzer"], row["reservation_id"],
                    transitions.EXHAUSTED.code,
                )  # fmt: skip
        return len(rows)

    return await in_batches(budget, batch)
