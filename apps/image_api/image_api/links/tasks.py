"""Housekeeping of share links."""

from datetime import timedelta

from sqlalchemy import func, select, update

from image_api.tasks.parts import TaskParts, committing
from image_api.tasks.runner import BATCH, Budget, in_batches, remove_old
from image_core import events
from image_core.db import Record, Transaction
from image_core.events import EventType
from image_core.models import share_link, share_link_visit
from image_core.states import LinkEnd

_VISITS_KEPT_FOR = timedelta(days=1)


async def end_expired(parts: TaskParts, budget: Budget) -> int:
    """Record an event for links whose time is over, once for each."""

    async def batch() -> int:
        async with committing(parts) as transaction:
            rows = await _take_expired(transaction)
            for row in rows:
                payload = {"reason": LinkEnd.EXPIRED}
                ended = events.link_event(EventType.LINK_ENDED, row["team_id"], row["id"], payload)
                await events.record(transaction, ended)
        return len(rows)

    return await in_batches(budget, batch)


async def _take_expired(transaction: Transaction) -> list[Record]:
    """Return links whose time is over and mark them, oldest first."""
    link = share_link.c
    due = (
        select(link.id)
        .where(link.expires_at <= func.now(), link.ended_at.is_(None))
        .order_by(link.expires_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    return await transaction.fetch(
        update(share_link)
        .where(link.id.in_(due.scalar_subquery()))
        .values(ended_at=func.now())
        .returning(link.id, link.team_id)
    )


async def forget_visits(parts: TaskParts, budget: Budget) -> int:
    """Delete who visited links more than a day ago; their views stay counted."""
    return await remove_old(parts, budget, share_link_visit.c.hour, _VISITS_KEPT_FOR)
