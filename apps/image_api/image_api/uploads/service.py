"""Receiving an upload: the row, the bytes, the completion, and the handling of failures in between.

The commits here are the named exceptions to "one transaction per request": the row must be visible before the first
byte is stored, and stay visible if the request dies.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import anyio

from image_api import audit
from image_api.actor import Actor
from image_api.images import queries, service
from image_api.metadata_schemas import service as metadata_schemas
from image_api.services import Services
from image_api.uploads import queries as upload_queries
from image_api.uploads import receiving
from image_api.uploads.body_buffer import BodyBuffer
from image_api.uploads.fields import UploadFields, UploadSource, validate_fields
from image_api.uploads.receiving import Received
from image_core import errors, events
from image_core.billing import storage_quota
from image_core.db import ForeignKeyViolation, Record, UniqueViolation, to_json
from image_core.events import EventType
from image_core.ids import new_id
from image_core.images import transitions
from image_core.images.discards import schedule_removal
from image_core.images.object_names import Bucket, original_name
from image_core.images.picture_header import PictureHeader
from image_core.images.removal import lost_originals
from image_core.images.transitions import DUPLICATE, UPLOAD_BROKEN_OFF
from image_core.intake.nudges import nudge
from image_core.states import FINAL, Failure, ImageStatus
from image_core.telemetry import current_request, log


class Uploaded(NamedTuple):
    """The result of an upload: the image, whether the team had it already, and whether it was in the trash."""

    image: Record
    duplicate: bool
    restored: bool = False


class _Duplicate(Exception):
    """The team has an image of these bytes already."""

    def __init__(self, existing: upload_queries.Existing) -> None:
        super().__init__()
        self.existing = existing


@dataclass(frozen=True)
class _Pending:
    """A row that waits for its bytes."""

    image_id: UUID
    team_id: UUID
    object_name: str
    content_type: str
    trace_parent: str | None
    is_replacement: bool
    """Whether it may only end as a duplicate of an image whose original is lost, because the quota is full."""


async def receive(services: Services, actor: Actor, team_id: UUID, source: UploadSource) -> Uploaded:
    """Store one file and complete its row.

    It also raises the errors of `receiving` and of `validate_fields` about the file.

    Raises:
        errors.UploadTooSlow: The body took too long to arrive.
        errors.UploadExpired: The upload took longer than its deadline.
        errors.StorageQuotaExceeded: The team's storage is full.
        errors.StorageUnavailable: Object storage does not respond.
        errors.DatabaseUnavailable: The database does not respond.
        errors.ShuttingDown: This instance is shutting down.
    """
    async with receiving.receive_timeout(services):
        return await _receive(services, actor, team_id, source)


async def _receive(services: Services, actor: Actor, team_id: UUID, source: UploadSource) -> Uploaded:
    body = await receiving.open_body(source, services.settings.upload_max_bytes)
    declared = await metadata_schemas.declared_fields(services.database, team_id)
    # Errors that are already known cost no row; fields may also follow the file.
    validate_fields(source, declared, whole=source.ended)
    header = receiving.check_header(body.held, services.settings)
    sha256 = await receiving.read_whole(body)
    if sha256 is not None:
        validate_fields(source, declared)
        # A file that the team already has leaves no trace, unless the original of its image is lost.
        existing = await upload_queries.find_existing(services.database, team_id, sha256)
        if existing is not None and not existing.is_lost:
            return await reuse_existing(services, actor, team_id, existing.image_id)
    pending = await _add_row(services, actor, team_id, header, _max_bytes(source, body), sha256)
    try:
        received = await receiving.store(services.originals, pending.object_name, pending.content_type, body, sha256)
        return await _complete(services, actor, pending, received, validate_fields(source, declared))
    except _Duplicate as duplicate:
        await _expire(services, pending, DUPLICATE, duplicate.existing)
        return await reuse_existing(services, actor, team_id, duplicate.existing.image_id)
    except BaseException as error:
        await _give_up(services, pending, error)
        raise


def _max_bytes(source: UploadSource, body: BodyBuffer) -> int | None:
    return body.total_bytes if body.ended else source.declared_bytes


async def _add_row(
    services: Services, actor: Actor, team_id: UUID, header: PictureHeader, declared_bytes: int | None,
    sha256: bytes | None,
) -> _Pending:  # fmt: skip
    """Add and commit the row; a full quota still has room for the bytes of a lost original.

    Raises:
        errors.StorageQuotaExceeded: The team's quota has no room for it.
        errors.KeyInvalid: The user or the team was removed.
    """
    image_id = new_id()
    context = current_request.get()
    trace_parent = context.trace_parent if context else None
    settings, name, is_replacement = services.settings, original_name(team_id, image_id), False
    deadline, limit = timedelta(seconds=settings.upload_deadline_seconds), settings.upload_max_bytes
    row = upload_queries.NewRow(
        image_id, team_id, actor.user_id, name, header.content_type, header.format, trace_parent, deadline,
        limit if declared_bytes is None else min(declared_bytes, limit),
    )  # fmt: skip
    try:
        added = await upload_queries.add_pending(services.database, row, settings.default_quota)
        if not added:
            async with services.database.transaction() as transaction:
                added = is_replacement = await upload_queries.add_replacement(transaction, row, sha256)
    except ForeignKeyViolation as error:
        # The key comes from a cache; its user or team may have been removed since.
        raise errors.KeyInvalid("The user or the team of this upload has just been removed.") from error
    if not added:
        raise await storage_quota.quota_exceeded(services.database, team_id, settings.default_quota)
    return _Pending(image_id, team_id, name, header.content_type, trace_parent, is_replacement)


async def _complete(
    services: Services, actor: Actor, pending: _Pending, received: Received, fields: UploadFields
) -> Uploaded:
    """Complete the row.

    Raises:
        _Duplicate: The team has these bytes already.
        errors.UploadExpired: The row has expired.
        errors.StorageQuotaExceeded: The row had room only for a lost original, and these are other bytes.
    """
    if pending.is_replacement:
        existing = await upload_queries.find_existing(services.database, pending.team_id, received.sha256)
        if existing is not None:
            raise _Duplicate(existing)
        raise await storage_quota.quota_exceeded(services.database, pending.team_id, services.settings.default_quota)
    try:
        async with events.committing(services.database, services.publisher) as transaction:
            status = await upload_queries.lock_status(transaction, pending.team_id, pending.image_id)
            row = await upload_queries.complete(
                transaction, pending.image_id, new_size_bytes=received.stored.size_bytes, new_sha256=received.sha256,
                new_crc32c=received.stored.crc32c, new_generation=received.stored.generation,
                new_filename=fields.filename, new_tags=list(dict.fromkeys(fields.tags)),
                new_metadata=to_json(fields.metadata),
            )  # fmt: skip
            if row is not None:
                stored = {"sha256": received.sha256.hex(), "size_bytes": received.stored.size_bytes}
                image_id, team_id = pending.image_id, pending.team_id
                await audit.record(
                    transaction, actor, "image.uploaded", ("image", image_id), team_id=team_id, after=stored
                )
                if status == ImageStatus.PENDING:
                    created = events.image_event(
                        EventType.IMAGE_CREATED, image_id, team_id, row["revision"], trace_parent=pending.trace_parent
                    )
                    await events.record(transaction, created)
    except UniqueViolation as error:
        existing = await upload_queries.find_existing(services.database, pending.team_id, received.sha256)
        if existing is None:
            raise errors.UploadExpired("The image with these bytes has just been removed. Try again.") from error
        raise _Duplicate(existing) from error
    if row is not None:
        if row["status"] == ImageStatus.READY:
            # The processor was faster: its results are in other rows.
            row = await queries.find(services.database, pending.team_id, pending.image_id) or row
        return Uploaded(row, duplicate=False)
    existing_id = await upload_queries.duplicate_of(services.database, pending.image_id)
    if existing_id is None:
        raise errors.UploadExpired("The upload took longer than its deadline. Send it again.")
    return await reuse_existing(services, actor, pending.team_id, existing_id)


async def reuse_existing(services: Services, actor: Actor, team_id: UUID, existing_id: UUID) -> Uploaded:
    """Return the existing image: restored if it was in the trash, processed again if it had failed.

    Of one that has lost its original, image-tasks does so once it has replaced that.
    """
    bucket = services.originals.bucket
    async with events.committing(services.database, services.publisher) as transaction:
        old = await queries.lock(transaction, team_id, existing_id)
        if old is None or old["purge_marked_at"] is not None:
            raise errors.UploadExpired("The image with these bytes has just been removed. Try again.")
        if old["deleted_at"] is not None:
            await service.restore(transaction, actor, old, bucket)
        if _is_lost(old):
            await nudge(transaction, lost_originals.STEP)
        elif old["status"] == ImageStatus.FAILED:
            await service.retry_processing(transaction, old, bucket)
        shown = service.require_found(await queries.find(transaction, team_id, existing_id))
    return Uploaded(shown, duplicate=True, restored=old["deleted_at"] is not None)


def _is_lost(row: Record) -> bool:
    return row["status"] == ImageStatus.FAILED and row["failure_code"] in lost_originals.CODES


async def _give_up(services: Services, pending: _Pending, error: BaseException) -> None:
    """Expire the row of a failed upload, whatever the reason, including cancellation."""
    failure = UPLOAD_BROKEN_OFF
    if isinstance(error, errors.AppError):
        code = failure.code if isinstance(error, errors.UploadIncomplete) else error.code
        failure = Failure(code, error.detail)
    with anyio.CancelScope(shield=True), anyio.move_on_after(3):
        try:
            await _expire(services, pending, failure)
        except errors.DatabaseUnavailable:
            # The sweep expires the row after its deadline.
            log("upload_row_left_pending", severity="WARNING", image_id=str(pending.image_id), code=failure.code)


async def _expire(
    services: Services, pending: _Pending, failure: Failure, existing: upload_queries.Existing | None = None
) -> None:
    """Expire the row, and have the sweep remove any object once no more can arrive and nothing needs it."""
    after = timedelta(seconds=services.settings.upload_deadline_seconds)
    existing_id = None if existing is None else existing.image_id
    async with services.database.transaction() as transaction:
        if not await transaction.execute(transitions.expire(pending.image_id, failure, existing_id)):
            return
        if existing is not None and existing.is_lost:
            await lost_originals.keep_for_replacement(transaction, pending.object_name)
        else:
            await schedule_removal(transaction, Bucket.ORIGINALS, pending.object_name, None, after)


async def wait_until_final(services: Services, team_id: UUID, uploaded: Uploaded, seconds: float) -> Uploaded:
    """Poll the row until it is final or the time is over; the body's status tells which."""
    image_id = uploaded.image["id"]
    # Its original is being replaced, and then it is processed.
    final = set(FINAL) - ({ImageStatus.FAILED} if _is_lost(uploaded.image) else set())
    if uploaded.image["status"] in final:
        return uploaded
    async for _ in services.polls(seconds):
        status = await queries.find_status(services.database, team_id, image_id)
        if status is None or status in final:
            break
    found = await queries.find(services.database, team_id, image_id)
    return uploaded._replace(image=found or uploaded.image)
