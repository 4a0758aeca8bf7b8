"""Housekeeping of images that wait too long, of the trash, and of objects that no row names any more."""

from functools import partial
from uuid import UUID

import orjson
from sqlalchemy import bindparam, delete, exists, func, literal_column, or_, select, tuple_, update

from image_api.tasks.parts import TaskParts, committing
from image_api.tasks.runner import BATCH, GROUP, Budget, in_batches, in_transactions, row_by_row
from image_core import events
from image_core.audit import events as audit
from image_core.capture.taken import capture_of
from image_core.db import Database, Query, Record, Transaction
from image_core.events import EventType
from image_core.images import failures, transitions
from image_core.images.discards import retry_at
from image_core.images.object_names import Bucket, derivatives_folder
from image_core.images.removal import purged_hashes
from image_core.models import HOLDS_BYTES_CLAUSE, analysis, discarded_object, image
from image_core.storage.protocol import ObjectStorage

# --- Processing that did not come through -----------------------------------------------------------------------------


async def request_again(parts: TaskParts, budget: Budget) -> int:
    """Request the processing of images that were not claimed for longer than a lease, or whose lease has expired."""
    requeued = transitions.requeue(parts.settings.lease, parts.settings.max_attempts, BATCH).returning(
        image.c.id, image.c.team_id, image.c.object_name, image.c.generation, image.c.trace_parent
    )

    async def batch() -> int:
        async with committing(parts) as transaction:
            rows = await transaction.fetch(requeued)
            for row in rows:
                await events.record(transaction, events.process_request(row, parts.originals.bucket))
        return len(rows)

    return await in_batches(budget, batch)


async def fail_exhausted(parts: TaskParts, budget: Budget) -> int:
    """Fail images that wait too long and have no attempts left; an image that was ready before stays ready."""
    settings = parts.settings
    given_up = transitions.give_up_waiting(settings.lease, settings.max_attempts, BATCH)

    async def batch() -> int:
        async with committing(parts) as transaction:
            rows = await transaction.fetch(given_up.returning(*failures.COLUMNS))
            for row in rows:
                await failures.record_exhausted(transaction, row)
        return len(rows)

    return await in_batches(budget, batch)


# --- Columns of an earlier release ------------------------------------------------------------------------------------

_undated = Query(
    select(image.c.id, image.c.facts)
    .where(
        image.c.id > bindparam("after_id"), image.c.taken_at_source.is_(None),
        # A literal, because a partial index has these rows in the order of their ids.
        image.c.status == literal_column("'ready'"),
    )
    .order_by(image.c.id)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)  # fmt: skip
_fill_capture = Query(transitions.fill_capture())


async def fill_capture(parts: TaskParts, budget: Budget) -> int:
    """Fill in when and where photographs were taken, for images that an earlier release processed."""
    after_id = UUID(int=0)

    async def batch(transaction: Transaction) -> int:
        # Within a run the rows that are done are not walked again.
        nonlocal after_id
        rows = await transaction.fetch(_undated, after_id=after_id, limit=BATCH)
        if rows:
            after_id = rows[-1]["id"]
            captures = zip(*(capture_of(orjson.loads(row["facts"])) for row in rows), strict=True)
            columns = {name: list(values) for name, values in zip(transitions.CAPTURE_COLUMNS, captures, strict=True)}
            await transaction.execute(_fill_capture, image_ids=[row["id"] for row in rows], **columns)
        return len(rows)

    filled, _ = await in_transactions(parts, budget, batch, BATCH)
    return filled


_without_terms = Query(
    select(image.c.team_id, image.c.id)
    .where(
        image.c.search_terms.is_(None),
        # Others get theirs when their processing ends.
        image.c.status.in_([literal_column("'ready'"), literal_column("'failed'")]),
        tuple_(image.c.team_id, image.c.id) > tuple_(bindparam("after_team_id"), bindparam("after_id")),
    )
    .order_by(image.c.team_id, image.c.id)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)  # fmt: skip
_fill_search_terms = Query(transitions.fill_search_terms())


async def fill_search_terms(parts: TaskParts, budget: Budget) -> int:
    """Fill in the search terms of images that an earlier release processed."""
    after = {"after_team_id": UUID(int=0), "after_id": UUID(int=0)}

    async def batch(transaction: Transaction) -> int:
        # Within a run the rows that are done are not walked again.
        nonlocal after
        rows = await transaction.fetch(_without_terms, **after, limit=BATCH)
        if rows:
            after = {"after_team_id": rows[-1]["team_id"], "after_id": rows[-1]["id"]}
            await transaction.execute(_fill_search_terms, image_ids=[row["id"] for row in rows])
        return len(rows)

    filled, _ = await in_transactions(parts, budget, batch, BATCH)
    return filled


# --- The trash --------------------------------------------------------------------------------------------------------


async def purge(parts: TaskParts, budget: Budget) -> int:
    """Purge images that have been in the trash past the retention: mark them, remove their objects, then their rows."""

    async def take() -> list[Record]:
        await parts.database.execute(transitions.mark_for_purge(parts.settings.trash_retention, BATCH))
        return await _take_marked(parts.database, BATCH)

    return await row_by_row(budget, take, partial(purge_image, parts), at_once=GROUP)


async def _take_marked(database: Database, limit: int) -> list[Record]:
    """Return marked images, and schedule the next attempt for each in case this one does not complete."""
    async with database.transaction() as transaction:
        return await transaction.fetch(
            transitions.defer_purge(limit).returning(
                image.c.id, image.c.team_id, image.c.object_name, image.c.generation, image.c.sha256
            )
        )


async def purge_image(parts: TaskParts, row: Record) -> None:
    """Remove the objects of an image that is marked for purge, then its row; a second one changes nothing.

    `row` is its `id`, `team_id`, `object_name`, `generation` and `sha256`.
    """
    # Before anything is removed: nothing is purged that cannot be remembered.
    master = None if parts.purged_hash_master is None else await parts.purged_hash_master.get()
    if row["generation"] is not None:
        await parts.originals.delete(row["object_name"])
    await _remove_folder(parts.derivatives, derivatives_folder(row["team_id"], row["id"]))
    async with committing(parts) as transaction:
        revision = await _remove_purged(transaction, row["id"])
        if revision is not None:
            await _remove_analyses(transaction, row["team_id"], row["sha256"])
            if master is not None and row["sha256"] is not None:
                await purged_hashes.remember(transaction, master, row["team_id"], row["sha256"])
            purged = events.image_event(EventType.PURGED, row["id"], row["team_id"], revision + 1)
            await events.record(transaction, purged)
            await audit.write(transaction, audit.AuditEvent("image.purged", "image", row["id"], row["team_id"]))


async def _remove_purged(transaction: Transaction, image_id: UUID) -> int | None:
    """Delete the row of an image whose objects are gone, and return its last revision; None if it is not there.

    The rows of its derivatives are deleted with it.
    """
    marked = delete(image).where(image.c.id == image_id, image.c.purge_marked_at.is_not(None))
    revision: int | None = await transaction.fetch_value(marked.returning(image.c.revision))
    return revision


async def _remove_analyses(transaction: Transaction, team_id: UUID, sha256: bytes) -> None:
    """Remove the analyses of bytes that no image of the team holds any more."""
    held = exists().where(image.c.team_id == team_id, image.c.sha256 == sha256)
    await transaction.execute(delete(analysis).where(analysis.c.team_id == team_id, analysis.c.sha256 == sha256, ~held))


# --- Objects ----------------------------------------------------------------------------------------------------------


async def remove_discarded(parts: TaskParts, budget: Budget) -> int:
    """Remove objects that no row names any more."""

    async def remove(row: Record) -> None:
        # Only derivatives have folders; an original named "originals/" is a single object.
        if row["bucket"] == Bucket.ORIGINALS:
            await parts.originals.delete(row["object_name"], row["generation"])
        elif row["object_name"].endswith("/"):
            await _remove_folder(parts.derivatives, row["object_name"])
        else:
            await parts.derivatives.delete(row["object_name"], row["generation"])
        await parts.database.execute(delete(discarded_object).where(discarded_object.c.id == row["id"]))

    return await row_by_row(budget, partial(_take_discarded, parts.database, BATCH), remove, at_once=GROUP)


async def _remove_folder(storage: ObjectStorage, folder: str) -> None:
    """Remove all generations of all objects under a name that ends in a slash, which excludes its neighbours."""
    for found in await storage.list(folder):
        await storage.delete(found.name, found.generation)


async def _take_discarded(database: Database, limit: int) -> list[Record]:
    """Return objects whose removal is due, and count an attempt: after that, no claim can keep them.

    An original that a live row names is never returned.
    """
    named = exists().where(
        image.c.object_name == discarded_object.c.object_name,
        HOLDS_BYTES_CLAUSE,
        or_(discarded_object.c.generation.is_(None), image.c.generation == discarded_object.c.generation),
    )
    due = (
        select(discarded_object.c.id)
        .where(discarded_object.c.remove_after < func.now(), ~named)
        .order_by(discarded_object.c.remove_after)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    async with database.transaction() as transaction:
        return await transaction.fetch(
            update(discarded_object)
            .where(discarded_object.c.id.in_(due.scalar_subquery()))
            .values(attempts=discarded_object.c.attempts + 1, remove_after=retry_at(discarded_object.c.attempts))
            .returning(
                discarded_object.c.id, discarded_object.c.bucket, discarded_object.c.object_name,
                discarded_object.c.generation,
            )
        )  # fmt: skip
