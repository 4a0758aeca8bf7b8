"""The sweep: every few minutes, whatever a crash, a lost message or a deadline has left behind.

Each step stands alone: one that fails is logged and the others go on. Two sweeps at once do no harm, because every
step takes its rows with one UPDATE. Objects are removed outside transactions, after a row says that they shall be.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from image_core import audit, credits, errors, events, keys, storage_quota
from image_core.events import EventType
from image_core.storage import ObjectStorage
from image_core.telemetry import log, log_unexpected
from image_processor import analysis_queries
from image_processor import sweep_queries as queries
from image_processor.analysis_jobs import end_failed
from image_processor.audit_seals import seal_audit_log
from image_processor.jobs import Parts, committing, tell_exhausted

_BATCH = 100
_MOST_ROUNDS = 20
# Publishing happens right after a commit; what is older than this was left behind.
_LEFT_BEHIND = timedelta(seconds=5)


async def sweep(parts: Parts) -> dict[str, int]:
    """Runs every step and returns how many rows or objects each of them dealt with; -1 for a step that failed."""
    counts: dict[str, int] = {}
    for name, step in STEPS.items():
        try:
            counts[name] = await step(parts)
        except errors.AppError as error:
            log("sweep_step_failed", severity="WARNING", step=name, code=error.code)
            counts[name] = -1
        except Exception as error:  # noqa: BLE001 (the other steps must still run; this one is reported)
            log_unexpected(error, step=name)
            counts[name] = -1
    parts.metrics.orphans.set(await queries.count_overdue(parts.database))
    parts.metrics.outbox_age.set(await queries.outbox_age_seconds(parts.database))
    log("sweep_done", counts=counts)
    return counts


async def _in_rounds(batch: Callable[[], Awaitable[int]]) -> int:
    """Repeats a step of at most `_BATCH` rows until little is left; the next sweep goes on."""
    total = 0
    for _ in range(_MOST_ROUNDS):
        done = await batch()
        total += done
        if done < _BATCH:
            break
    return total


async def _end_overdue_uploads(parts: Parts) -> int:
    """Pending beyond the deadline: expired where there is no object; where there is one, its event was lost."""

    async def batch() -> int:
        rows = await queries.take_overdue(parts.database, parts.lease, parts.settings.max_attempts, _BATCH)
        for row in rows:
            found = await parts.originals.stat(row["object_name"])
            async with committing(parts) as transaction:
                if found is None or row["given_up"]:
                    await queries.expire_overdue(transaction, row["id"], row["object_name"], parts.lease)
                    continue
                request = events.process_request(
                    parts.originals.bucket, row["object_name"], found.generation, row["id"], row["team_id"],
                    row["trace_parent"],
                )  # fmt: skip
                await events.record(transaction, request)
        return len(rows)

    return await _in_rounds(batch)


async def _ask_again(parts: Parts) -> int:
    """Stored and unclaimed for longer than a lease, or claimed by somebody whose lease is over: asked for again."""

    async def batch() -> int:
        async with committing(parts) as transaction:
            rows = await queries.requeue(transaction, parts.lease, parts.settings.max_attempts, _BATCH)
            for row in rows:
                request = events.process_request(
                    parts.originals.bucket, row["object_name"], row["generation"], row["id"], row["team_id"],
                    row["trace_parent"],
                )  # fmt: skip
                await events.record(transaction, request)
        return len(rows)

    return await _in_rounds(batch)


async def _fail_exhausted(parts: Parts) -> int:
    """The same, with no attempt left: failed, or ready as before."""

    async def batch() -> int:
        async with committing(parts) as transaction:
            rows = await queries.fail_exhausted(transaction, parts.lease, parts.settings.max_attempts, _BATCH)
            for row in rows:
                await tell_exhausted(transaction, row)
        return len(rows)

    return await _in_rounds(batch)


async def _analyses_asked_again(parts: Parts) -> int:
    """Analyses that nobody took for longer than a lease, or whose lease is over: asked for again."""

    async def batch() -> int:
        async with committing(parts) as transaction:
            rows = await analysis_queries.requeue(transaction, parts.lease, parts.settings.max_attempts, _BATCH)
            for row in rows:
                await events.record(
                    transaction, events.analysis_request(row["id"], row["team_id"], row["trace_parent"])
                )
        return len(rows)

    return await _in_rounds(batch)


async def _analyses_exhausted(parts: Parts) -> int:
    """The same, with no attempt left: failed, and the price given back."""

    async def batch() -> int:
        async with committing(parts) as transaction:
            rows = await analysis_queries.fail_all_exhausted(
                transaction, parts.lease, parts.settings.max_attempts, _BATCH
            )
            # Accounts are locked in one order, so that two sweeps do not wait for each other.
            for row in sorted(rows, key=lambda row: row["team_id"]):
                await end_failed(
                    transaction, row["id"], row["team_id"], row["analyzer"], row["reservation_id"],
                    "analysis-attempts-exhausted",
                )  # fmt: skip
        return len(rows)

    return await _in_rounds(batch)


async def _purge(parts: Parts) -> int:
    """In the trash for longer than the retention: marked, then the objects go, then the row."""
    retention = timedelta(days=parts.settings.trash_retention_days)

    async def batch() -> int:
        await queries.mark_for_purge(parts.database, retention, _BATCH)
        rows = await queries.marked_for_purge(parts.database, _BATCH)
        for row in rows:
            if row["generation"] is not None:
                await parts.originals.delete(row["object_name"])
            await _remove_folder(parts.derivatives, f"derivatives/{row['team_id']}/{row['id']}/")
            async with committing(parts) as transaction:
                if await queries.remove_purged(transaction, row["id"]):
                    await analysis_queries.remove_of_purged(transaction, row["team_id"], row["sha256"])
                    await events.record(transaction, events.image_event(EventType.PURGED, row["id"], row["team_id"]))
                    purged = audit.AuditEvent("image.purged", "image", row["id"], row["team_id"])
                    await audit.write(transaction, purged)
        return len(rows)

    return await _in_rounds(batch)


async def _remove_folder(storage: ObjectStorage, folder: str) -> None:
    """Removes every generation of everything under a name that ends in a slash, so that no neighbour is touched."""
    for found in await storage.list(folder):
        await storage.delete(found.name, found.generation)


async def _remove_discarded(parts: Parts) -> int:
    """Objects that no row names any more."""

    async def batch() -> int:
        rows = await queries.take_discarded(parts.database, _BATCH)
        for row in rows:
            # Only derivatives lie in folders of ours; an original that somebody called "originals/" is one object.
            if row["bucket"] == "originals":
                await parts.originals.delete(row["object_name"], row["generation"])
            elif row["object_name"].endswith("/"):
                await _remove_folder(parts.derivatives, row["object_name"])
            else:
                await parts.derivatives.delete(row["object_name"], row["generation"])
            await queries.forget_discarded(parts.database, row["id"])
        return len(rows)

    return await _in_rounds(batch)


async def _lapse_reservations(parts: Parts) -> int:
    """Credits that were reserved and neither committed nor refunded in time go back."""

    async def batch() -> int:
        reservations = await credits.overdue_reservations(parts.database, _BATCH)
        for reservation_id in reservations:
            async with committing(parts) as transaction:
                await credits.lapse(transaction, reservation_id)
        return len(reservations)

    return await _in_rounds(batch)


async def _refill_accounts(parts: Parts) -> int:
    """Balances whose scheduled refill is due."""

    async def batch() -> int:
        teams = await credits.due_refills(parts.database, _BATCH)
        for team_id in teams:
            async with committing(parts) as transaction:
                await credits.refill_if_due(transaction, team_id, datetime.now(UTC))
        return len(teams)

    return await _in_rounds(batch)


async def _warn_of_expiry(parts: Parts) -> int:
    """Keys about to end: told once a week before, and once a day before."""

    async def batch() -> int:
        async with committing(parts) as transaction:
            rows = await queries.warn_of_expiry(transaction, _BATCH)
            for row in rows:
                told = {
                    "credential_id": str(row["id"]),
                    "user_id": str(row["user_id"]),
                    "name": row["name"],
                    "key_prefix": keys.PREFIX + row["public_id"],
                    "expires_at": row["expires_at"].isoformat(),
                }
                await events.record(transaction, events.credential_event(EventType.KEY_EXPIRING, row["team_id"], told))
        return len(rows)

    return await _in_rounds(batch)


async def _tell_low_storage(parts: Parts) -> int:
    """Teams whose storage has begun, or ceased, to run low."""

    async def batch() -> int:
        teams = await storage_quota.crossed(parts.database, parts.settings.default_quota, _BATCH)
        for team_id in teams:
            async with committing(parts) as transaction:
                await storage_quota.tell_if_low(transaction, team_id, parts.settings.default_quota)
        return len(teams)

    return await _in_rounds(batch)


async def _publish_left_behind(parts: Parts) -> int:
    return await events.publish_backlog(parts.database, parts.publisher, _LEFT_BEHIND)


async def _remove_old_rows(parts: Parts) -> int:
    """Published events and expired uploads beyond their retention, what is left of signing in, and old answers."""
    old_events = await queries.remove_old_events(parts.database, timedelta(days=parts.settings.event_retention_days))
    expired = await queries.remove_expired(parts.database, timedelta(days=parts.settings.trash_retention_days))
    sign_ins = await queries.remove_old_sign_ins(parts.database)
    return old_events + expired + sign_ins + await queries.remove_idempotency_keys(parts.database)


async def _seal_audit_log(parts: Parts) -> int:
    return await seal_audit_log(parts.database)


STEPS: dict[str, Callable[[Parts], Awaitable[int]]] = {
    "overdue_uploads": _end_overdue_uploads,
    "exhausted": _fail_exhausted,
    "asked_again": _ask_again,
    "analyses_exhausted": _analyses_exhausted,
    "analyses_asked_again": _analyses_asked_again,
    "purged": _purge,
    "objects_removed": _remove_discarded,
    "reservations_lapsed": _lapse_reservations,
    "accounts_refilled": _refill_accounts,
    "expiry_warnings": _warn_of_expiry,
    "storage_told": _tell_low_storage,
    "events_published": _publish_left_behind,
    "old_rows": _remove_old_rows,
    "audit_seals": _seal_audit_log,
}
