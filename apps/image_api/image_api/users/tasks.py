"""Removal of users: references to them are cleared, then the row is deleted."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Update, func, select, update

from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import Budget, in_transactions
from image_core.analyses import transitions as analysis_transitions
from image_core.db import Transaction
from image_core.images import transitions as image_transitions
from image_core.models import USER_REFERENCES, analysis, duplicate_decision, image, user

_BATCH = 100
_MAX_MARKED = 1000


async def remove_marked(parts: TaskParts, budget: Budget) -> int:
    """Continue to remove marked users while the budget lasts; return how many rows changed."""
    marked = select(user.c.id).where(user.c.deleting_at.is_not(None)).order_by(user.c.deleting_at)
    rows = await parts.database.fetch(marked.limit(_MAX_MARKED))
    return sum([await remove_user(parts, row["id"], budget) for row in rows])


async def remove_user(parts: TaskParts, user_id: UUID, budget: Budget) -> int:
    """Clear references to a marked user, and remove it once there are none; return how many rows changed."""
    total = 0
    for column in USER_REFERENCES:
        batch = partial(_clear_reference, column=column, user_id=user_id)
        done, finished = await in_transactions(parts, budget, batch, _BATCH)
        total += done
        if not finished:
            return total
    references = (select(column).where(column == user_id).exists() for column in USER_REFERENCES)
    # A row that was locked was skipped: the user stays until the next sweep.
    removal = select(func.remove_marked_user(user.c.id)).where(
        user.c.id == user_id, *(~reference for reference in references)
    )
    return total + int(await parts.database.fetch_value(removal) or 0)


def _clear_decider(user_id: UUID, limit: int) -> Update:
    """Clear the user of decisions on duplicates who is being removed."""
    key, decided_by = duplicate_decision.c.id, duplicate_decision.c.decided_by
    locked = select(key).where(decided_by == user_id).limit(limit).with_for_update(skip_locked=True)
    return update(duplicate_decision).where(key.in_(locked.scalar_subquery())).values(decided_by=None)


_FORGET: dict[Column[Any], Callable[[UUID, int], Update]] = {
    image.c.uploaded_by: image_transitions.clear_uploader,
    analysis.c.requested_by: analysis_transitions.clear_requester,
    duplicate_decision.c.decided_by: _clear_decider,
}


async def _clear_reference(transaction: Transaction, column: Column[Any], user_id: UUID) -> int:
    return await transaction.execute(_FORGET[column](user_id, _BATCH))
