"""The kind of operation that compares the rows of images with the originals in storage.

Everything is looked at twice: the listing finds what differs, and each item looks again at its own row and object, so
that what has changed meanwhile is no finding.
"""

import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from image_api.operations.items import DONE, Item, NewItem, Operation, Outcome, in_progress
from image_api.operations.kinds import Filled, Kind
from image_api.reconcile import queries
from image_api.tasks.parts import TaskParts, committing
from image_api.tasks.runner import BATCH, Budget, row_by_row
from image_core import events
from image_core.db import Query, Record, Transaction
from image_core.images import failures, transitions
from image_core.images.discards import schedule_removal
from image_core.images.object_names import Bucket, original_name, parse_original_name
from image_core.images.removal.lost_originals import CHANGED, MISSING
from image_core.models import image
from image_core.states import Failure, ImageStatus, ItemState
from image_core.storage.protocol import ListedObject, ObjectChanged, ObjectMissing, StoredObject
from image_core.telemetry import log

MOVED = Failure("original-moved", "The object has the same bytes, but was stored again.")
ORPHAN = Failure("object-without-image", "No image has this object.")
FOREIGN = Failure("foreign", "The name was not given by image-manager, so it stays.")
_NO_CHECKSUM = "checksum-missing"
_CHUNK = 500
_CHECKSUMS = 100
_AT_ONCE = 4
_NOWHERE = UUID(int=0)
_fill_crc32c = Query(transitions.fill_crc32c())


class Reconcile(Kind):
    """Compares originals; what it finds stands among the failures, or is repaired."""

    seconds_per_item = 0.1
    items_at_once = 8

    async def fill(self, parts: TaskParts, operation: Operation) -> Filled:
        """Compare the next names of the listing with the next rows, and return what differs as items."""
        position = operation.fill_position or {"name": "", "row": [str(_NOWHERE), str(_NOWHERE)]}
        after_team_id, after_id = (UUID(each) for each in position["row"])
        min_age = _min_age(operation)
        listed = await parts.originals.live_objects("", position["name"], _CHUNK)
        rows = await queries.rows_after(parts.database, after_team_id, after_id, min_age, _CHUNK)
        ends = [listed[-1].stored.name] if len(listed) == _CHUNK else []
        ends += [_name(rows[-1])] if len(rows) == _CHUNK else []
        end = min(ends) if ends else None
        listed = [each for each in listed if end is None or each.stored.name <= end]
        rows = [row for row in rows if end is None or _name(row) <= end]
        findings = _compare(listed, rows, datetime.now(UTC) - min_age)
        if operation.parameters["repair"]:
            findings += _without_checksums(listed, rows)
        if end is None:
            return Filled(findings, None)
        last = rows[-1] if rows else {"team_id": after_team_id, "id": after_id}
        return Filled(findings, {"name": end, "row": [str(last["team_id"]), str(last["id"])]})

    async def prepare(self, parts: TaskParts, operation: Operation, item: Item) -> Any:
        """Look a second time; return what still differs, with the row that it is about."""
        payload = item.payload
        if payload["code"] == _NO_CHECKSUM:
            return None
        if payload["code"] == FOREIGN.code:
            return FOREIGN, None
        ids = parse_original_name(payload["name"])
        found = await parts.originals.stat(payload["name"])
        row = None if ids is None else await queries.find(parts.database, ids.image_id, _min_age(operation))
        if payload["code"] == ORPHAN.code:
            is_left = found is not None and found.generation == payload["generation"] and not _is_held(row)
            is_left = is_left and not await queries.is_promised_for_removal(parts.database, payload["name"])
            return (ORPHAN, None) if is_left else None
        if row is None or not row["compared"]:
            return None
        failure = _difference(row, found)
        return None if failure is None else (failure, row)

    async def run_item(self, parts: TaskParts, transaction: Transaction, operation: Operation, item: Item) -> Outcome:
        """Report what differs, or begin its repair."""
        if item.prepared is None:
            return await _fill_checksums(transaction, item) if item.payload["code"] == _NO_CHECKSUM else DONE
        failure, row = item.prepared
        # One that was lost before may be brought back now: what was noncurrent is soft-deleted for a while.
        is_known = row is not None and row["failure_code"] == CHANGED.code == failure.code
        if failure is FOREIGN or is_known or not operation.parameters["repair"]:
            return _report(failure, item)
        if failure is ORPHAN:
            payload, lease = item.payload, parts.settings.lease
            await schedule_removal(transaction, Bucket.ORIGINALS, payload["name"], payload["generation"], lease)
            return Outcome(ItemState.DONE, "object-removed", "Its removal is scheduled.")
        if failure in (MISSING, MOVED):
            return in_progress(row["id"])
        await _lose(transaction, row, failure)
        return Outcome(ItemState.FAILED, failure.code, failure.message)

    async def settle(self, parts: TaskParts, operation: Operation, items: Sequence[Item]) -> Mapping[int, Outcome]:
        """Bring back lost originals from generations that storage still has."""
        min_age = _min_age(operation)
        over = {}
        for item in items:
            assert item.subject_id is not None  # noqa: S101 (`run_item` has named it)
            row = await queries.find(parts.database, item.subject_id, min_age)
            over[item.position] = DONE if row is None or not row["compared"] else await _bring_back(parts, row)
        return over


def _min_age(operation: Operation) -> timedelta:
    return timedelta(hours=operation.parameters["min_age_hours"])


def _name(row: Record) -> str:
    """Return the name by whose order rows and objects are walked."""
    return original_name(row["team_id"], row["id"])


def _is_held(row: Record | None) -> bool:
    """Return whether an image has, or still waits for, the object of its name."""
    return row is not None and row["status"] != ImageStatus.EXPIRED


def _difference(row: Record, found: StoredObject | None) -> Failure | None:
    """Return how an object differs from what its row says."""
    if found is None:
        return MISSING
    if found.generation == row["generation"]:
        return CHANGED if _other_bytes(row, found) else None
    return MOVED if _same_bytes(row, found) else CHANGED


def _other_bytes(row: Record, found: StoredObject) -> bool:
    """Return whether an object is known to have other bytes than an image."""
    known = row["crc32c"] is not None and found.crc32c is not None
    return found.size_bytes != row["size_bytes"] or (known and row["crc32c"] != found.crc32c)


def _same_bytes(row: Record, found: StoredObject) -> bool:
    """Return whether an object is known to have the bytes of an image."""
    return row["crc32c"] is not None and (row["size_bytes"], row["crc32c"]) == (found.size_bytes, found.crc32c)


def _compare(listed: Sequence[ListedObject], rows: Sequence[Record], before: datetime) -> list[NewItem]:
    """Return an item for each row and object that differ, and one for all names that are not ours."""
    objects = {each.stored.name: each.stored for each in listed}
    by_name = {row["object_name"]: row for row in rows}
    items = []
    for name, row in by_name.items():
        failure = _difference(row, objects.get(name)) if row["compared"] else None
        if failure is not None:
            items.append(NewItem(image_id=row["id"], payload={"code": failure.code, "name": name}))
    foreign = 0
    for each in listed:
        name = each.stored.name
        if parse_original_name(name) is None:
            foreign += 1
        elif not _is_held(by_name.get(name)) and each.created_at < before:
            payload = {"code": ORPHAN.code, "name": name, "generation": each.stored.generation}
            items.append(NewItem(payload=payload, size_bytes=each.stored.size_bytes))
    if foreign:
        items.append(NewItem(payload={"code": FOREIGN.code, "name": None, "count": foreign}))
    return items


def _without_checksums(listed: Sequence[ListedObject], rows: Sequence[Record]) -> list[NewItem]:
    """Return items for images of an earlier release that have no checksum and are otherwise like their objects."""
    objects, known = {each.stored.name: each.stored for each in listed}, []
    for row in rows:
        stored = objects.get(row["object_name"])
        is_unknown = row["compared"] and row["crc32c"] is None
        if is_unknown and stored is not None and stored.crc32c is not None and _difference(row, stored) is None:
            known.append([str(row["id"]), stored.generation, stored.crc32c])
    groups = [known[first : first + _CHECKSUMS] for first in range(0, len(known), _CHECKSUMS)]
    return [NewItem(payload={"code": _NO_CHECKSUM, "name": None, "checksums": group}) for group in groups]


def _report(failure: Failure, item: Item) -> Outcome:
    """Return the outcome of what is found and not repaired."""
    if failure is FOREIGN:
        return Outcome(ItemState.DONE, failure.code, f"{failure.message} Number of names: {item.payload['count']}.")
    return Outcome(ItemState.FAILED, failure.code, f"{failure.message} Object: {item.payload['name']}.")


async def _fill_checksums(transaction: Transaction, item: Item) -> Outcome:
    """Store the checksums that the listing had, of images that are still the same."""
    number = 0
    for image_id, generation, crc32c in item.payload["checksums"]:
        number += await transaction.execute(
            _fill_crc32c, image_id=UUID(image_id), of_generation=generation, new_crc32c=crc32c
        )
    return Outcome(ItemState.DONE, "checksum-filled", f"Checksums were stored. Number of images: {number}.")


async def _lose(transaction: Transaction, row: Record, failure: Failure) -> None:
    """Fail an image whose original is lost or another one."""
    lost = transitions.lose_original(row["id"], row["generation"], failure).returning(*failures.COLUMNS)
    failed = await transaction.fetch_one(lost)
    if failed is not None:
        await failures.record_failure(transaction, failed, failure.code)


async def _bring_back(parts: TaskParts, row: Record) -> Outcome:
    """Process an original that is there as another generation, or can be brought back; otherwise, fail the image."""
    live, failure = await parts.originals.stat(row["object_name"]), CHANGED
    stored = live if live is not None and _difference(row, live) in (None, MOVED) else None
    if live is None:
        stored, failure = await _bring_back_kept(parts, row), MISSING
    if stored is None or _other_bytes(row, stored):
        async with committing(parts) as transaction:
            await _lose(transaction, row, failure)
        return Outcome(ItemState.FAILED, failure.code, failure.message, subject_id=row["id"])
    if not await _process_again(parts, row, stored) and await _remove_if_purged(parts, row, stored):
        return DONE
    return Outcome(ItemState.DONE, "original-restored", "Its bytes are live again.", subject_id=row["id"])


async def _bring_back_kept(parts: TaskParts, row: Record) -> StoredObject | None:
    """Bring back a lost original from an older or a soft-deleted generation; return None if none has its bytes."""
    name, originals = row["object_name"], parts.originals
    with contextlib.suppress(ObjectMissing, ObjectChanged):
        older = _with_same_bytes(row, [each for each in await originals.list(name) if each.name == name])
        if older is not None:
            return await originals.bring_back(name, older.generation)
        deleted = _with_same_bytes(row, await originals.soft_deleted(name))
        if deleted is not None:
            return await originals.restore(name, deleted.generation)
    return None


def _with_same_bytes(row: Record, generations: Sequence[StoredObject]) -> StoredObject | None:
    """Return the generation that an image had, or else the newest one that is known to have the same bytes."""
    same = [each for each in generations if not _other_bytes(row, each)]
    exact = [each for each in same if each.generation == row["generation"]]
    candidates = exact or (same if row["crc32c"] else [])
    return candidates[-1] if candidates else None


async def _remove_if_purged(parts: TaskParts, row: Record, stored: StoredObject) -> bool:
    """Have a restored object removed whose image was purged meanwhile; return whether it was."""
    found = await queries.find(parts.database, row["id"], timedelta(0))
    if found is not None and found["compared"]:
        return False
    async with committing(parts) as transaction:
        lease = parts.settings.lease
        await schedule_removal(transaction, Bucket.ORIGINALS, stored.name, stored.generation, lease)
    return True


async def _process_again(parts: TaskParts, row: Record, stored: StoredObject) -> bool:
    """Process an image whose original is there again, as another generation; return False if it has changed."""
    back = transitions.bring_back_original(row["id"], row["generation"], stored.generation)
    async with committing(parts) as transaction:
        changed = await transaction.fetch_one(
            back.returning(image.c.id, image.c.team_id, image.c.object_name, image.c.generation, image.c.trace_parent)
        )
        if changed is not None:
            await events.record(transaction, events.process_request(changed, parts.originals.bucket))
    return changed is not None


# --- Originals that were uploaded again ---------------------------------------------------------------------------


async def replace_lost(parts: TaskParts, budget: Budget) -> int:
    """Replace lost originals by what was uploaded again, and process their images; return how many."""

    async def take() -> list[Record]:
        return await queries.uploaded_again(parts.database, BATCH)

    async def replace(row: Record) -> None:
        is_replaced = await _replace(parts, row)
        # Whether it was of use or not, nothing needs it any more.
        await queries.release_kept(parts.database, row["kept_id"])
        severity = "INFO" if is_replaced else "WARNING"
        log("original_uploaded_again", severity=severity, image_id=str(row["id"]), is_replaced=is_replaced)

    return await row_by_row(budget, take, replace, at_once=_AT_ONCE)


async def _replace(parts: TaskParts, row: Record) -> bool:
    """Copy the object of an upload to the name of a lost original; return False if it has other bytes."""
    name, originals = row["object_name"], parts.originals
    uploaded, live = await originals.stat(row["uploaded_name"]), await originals.stat(name)
    if uploaded is None or _other_bytes(row, uploaded):
        return False
    if live is not None and (live.size_bytes, live.crc32c) != (uploaded.size_bytes, uploaded.crc32c):
        await originals.delete(name, live.generation)
        live = None
    try:
        stored = live or await originals.copy_from(
            originals, row["uploaded_name"], uploaded.generation, name, row["content_type"]
        )
    except (ObjectChanged, ObjectMissing):
        return False
    if _other_bytes(row, stored):
        return False
    await _process_again(parts, row, stored)
    return True
