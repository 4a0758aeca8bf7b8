"""Removal of teams: everything that belongs to them is removed in batches.

Each batch is a transaction of its own, so that no statement grows with a team. A team's images go to the trash and are
purged after their retention like all others; only then is the team removed, with its users and its ledger.
"""

from functools import partial
from uuid import UUID

from sqlalchemy import delete, exists, func, select

from image_api.tasks.parts import TaskParts, committing
from image_api.tasks.runner import Budget, in_transactions
from image_core.audit import events as audit
from image_core.audit.events import AuditEvent
from image_core.db import ForeignKeyViolation, Transaction
from image_core.events import EventType
from image_core.feed.many_images import record_of_many
from image_core.images import transitions
from image_core.models import analysis, image, team, user

_BATCH = 100
_LEDGER_BATCH = 1000
_MAX_MARKED = 1000


async def remove_marked(parts: TaskParts, budget: Budget) -> int:
    """Continue to remove marked teams while the budget lasts; return how many rows changed."""
    marked = select(team.c.id).where(team.c.deleting_at.is_not(None)).order_by(team.c.deleting_at)
    rows = await parts.database.fetch(marked.limit(_MAX_MARKED))
    return sum([await remove_team(parts, row["id"], budget) for row in rows])


async def remove_team(parts: TaskParts, team_id: UUID, budget: Budget) -> int:
    """Trash the images of a marked team; once they are purged, remove the rest of the team. Return the rows changed."""
    total, finished = await trash_images(parts, team_id, budget)
    holds = exists().where(image.c.team_id == team_id)
    if not finished or await parts.database.fetch_value(select(holds)):
        return total
    for batch, batch_size in ((_remove_ledger, _LEDGER_BATCH), (_remove_analyses, _BATCH), (_remove_people, _BATCH)):
        done, finished = await in_transactions(parts, budget, partial(batch, team_id=team_id), batch_size)
        total += done
        if not finished:
            return total
    try:
        async with committing(parts) as transaction:
            if await transaction.fetch_value(select(func.remove_marked_team(team_id))):
                await audit.write(transaction, AuditEvent("team.removed", "team", team_id, team_id))
                total += 1
    except ForeignKeyViolation:
        # An upload that was in progress has arrived since; the next sweep trashes it.
        return total
    return total


async def trash_images(parts: TaskParts, team_id: UUID, budget: Budget) -> tuple[int, bool]:
    """Trash the images of a team; return how many, and whether none are left."""
    return await in_transactions(parts, budget, partial(_trash, team_id=team_id), _BATCH)


async def _trash(transaction: Transaction, team_id: UUID) -> int:
    """Trash images of a team, with an event for each, which the sweep publishes."""
    trashed = transitions.trash_of_team(team_id, _BATCH)
    return await transaction.execute(record_of_many(EventType.TRASHED, trashed))


async def _remove_ledger(transaction: Transaction, team_id: UUID) -> int:
    return int(await transaction.fetch_value(select(func.forget_ledger(team_id, _LEDGER_BATCH))))


async def _remove_analyses(transaction: Transaction, team_id: UUID) -> int:
    picked = select(analysis.c.id).where(analysis.c.team_id == team_id).limit(_BATCH)
    return await transaction.execute(delete(analysis).where(analysis.c.id.in_(picked.scalar_subquery())))


async def _remove_people(transaction: Transaction, team_id: UUID) -> int:
    picked = select(user.c.id).where(user.c.team_id == team_id).limit(_BATCH).subquery()
    return int(await transaction.fetch_value(select(func.sum(func.remove_marked_user(picked.c.id)))) or 0)
