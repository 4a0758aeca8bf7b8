"""Housekeeping of uploads that did not arrive in time."""

from datetime import timedelta
from functools import partial
from uuid import UUID

from image_api.tasks.parts import TaskParts, committing
from image_api.tasks.runner import BATCH, GROUP, Budget, remove_old, row_by_row
from image_core import events
from image_core.db import Database, Record, Transaction
from image_core.images import transitions
from image_core.images.discards import schedule_removal
from image_core.images.object_names import Bucket
from image_core.models import image
from image_core.states import ImageStatus


async def end_overdue(parts: TaskParts, budget: Budget) -> int:
    """Expire overdue uploads without an object; if there is one, its event was lost, so publish it again."""
    settings = parts.settings

    async def end(row: Record) -> None:
        found = await parts.originals.stat(row["object_name"])
        async with committing(parts) as transaction:
            if found is None or row["given_up"]:
                await _expire(transaction, row["id"], row["object_name"], settings.lease)
            else:
                stored = {**row, "generation": found.generation}
                await events.record(transaction, events.process_request(stored, parts.originals.bucket))

    take = partial(_take_overdue, parts.database, settings.lease, settings.max_attempts, BATCH)
    return await row_by_row(budget, take, end, at_once=GROUP)


async def _take_overdue(database: Database, lease: timedelta, max_attempts: int, limit: int) -> list[Record]:
    """Return pending rows past their deadline, each deferred by a lease while its object is looked up."""
    async with database.transaction() as transaction:
        return await transaction.fetch(
            transitions.defer_overdue(lease, limit).returning(
                image.c.id, image.c.team_id, image.c.object_name, image.c.trace_parent,
                transitions.is_abandoned(max_attempts).label("given_up"),
            )
        )  # fmt: skip


async def _expire(transaction: Transaction, image_id: UUID, object_name: str, after: timedelta) -> None:
    """Expire an upload, and schedule the removal of an object that may still arrive."""
    if await transaction.execute(transitions.expire(image_id, transitions.UPLOAD_EXPIRED)):
        await schedule_removal(transaction, Bucket.ORIGINALS, object_name, None, after)


async def remove_expired(parts: TaskParts, budget: Budget) -> int:
    """Remove the rows of expired uploads past the retention of the trash."""
    return await remove_old(
        parts, budget, image.c.updated_at, parts.settings.trash_retention, image.c.status == ImageStatus.EXPIRED
    )
