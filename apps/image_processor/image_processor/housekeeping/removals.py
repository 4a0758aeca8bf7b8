"""Teams and users that an admin has removed: what belongs to them goes in batches, however much it is.

Each batch is a transaction of its own, so that no statement grows with a team. A team's images go to the trash, are
purged after their retention like all others, and only then the team goes with its people and its ledger.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Update, delete, exists, func, insert, literal, literal_column, select, update

from image_core.analyses import transitions as analysis_transitions
from image_core.audit import events as audit
from image_core.audit.events import AuditEvent
from image_core.db import ForeignKeyViolation, Transaction
from image_core.events import EventType, Topic
from image_core.images import transitions as image_transitions
from image_core.models import NAMES_A_USER, analysis, duplicate_decision, event, image, team, user
from image_processor.housekeeping.runner import Budget
from image_processor.parts import Parts, committing

_BATCH = 100
_LEDGER_BATCH = 1000
_MOST_MARKED = 1000

Batch = Callable[[Transaction], Awaitable[int]]


async def remove_marked(parts: Parts, budget: Budget) -> int:
    """Go on removing teams and users that are marked, for as long as the budget lasts; return how many rows went."""
    total = 0
    for table, remove in ((user, _remove_user), (team, _remove_team)):
        marked = select(table.c.id).where(table.c.deleting_at.is_not(None)).order_by(table.c.deleting_at)
        for row in await parts.database.fetch(marked.limit(_MOST_MARKED)):
            total += await remove(parts, row["id"], budget)
    return total


async def _in_batches(parts: Parts, batch: Batch, budget: Budget, most: int = _BATCH) -> tuple[int, bool]:
    """Repeat a batch, each time in a transaction of its own; return how many rows it dealt with, and if that is all."""
    total = 0
    while not budget.is_spent:
        async with committing(parts) as transaction:
            done = await batch(transaction)
        total += done
        if done < most:
            return total, True
    return total, False


async def _remove_user(parts: Parts, user_id: UUID, budget: Budget) -> int:
    total = 0
    for column in NAMES_A_USER:
        done, finished = await _in_batches(parts, partial(_forget, column=column, user_id=user_id), budget)
        total += done
        if not finished:
            return total
    named = (select(column).where(column == user_id).exists() for column in NAMES_A_USER)
    # A row that somebody held was passed over: the user stays until the next sweep.
    gone = select(func.remove_marked_user(user.c.id)).where(user.c.id == user_id, *(~each for each in named))
    return total + int(await parts.database.fetch_value(gone) or 0)


def _forget_decider(user_id: UUID, most: int) -> Update:
    """Take a user who is being removed out of decisions on duplicates."""
    key, decided_by = duplicate_decision.c.id, duplicate_decision.c.decided_by
    picked = select(key).where(decided_by == user_id).limit(most).with_for_update(skip_locked=True)
    return update(duplicate_decision).where(key.in_(picked.scalar_subquery())).values(decided_by=None)


_FORGET: dict[Column[Any], Callable[[UUID, int], Update]] = {
    image.c.uploaded_by: image_transitions.forget_uploader,
    analysis.c.requested_by: analysis_transitions.forget_requester,
    duplicate_decision.c.decided_by: _forget_decider,
}


async def _forget(transaction: Transaction, column: Column[Any], user_id: UUID) -> int:
    return await transaction.execute(_FORGET[column](user_id, _BATCH))


async def _remove_team(parts: Parts, team_id: UUID, budget: Budget) -> int:
    """Trash the team's images; once they are purged, remove what is left of it."""
    total, finished = await _in_batches(parts, partial(_trash, team_id=team_id), budget)
    holds = exists().where(image.c.team_id == team_id)
    if not finished or await parts.database.fetch_value(select(holds)):
        return total
    for batch, most in ((_forget_ledger, _LEDGER_BATCH), (_forget_analyses, _BATCH), (_remove_people, _BATCH)):
        done, finished = await _in_batches(parts, partial(batch, team_id=team_id), budget, most)
        total += done
        if not finished:
            return total
    try:
        async with committing(parts) as transaction:
            if await transaction.fetch_value(select(func.remove_marked_team(team_id))):
                await audit.write(transaction, AuditEvent("team.removed", "team", team_id, team_id))
                total += 1
    except ForeignKeyViolation:
        # An upload that was under way has still arrived; the next sweep trashes it.
        return total
    return total


async def _trash(transaction: Transaction, team_id: UUID) -> int:
    """Trash images of a team, with the event of each, which the sweep publishes."""
    trashed = image_transitions.trash_of_team(team_id, _BATCH).returning(image.c.id).cte("trashed")
    columns = {
        event.c.id: func.gen_random_uuid(),
        event.c.topic: literal(Topic.EVENTS),
        event.c.type: literal(EventType.TRASHED),
        event.c.team_id: literal(team_id),
        event.c.image_id: trashed.c.id,
        event.c.payload: literal_column("'{}'::jsonb"),
    }
    return await transaction.execute(insert(event).from_select(list(columns), select(*columns.values())))


async def _forget_ledger(transaction: Transaction, team_id: UUID) -> int:
    return int(await transaction.fetch_value(select(func.forget_ledger(team_id, _LEDGER_BATCH))))


async def _forget_analyses(transaction: Transaction, team_id: UUID) -> int:
    picked = select(analysis.c.id).where(analysis.c.team_id == team_id).limit(_BATCH)
    return await transaction.execute(delete(analysis).where(analysis.c.id.in_(picked.scalar_subquery())))


async def _remove_people(transaction: Transaction, team_id: UUID) -> int:
    picked = select(user.c.id).where(user.c.team_id == team_id).limit(_BATCH).subquery()
    return int(await transaction.fetch_value(select(func.sum(func.remove_marked_user(picked.c.id)))) or 0)
