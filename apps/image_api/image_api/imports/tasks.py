"""The kinds of operations that import many images.

Both end as a direct upload does: the bytes lie in storage under a row that waits for them, and the processor takes size
and hash from them, recognises a duplicate, and makes an image of the row.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from image_api import audit
from image_api.direct_uploads import queries as direct_uploads
from image_api.import_sources import service as import_sources
from image_api.imports import names, queries
from image_api.metadata_schemas import service as metadata_schemas
from image_api.operations import claims
from image_api.operations.items import DONE, Item, NewItem, Operation, Outcome, failed, in_progress
from image_api.operations.kinds import Filled, Kind
from image_api.tasks.parts import TaskParts
from image_api.uploads import queries as upload_queries
from image_api.uploads import receiving
from image_api.uploads.body_buffer import check_size
from image_api.uploads.fetched import fetch_source
from image_api.uploads.fields import UploadFields, validate_values
from image_core import errors
from image_core.billing import storage_quota
from image_core.db import Query, Record, Transaction
from image_core.ids import new_id
from image_core.images import transitions
from image_core.images.discards import schedule_removal
from image_core.images.object_names import Bucket, original_name
from image_core.images.picture_header import PREFIX_BYTES, PictureHeader
from image_core.models import image
from image_core.states import FINAL, Failure, ImageStatus, ItemState, OperationStatus
from image_core.storage.protocol import (
    BucketNotReadable,
    ListedObject,
    ObjectChanged,
    ObjectMissing,
    ObjectStorage,
    StoredObject,
)

_DEADLINE = timedelta(hours=1)
"""How long a row waits for its bytes, should nobody go on with its item."""
_CHUNK = 500
_AT_ONCE = 16
_FETCHES_AT_ONCE = 4
_FETCHING_SECONDS = 6.0
"""After this time no new URL is fetched in a turn, so that other operations have theirs."""


_NOT_BEGUN = Outcome(ItemState.WAITING)
"""Of a URL whose operation ended before its image was begun: it is left."""
_note_copy = Query(transitions.note_copy())


class _Prepared(NamedTuple):
    """What is known of an object before it is copied."""

    header: PictureHeader
    fields: UploadFields


async def _add_row(
    parts: TaskParts, transaction: Transaction, operation: Operation, image_id: UUID, header: PictureHeader,
    size_bytes: int, fields: UploadFields, sha256: bytes | None = None,
) -> None:  # fmt: skip
    """Add the row that waits for the bytes of an item.

    Raises:
        errors.StorageQuotaExceeded: The team's quota has no room for it.
    """
    team_id, quota = operation.owner_id, parts.settings.default_quota
    row = upload_queries.NewRow(
        image_id, team_id, operation.actor.user_id, original_name(team_id, image_id), header.content_type,
        header.format, None, _DEADLINE, size_bytes, fields,
    )  # fmt: skip
    added = await upload_queries.add_pending(transaction, row, quota)
    if not added and not await upload_queries.add_replacement(transaction, row, sha256):
        raise await storage_quota.quota_exceeded(transaction, team_id, quota)
    after = {"operation_id": str(operation.id), "size_bytes": size_bytes}
    await audit.record(
        transaction, operation.actor, "image.imported", ("image", image_id), team_id=team_id, after=after
    )


async def _note_stored(parts: TaskParts, image_id: UUID, stored: StoredObject) -> None:
    async with parts.database.transaction() as transaction:
        await transaction.execute(
            _note_copy, image_id=image_id, new_generation=stored.generation, new_crc32c=stored.crc32c
        )


async def _give_up(parts: TaskParts, team_id: UUID, image_id: UUID, failure: Failure) -> None:
    """Expire a row whose bytes do not come, and remove what may still arrive."""
    name = original_name(team_id, image_id)
    async with parts.database.transaction() as transaction:
        if await transaction.execute(transitions.expire(image_id, failure).where(image.c.team_id == team_id)):
            await schedule_removal(transaction, Bucket.ORIGINALS, name, None, parts.settings.lease)


def _outcome(row: Record | None, image_id: UUID) -> Outcome | None:
    """Return what became of an image; None if it is not over."""
    if row is None:
        return Outcome(ItemState.FAILED, "image-not-found", "The image was removed meanwhile.", subject_id=image_id)
    if row["status"] not in FINAL:
        return None
    if row["status"] == ImageStatus.READY:
        return DONE._replace(subject_id=image_id)
    if row["duplicate_of"] is not None:
        detail = "The team has these bytes already."
        return Outcome(ItemState.DONE, row["failure_code"], detail, subject_id=row["duplicate_of"])
    return Outcome(ItemState.FAILED, row["failure_code"], row["failure_message"], subject_id=image_id)


async def _settle(
    parts: TaskParts, operation: Operation, items: Sequence[Item],
    go_on: Callable[[Item, Record | None], Awaitable[Outcome | None]], at_once: int, is_begun: bool,
) -> dict[int, Outcome]:  # fmt: skip
    """Return what became of items, and go on with those whose bytes are not in storage yet."""
    ids = [item.subject_id for item in items if item.subject_id is not None]
    rows = await queries.begun(parts.database, operation.owner_id, ids)
    over: dict[int, Outcome] = {}
    without_bytes: list[tuple[Item, Record | None]] = []
    for item in items:
        assert item.subject_id is not None  # noqa: S101 (every item of these kinds in progress has one)
        row = rows.get(item.subject_id)
        if (row is None and not is_begun) or (row and row["status"] == ImageStatus.PENDING and not row["generation"]):
            without_bytes.append((item, row))
        elif outcome := _outcome(row, item.subject_id):
            over[item.position] = outcome
    ends_at = time.monotonic() + _FETCHING_SECONDS
    for first in range(0, len(without_bytes), at_once):
        if time.monotonic() > ends_at:
            break
        group = without_bytes[first : first + at_once]
        outcomes = await asyncio.gather(*(go_on(*each) for each in group))
        over |= {item.position: outcome for (item, _), outcome in zip(group, outcomes, strict=True) if outcome}
    return over


# --- From a bucket ------------------------------------------------------------------------------------------------


class _Source(NamedTuple):
    bucket: ObjectStorage
    prefix: str


async def _granted_source(parts: TaskParts, operation: Operation) -> _Source:
    """Return the source of an import, which is looked up again for each item: an admin may have taken it away.

    Raises:
        errors.SourceNotGranted: The team has no such source, or it is one of our own buckets.
    """
    found = await import_sources.get_granted(parts.database, operation.owner_id, operation.parameters["source"])
    if import_sources.is_own_bucket(parts.settings, found["bucket"]):
        raise errors.SourceNotGranted("This bucket belongs to image-manager. It cannot be a source.")
    return _Source(parts.open_bucket(found["bucket"]), found["prefix"])


class CopyBucket(Kind):
    """Copies the objects of a granted bucket, by storage itself."""

    seconds_per_item = 0.5
    uses_processor = True
    items_at_once = 8

    async def fill(self, parts: TaskParts, operation: Operation) -> Filled:
        """Find the next objects of the bucket, without folders and, unless asked for, resized copies."""
        source, asked = await _granted_source(parts, operation), operation.parameters
        prefix = source.prefix + asked["prefix"]
        try:
            listed = await source.bucket.live_objects(prefix, operation.fill_position or "", _CHUNK)
        except BucketNotReadable as error:
            raise errors.SourceNotReadable(
                "The bucket of the source cannot be read. Ask the operator to grant image-tasks the right to read it."
            ) from error
        chosen = [each for each in listed if not each.stored.name.endswith("/")]
        if not asked["include_resized"]:
            resized = await _resized(source.bucket, source.prefix, [each.stored.name for each in chosen])
            chosen = [each for each in chosen if each.stored.name not in resized]
        items = [NewItem(payload=_described(each, source, asked), size_bytes=each.stored.size_bytes) for each in chosen]
        return Filled(items, listed[-1].stored.name if len(listed) == _CHUNK else None)

    async def prepare(self, parts: TaskParts, operation: Operation, item: Item) -> _Prepared:
        """Look at the first bytes of an object, so that what is no image is not copied."""
        payload = item.payload
        source = await _granted_source(parts, operation)
        if not payload["size_bytes"]:
            raise errors.SourceNotAnImage("The object is empty.", allowed_formats=parts.settings.image_formats)
        check_size(payload["size_bytes"], parts.settings.direct_upload_max_bytes)
        last = min(PREFIX_BYTES, payload["size_bytes"]) - 1
        try:
            first_bytes = await source.bucket.read(payload["name"], payload["generation"], 0, last)
        except ObjectMissing as error:
            raise _changed() from error
        header = receiving.check_header(first_bytes, parts.settings)
        asked = operation.parameters
        values = {
            "filename": names.filename_of(payload["name"]),
            "tags": list(dict.fromkeys([*asked["tags"], *payload["tags"]])),
            "metadata": {**payload["metadata"], **asked["metadata"]},
        }
        declared = await metadata_schemas.declared_fields(parts.database, operation.owner_id)
        return _Prepared(header, validate_values(values, declared))

    async def run_item(self, parts: TaskParts, transaction: Transaction, operation: Operation, item: Item) -> Outcome:
        """Add the row of an object, with what the processor has to find in its bytes."""
        prepared: _Prepared = item.prepared
        image_id, size_bytes = new_id(), item.payload["size_bytes"]
        await _add_row(parts, transaction, operation, image_id, prepared.header, size_bytes, prepared.fields)
        await direct_uploads.add_session(transaction, image_id, size_bytes, None)
        return in_progress(image_id)

    async def settle(self, parts: TaskParts, operation: Operation, items: Sequence[Item]) -> Mapping[int, Outcome]:
        """Copy what has a row and no object, and tell what became of the images."""

        async def copy(item: Item, row: Record | None) -> Outcome | None:
            return None if row is None else await _copy(parts, operation, item, row)

        return await _settle(parts, operation, items, copy, _AT_ONCE, is_begun=True)


def _described(listed: ListedObject, source: _Source, asked: dict[str, Any]) -> dict[str, Any]:
    """Return what an item holds of an object."""
    stored, metadata = listed.stored, {}
    if asked["metadata_from_objects"]:
        metadata = {name: text for name, text in listed.metadata.items() if name not in names.SECRET_METADATA}
    tags = names.tags_of(stored.name[len(source.prefix) :]) if asked["tags_from_folders"] else []
    return {
        "name": _without_nul(stored.name), "generation": stored.generation, "size_bytes": stored.size_bytes,
        "tags": _without_nul(tags), "metadata": _without_nul(metadata),
    }  # fmt: skip


def _without_nul(value: Any) -> Any:
    """Replace NUL characters, which the database does not take; such an object is then not found."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(each) for name, each in value.items()}
    return [_without_nul(each) for each in value] if isinstance(value, list) else value


async def _resized(bucket: ObjectStorage, folder: str, object_names: Sequence[str]) -> set[str]:
    """Return the names of resized copies whose original is in the source as well."""
    candidates = {name: originals for name in object_names if (originals := names.originals_of_resized(name))}
    beginnings = sorted({each for originals in candidates.values() for each in originals if each.startswith(folder)})
    known: dict[str, bool] = {}

    async def look(beginning: str) -> None:
        if not any(name.startswith(beginning) for name in object_names):
            known[beginning] = bool(await bucket.live_objects(beginning, "", 1))
        else:
            known[beginning] = True

    for first in range(0, len(beginnings), _AT_ONCE):
        await asyncio.gather(*(look(each) for each in beginnings[first : first + _AT_ONCE]))
    return {name for name, originals in candidates.items() if any(known.get(each) for each in originals)}


def _changed() -> errors.SourceChanged:
    return errors.SourceChanged("The object changed or was removed after the import had found it. Import it again.")


async def _copy(parts: TaskParts, operation: Operation, item: Item, row: Record) -> Outcome | None:
    """Have storage copy an object, unless it is no longer what was found; repeating it copies nothing twice."""
    payload = item.payload
    try:
        source = await _granted_source(parts, operation)
        stored = await parts.originals.copy_from(
            source.bucket, payload["name"], payload["generation"], row["object_name"], row["content_type"]
        )
    except (ObjectChanged, ObjectMissing):
        changed = _changed()
        await _give_up(parts, operation.owner_id, row["id"], Failure(changed.code, changed.detail))
        return failed(changed)
    except errors.SourceNotGranted as error:
        await _give_up(parts, operation.owner_id, row["id"], Failure(error.code, error.detail))
        return failed(error)
    except errors.StorageUnavailable:
        return None
    await _note_stored(parts, row["id"], stored)
    return None


# --- From URLs ----------------------------------------------------------------------------------------------------


class FetchUrls(Kind):
    """Fetches the URLs of a list through the guarded fetcher."""

    seconds_per_item = 0.5
    uses_processor = True

    async def run_item(self, parts: TaskParts, transaction: Transaction, operation: Operation, item: Item) -> Outcome:
        """Give a line the id of its image, so that it is fetched for that image alone."""
        del parts, transaction, operation  # The row follows when the first bytes say what the file is.
        if "broken" in item.payload:
            raise errors.LineInvalid(item.payload["broken"])
        return in_progress(new_id())

    async def settle(self, parts: TaskParts, operation: Operation, items: Sequence[Item]) -> Mapping[int, Outcome]:
        """Fetch and store what has no object yet, and tell what became of the images."""

        async def fetch(item: Item, row: Record | None) -> Outcome | None:
            if row is None and operation.status is not OperationStatus.RUNNING:
                return _NOT_BEGUN
            try:
                return await _fetch(parts, operation, item, row)
            except errors.Unavailable:
                return None
            except errors.AppError as error:
                if item.subject_id is not None:
                    await _give_up(parts, operation.owner_id, item.subject_id, Failure(error.code, error.detail))
                return failed(error)

        return await _settle(parts, operation, items, fetch, _FETCHES_AT_ONCE, is_begun=False)


async def _fetch(parts: TaskParts, operation: Operation, item: Item, row: Record | None) -> Outcome | None:
    """Fetch the file of a line and store it, with its row first, unless the operation has ended meanwhile.

    It raises the errors of `fetch_source` and of `receiving` about the file, and:

    Raises:
        errors.StorageQuotaExceeded: The team's quota has no room for it.
        errors.RequestInvalid: The metadata do not fit the team's schema.
    """
    team_id, image_id = operation.owner_id, item.subject_id
    assert image_id is not None  # noqa: S101 (`run_item` has named it)
    name = original_name(team_id, image_id)
    if row is not None and (found := await parts.originals.stat(name)) is not None:
        await _note_stored(parts, image_id, found)
        return None
    given = {key: value for key, value in item.payload.items() if key != "url" and value is not None}
    declared = await metadata_schemas.declared_fields(parts.database, team_id)
    limit_bytes = parts.settings.upload_max_bytes
    async with fetch_source(parts, team_id, item.payload["url"], given) as source:
        body = await receiving.open_body(source, limit_bytes)
        header = receiving.check_header(body.held, parts.settings)
        fields = validate_values(source.raw_fields, declared)
        sha256 = await receiving.read_whole(body)
        if row is None:
            async with parts.database.transaction() as transaction:
                if await claims.hold(transaction, operation.id, alone=False) is None:
                    return _NOT_BEGUN
                size_bytes = body.total_bytes if body.ended else limit_bytes
                await _add_row(parts, transaction, operation, image_id, header, size_bytes, fields, sha256)
        received = await receiving.store(parts.originals, name, header.content_type, body, sha256)
    await _note_stored(parts, image_id, received.stored)
    return None
