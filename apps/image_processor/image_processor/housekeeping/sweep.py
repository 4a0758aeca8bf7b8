"""The sweep: every few minutes, whatever a crash, a lost message or a deadline has left behind.

Each step is one function in `STEPS` and stands alone: one that fails is logged and the others go on. Two sweeps at once
do no harm, because every step takes its rows with one UPDATE. Objects are removed outside transactions, after a row
says that they shall be.
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from image_core import events
from image_core.analyses.transitions import EXHAUSTED
from image_core.audit import events as audit
from image_core.billing import credits, storage_quota
from image_core.db import Record
from image_core.events import EventType
from image_core.images import transitions
from image_core.images.object_names import Bucket, derivatives_folder
from image_core.keys import api_keys
from image_core.storage.protocol import ObjectStorage
from image_core.telemetry import log
from image_processor.analyses.job import end_failed
from image_processor.housekeeping import sweep_queries as queries
from image_processor.housekeeping.audit_seals import seal_audit_log
from image_processor.housekeeping.removals import remove_marked
from image_processor.housekeeping.runner import BATCH, GROUP, Budget, Step, in_batches, row_by_row, run_steps
from image_processor.images.job import tell_exhausted
from image_processor.parts import Parts, committing

# Publishing happens right after a commit; what is older than this was left behind.
_LEFT_BEHIND = timedelta(seconds=5)
OLD_ROWS_BATCH = 5000
"""Each batch reads its table once."""


async def sweep(parts: Parts) -> dict[str, int]:
    """Runs every step and returns how many rows or objects each of them dealt with; -1 for a step that failed."""
    counts = await run_steps(parts, STEPS)
    parts.metrics.orphans.set(await queries.count_overdue(parts.database))
    parts.metrics.outbox_age.set(await queries.outbox_age_seconds(parts.database))
    log("sweep_done", counts=counts)
    return counts


# --- What touches only the database, and is over soon ---------------------------------------------------------------


async def _publish_left_behind(parts: Parts, budget: Budget) -> int:
    """Events that could not be published after their commit."""
    return await events.publish_backlog(
        parts.database, parts.publisher, _LEFT_BEHIND, goes_on=lambda: not budget.is_spent
    )


async def _ask_again(parts: Parts, budget: Budget) -> int:
    """Stored and unclaimed for longer than a lease, or claimed by somebody whose lease is over: asked for again."""

    async def batch() -> int:
        async with committing(parts) as transaction:
            rows = await queries.requeue(transaction, parts.lease, parts.settings.max_attempts, BATCH)
            for row in rows:
                await events.record(transaction, _process_request(parts, row, row["generation"]))
        return len(rows)

    return await in_batches(budget, batch)


async def _fail_exhausted(parts: Parts, budget: Budget) -> int:
    """The same, with no attempt left: failed, or ready as before."""

    async def batch() -> int:
        async with committing(parts) as transaction:
            rows = await queries.give_up_waiting(transaction, parts.lease, parts.settings.max_attempts, BATCH)
            for row in rows:
                await tell_exhausted(transaction, row)
        return len(rows)

    return await in_batches(budget, batch)


async def _analyses_asked_again(parts: Parts, budget: Budget) -> int:
    """Analyses that nobody took for longer than a lease, or whose lease is over: asked for again."""

    async def batch() -> int:
        async with committing(parts) as transaction:
            rows = await queries.requeue_analyses(transaction, parts.lease, parts.settings.max_attempts, BATCH)
            for row in rows:
                await events.record(
                    transaction, events.analysis_request(row["id"], row["team_id"], row["trace_parent"])
                )
        return len(rows)

    return await in_batches(budget, batch)


async def _analyses_exhausted(parts: Parts, budget: Budget) -> int:
    """The same, with no attempt left: failed, and the price given back."""

    async def batch() -> int:
        async with committing(parts) as transaction:
            rows = await queries.give_up_waiting_analyses(transaction, parts.lease, parts.settings.max_attempts, BATCH)
            # Accounts are locked in one order, so that two sweeps do not wait for each other.
            for row in sorted(rows, key=lambda row: row["team_id"]):
                await end_failed(
                    transaction, row["id"], row["team_id"], row["analyzer"], row["reservation_id"],
                    EXHAUSTED.code,
                )  # fmt: skip
        return len(rows)

    return await in_batches(budget, batch)


async def _lapse_reservations(parts: Parts, budget: Budget) -> int:
    """Credits that were reserved and neither committed nor refunded in time go back."""

    async def lapse(reservation_id: UUID) -> None:
        async with committing(parts) as transaction:
            await credits.lapse(transaction, reservation_id)

    return await row_by_row(budget, lambda: credits.overdue_reservations(parts.database, BATCH), lapse)


async def _refill_accounts(parts: Parts, budget: Budget) -> int:
    """Balances whose scheduled refill is due."""

    async def refill(team_id: UUID) -> None:
        async with committing(parts) as transaction:
            await credits.refill_if_due(transaction, team_id, datetime.now(UTC))

    return await row_by_row(budget, lambda: credits.due_refills(parts.database, BATCH), refill)


async def _warn_of_expiry(parts: Parts, budget: Budget) -> int:
    """Keys about to end: told once a week before, and once a day before."""

    async def batch() -> int:
        async with committing(parts) as transaction:
            rows = await queries.warn_of_expiry(transaction, BATCH)
            for row in rows:
                told = {
                    "credential_id": str(row["id"]),
                    "user_id": str(row["user_id"]),
                    "name": row["name"],
                    "key_prefix": api_keys.PREFIX + row["public_id"],
                    "expires_at": row["expires_at"].isoformat(),
                }
                await events.record(transaction, events.credential_event(EventType.KEY_EXPIRING, row["team_id"], told))
        return len(rows)

    return await in_batches(budget, batch)


async def _tell_low_storage(parts: Parts, budget: Budget) -> int:
    """Teams whose storage has begun, or ceased, to run low."""
    quota = parts.settings.default_quota

    async def tell(team_id: UUID) -> None:
        async with committing(parts) as transaction:
            await storage_quota.tell_if_low(transaction, team_id, quota)

    return await row_by_row(budget, lambda: storage_quota.crossed(parts.database, quota, BATCH), tell)


async def _seal_audit_log(parts: Parts, _budget: Budget) -> int:
    return await seal_audit_log(parts.database)


async def _remove_old_rows(parts: Parts, budget: Budget) -> int:
    """Published events and expired uploads beyond their retention, what is left of signing in, and old answers."""
    event_retention = timedelta(days=parts.settings.event_retention_days)
    trash_retention = timedelta(days=parts.settings.trash_retention_days)
    total = 0
    for moment, condition in queries.old_rows(event_retention, trash_retention):
        remove = partial(queries.remove_oldest, parts.database, moment, condition, OLD_ROWS_BATCH)
        total += await in_batches(budget, remove, OLD_ROWS_BATCH)
    return total


# --- What asks or changes storage -----------------------------------------------------------------------------------


async def _end_overdue_uploads(parts: Parts, budget: Budget) -> int:
    """Pending beyond the deadline: expired where there is no object; where there is one, its event was lost."""

    async def end(row: Record) -> None:
        found = await parts.originals.stat(row["object_name"])
        async with committing(parts) as transaction:
            if found is None or row["given_up"]:
                await queries.expire_overdue(transaction, row["id"], row["object_name"], parts.lease)
            else:
                await events.record(transaction, _process_request(parts, row, found.generation))

    most_attempts = parts.settings.max_attempts
    take = partial(queries.take_overdue, parts.database, parts.lease, most_attempts, BATCH)
    return await row_by_row(budget, take, end, at_once=GROUP)


def _process_request(parts: Parts, row: Record, generation: int) -> events.OutboxEvent:
    return events.process_request(
        parts.originals.bucket, row["object_name"], generation, row["id"], row["team_id"], row["trace_parent"]
    )


async def _purge(parts: Parts, budget: Budget) -> int:
    """In the trash for longer than the retention: marked, then the objects go, then the row."""
    retention = timedelta(days=parts.settings.trash_retention_days)

    async def take() -> list[Record]:
        await parts.database.execute(transitions.mark_for_purge(retention, BATCH))
        return await queries.take_marked(parts.database, BATCH)

    async def purge(row: Record) -> None:
        if row["generation"] is not None:
            await parts.originals.delete(row["object_name"])
        await _remove_folder(parts.derivatives, derivatives_folder(row["team_id"], row["id"]))
        async with committing(parts) as transaction:
            if await queries.remove_purged(transaction, row["id"]):
                await queries.remove_analyses_of_purged(transaction, row["team_id"], row["sha256"])
                await events.record(transaction, events.image_event(EventType.PURGED, row["id"], row["team_id"]))
                purged = audit.AuditEvent("image.purged", "image", row["id"], row["team_id"])
                await audit.write(transaction, purged)

    return await row_by_row(budget, take, purge, at_once=GROUP)


async def _remove_folder(storage: ObjectStorage, folder: str) -> None:
    """Removes every generation of everything under a name that ends in a slash, so that no neighbour is touched."""
    for found in await storage.list(folder):
        await storage.delete(found.name, found.generation)


async def _remove_discarded(parts: Parts, budget: Budget) -> int:
    """Objects that no row names any more."""

    async def remove(row: Record) -> None:
        # Only derivatives lie in folders of ours; an original that somebody called "originals/" is one object.
        if row["bucket"] == Bucket.ORIGINALS:
            await parts.originals.delete(row["object_name"], row["generation"])
        elif row["object_name"].endswith("/"):
            await _remove_folder(parts.derivatives, row["object_name"])
        else:
            await parts.derivatives.delete(row["object_name"], row["generation"])
        await queries.forget_discarded(parts.database, row["id"])

    return await row_by_row(budget, partial(queries.take_discarded, parts.database, BATCH), remove, at_once=GROUP)


# In this order: what others wait for first, and what may take long last.
STEPS: dict[str, Step] = {
    "events_published": _publish_left_behind,
    "asked_again": _ask_again,
    "exhausted": _fail_exhausted,
    "analyses_asked_again": _analyses_asked_again,
    "analyses_exhausted": _analyses_exhausted,
    "reservations_lapsed": _lapse_reservations,
    "accounts_refilled": _refill_accounts,
    "expiry_warnings": _warn_of_expiry,
    "storage_told": _tell_low_storage,
    "audit_seals": _seal_audit_log,
    "old_rows": _remove_old_rows,
    "removed": remove_marked,
    "overdue_uploads": _end_overdue_uploads,
    "purged": _purge,
    "objects_removed": _remove_discarded,
}
