"""Warnings about keys that expire soon."""

from datetime import timedelta

from sqlalchemy import and_, case, func, or_, select, update

from image_api.tasks.parts import TaskParts, committing
from image_api.tasks.runner import BATCH, Budget, in_batches
from image_core import events
from image_core.db import Record, Transaction
from image_core.events import EventType
from image_core.models import credential, user


async def warn_of_expiry(parts: TaskParts, budget: Budget) -> int:
    """Record an event for keys that expire soon: once a week before, and once a day before."""

    async def batch() -> int:
        async with committing(parts) as transaction:
            rows = await _take_due(transaction, BATCH)
            for row in rows:
                expiry = {"expires_at": events.time_text(row["expires_at"])}
                expiring = events.credential_event(EventType.KEY_EXPIRING, row["team_id"], row, expiry)
                await events.record(transaction, expiring)
        return len(rows)

    return await in_batches(budget, batch)


async def _take_due(transaction: Transaction, limit: int) -> list[Record]:
    """Return keys whose warning is due, and mark them as warned."""
    week, day = (credential.c.expires_at <= func.now() + timedelta(days=days) for days in (7, 1))
    due = (
        select(credential.c.id)
        .join(user, user.c.id == credential.c.user_id)
        .where(
            credential.c.revoked_at.is_(None),
            credential.c.expiry_warnings < 2,
            credential.c.expires_at > func.now(),
            or_(day, and_(week, credential.c.expiry_warnings == 0)),
            user.c.disabled_at.is_(None),
        )
        .limit(limit)
        .with_for_update(of=credential, skip_locked=True)
    )
    return await transaction.fetch(
        update(credential)
        .where(credential.c.id.in_(due.scalar_subquery()), user.c.id == credential.c.user_id)
        .values(expiry_warnings=case((day, 2), else_=1))
        .returning(
            credential.c.id, credential.c.user_id, credential.c.public_id, credential.c.expires_at, user.c.team_id,
        )
    )  # fmt: skip
