"""Receiving an upload: the row, the bytes, the completion; and what happens where any of them goes wrong.

The commits here are the named exceptions to "one transaction a request": the row must be visible before the first
byte is stored, and stay visible when the request dies.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import anyio.to_thread

from image_api.actor import Actor
from image_api.images import queries, service, upload_queries
from image_api.images.upload_fields import UploadFields, UploadSource, checked_fields
from image_api.metadata_schemas import service as metadata_schemas
from image_api.services import Services
from image_core import errors, events, picture_header, storage_quota
from image_core.db import ForeignKeyViolation, Record, UniqueViolation, to_json
from image_core.ids import new_id
from image_core.picture_header import PREFIX_BYTES, PictureHeader
from image_core.states import FINAL, ImageStatus
from image_core.storage import ONE_REQUEST_BYTES, StoredObject
from image_core.telemetry import current_request, log

RECEIPT_MARGIN_SECONDS = 10
"""How long before its row's deadline the receipt of a body ends."""
_HASH_IN_THREAD_BYTES = 512 * 1024


class Uploaded(NamedTuple):
    """What the caller is told: the image, and whether the team had it already."""

    image: Record
    duplicate: bool


class _Duplicate(Exception):
    """The team holds these bytes already, as the image `twin_id`."""

    def __init__(self, twin_id: UUID) -> None:
        super().__init__()
        self.twin_id = twin_id


@dataclass(frozen=True)
class _Received:
    """A file that is stored whole."""

    stored: StoredObject
    sha256: bytes


@dataclass(frozen=True)
class _Pending:
    """A row that waits for its bytes."""

    image_id: UUID
    team_id: UUID
    object_name: str
    content_type: str


async def receive(services: Services, actor: Actor, team_id: UUID, source: UploadSource) -> Uploaded:
    """Stores one file and completes its row.

    Raises whatever is wrong with the file, `errors.UploadTooSlow`, `errors.UploadExpired`,
    `errors.StorageUnavailable`, `errors.DatabaseUnavailable`, `errors.ShuttingDown`.
    """
    seconds = services.settings.upload_deadline_seconds - RECEIPT_MARGIN_SECONDS
    try:
        async with services.shutdown.deadline(seconds):
            return await _receive(services, actor, team_id, source)
    except TimeoutError as error:
        if services.shutdown.stopping:
            raise errors.ShuttingDown("This instance is stopping; send the upload again.") from error
        raise errors.UploadTooSlow(f"The body did not arrive within {seconds} s.") from error


async def _receive(services: Services, actor: Actor, team_id: UUID, source: UploadSource) -> Uploaded:
    chunks = source.chunks()
    prefix = await _first_bytes(chunks)
    declared = await metadata_schemas.declared_fields(services.database, team_id)
    # What is known to be wrong already costs no row; fields may also follow the file.
    checked_fields(source, declared, whole=source.ended)
    header = check_header(prefix, services.settings.image_formats, services.settings.image_max_pixels)
    pending = await _add_row(services, actor, team_id, header, source.declared_bytes)
    if pending is None:
        return await _without_room(services, team_id, prefix, chunks)
    try:
        received = await _store(services, pending, prefix, chunks)
        return await _complete(services, pending, received, checked_fields(source, declared))
    except _Duplicate as duplicate:
        await _expire(services, pending, "duplicate", "The team has this image already.", duplicate.twin_id)
        return await _existing(services, team_id, duplicate.twin_id)
    except BaseException as error:
        await _give_up(services, pending, error)
        raise


async def _first_bytes(chunks: AsyncIterator[bytes]) -> bytearray:
    """Enough of the file to see what it is. Raises `errors.UploadEmpty`."""
    prefix = bytearray()
    async for chunk in chunks:
        prefix += chunk
        if len(prefix) >= PREFIX_BYTES:
            break
    if not prefix:
        raise errors.UploadEmpty("Send the bytes of an image.")
    return prefix


def check_header(prefix: bytes | bytearray, formats: list[str], max_pixels: int) -> PictureHeader:
    """What the first bytes are.

    Raises `errors.NotAnImage`, `errors.FormatNotAllowed`, `errors.DimensionsInvalid`, `errors.TooManyPixels`.
    """
    first = bytes(prefix[:PREFIX_BYTES])
    header = picture_header.detect(first)
    if header is None:
        kind = picture_header.describe_unknown(first)
        what = f"These bytes are {kind}" if kind else "These bytes are of no kind that is known here"
        raise errors.NotAnImage(f"{what}; send one of {', '.join(formats)}.", allowed_formats=formats)
    if header.format not in formats:
        raise errors.FormatNotAllowed(
            f"{header.format} is switched off here; send one of {', '.join(formats)}.", allowed_formats=formats
        )
    width, height = header.width_px, header.height_px
    if width is not None and height is not None:
        if width < 1 or height < 1:
            raise errors.DimensionsInvalid(f"The header says {width} × {height} pixels.", width=width, height=height)
        if width * height > max_pixels:
            raise errors.TooManyPixels(
                f"{width} × {height} is more than {max_pixels} pixels.",
                width=width,
                height=height,
                max_pixels=max_pixels,
            )
    return header


async def _add_row(
    services: Services, actor: Actor, team_id: UUID, header: PictureHeader, declared_bytes: int | None
) -> _Pending | None:
    """The committed row; None where the team's quota has no room for it."""
    image_id = new_id()
    context = current_request.get()
    pending = _Pending(image_id, team_id, f"originals/{team_id}/{image_id}", header.content_type)
    settings = services.settings
    deadline, limit = timedelta(seconds=settings.upload_deadline_seconds), settings.upload_max_bytes
    try:
        added = await upload_queries.add_pending(
            services.database, image_id, team_id, actor.user_id, pending.object_name, header.content_type,
            header.format, context.trace_parent if context else None, deadline,
            limit if declared_bytes is None else min(declared_bytes, limit), settings.default_quota,
        )  # fmt: skip
    except ForeignKeyViolation as error:
        # The key is known from a cache; what it stands for may have been removed a moment ago.
        raise errors.KeyInvalid("The user or the team of this upload has just been removed.") from error
    return pending if added else None


async def _without_room(services: Services, team_id: UUID, body: bytearray, chunks: AsyncIterator[bytes]) -> Uploaded:
    """What a full quota leaves: the image that the team has already, of a file that is small enough to be hashed.

    Raises `errors.StorageQuotaExceeded`.
    """
    async for chunk in chunks:
        body += chunk
        if len(body) > ONE_REQUEST_BYTES:
            break
    else:
        digest = hashlib.sha256()
        await _update(digest, body)
        if twin_id := await upload_queries.find_twin(services.database, team_id, digest.digest()):
            return await _existing(services, team_id, twin_id)
    raise await storage_quota.exceeded(services.database, team_id, services.settings.default_quota)


async def _store(services: Services, pending: _Pending, body: bytearray, chunks: AsyncIterator[bytes]) -> _Received:
    """Streams the file to storage, holding at most one chunk of it."""
    limit = services.settings.upload_max_bytes
    digest, total = hashlib.sha256(), len(body)
    writer = services.originals.writer(pending.object_name, pending.content_type)
    async with writer:
        async for chunk in chunks:
            total += len(chunk)
            _check_size(total, limit)
            body += chunk
            while len(body) > ONE_REQUEST_BYTES:
                full, body = body, body[ONE_REQUEST_BYTES:]
                del full[ONE_REQUEST_BYTES:]
                await _update(digest, full)
                await writer.write(full)
                # The next chunk is gathered before this name is bound again.
                del full
        _check_size(total, limit)
        await _update(digest, body)
        if total > ONE_REQUEST_BYTES:
            return _Received(await writer.finish(body), digest.digest())
    # The whole body is here: what the team has already is not stored a second time.
    if twin_id := await upload_queries.find_twin(services.database, pending.team_id, digest.digest()):
        raise _Duplicate(twin_id)
    return _Received(await services.originals.put(pending.object_name, body, pending.content_type), digest.digest())


def _check_size(total: int, limit: int) -> None:
    if total > limit:
        raise errors.UploadTooLarge(f"A file may have {limit} bytes.", limit_bytes=limit)


async def _update(digest: "hashlib._Hash", data: bytearray) -> None:
    if len(data) > _HASH_IN_THREAD_BYTES:
        await anyio.to_thread.run_sync(digest.update, data)
    else:
        digest.update(data)


async def _complete(services: Services, pending: _Pending, received: _Received, fields: UploadFields) -> Uploaded:
    """Fills in the row. Raises `_Duplicate`, `errors.UploadExpired`."""
    try:
        row = await upload_queries.complete(
            services.database, pending.image_id, bytes=received.stored.size_bytes, digest=received.sha256,
            object_generation=received.stored.generation, name=fields.filename,
            labels=list(dict.fromkeys(fields.tags)), pairs=to_json(fields.metadata),
        )  # fmt: skip
    except UniqueViolation as error:
        twin_id = await upload_queries.find_twin(services.database, pending.team_id, received.sha256)
        if twin_id is None:
            raise errors.UploadExpired("The image that had these bytes has just been removed; try again.") from error
        raise _Duplicate(twin_id) from error
    if row is not None:
        return Uploaded(row, duplicate=False)
    twin_id = await upload_queries.duplicate_of(services.database, pending.image_id)
    if twin_id is None:
        raise errors.UploadExpired("The upload took longer than its deadline; send it again.")
    return await _existing(services, pending.team_id, twin_id)


async def _existing(services: Services, team_id: UUID, twin_id: UUID) -> Uploaded:
    """The image that was there: restored if it was in the trash, processed again if it had failed."""
    bucket, base_url = services.originals.bucket, services.settings.base_url
    async with events.committing(services.database, services.publisher) as transaction:
        old = await queries.lock(transaction, team_id, twin_id)
        if old is None or old["purge_marked_at"] is not None:
            raise errors.UploadExpired("The image that had these bytes has just been removed; try again.")
        if old["deleted_at"] is not None:
            await service.restore(transaction, old, bucket, base_url)
        if old["status"] == ImageStatus.FAILED:
            await service.process_again(transaction, old, bucket, base_url)
        shown = service.present(await queries.find(transaction, team_id, twin_id, base_url))
    return Uploaded(shown, duplicate=True)


async def _give_up(services: Services, pending: _Pending, error: BaseException) -> None:
    """Ends the row of an upload that did not come through, whatever the reason, also when it was cancelled."""
    code = error.code if isinstance(error, errors.AppError) else "upload-broken-off"
    message = error.detail if isinstance(error, errors.AppError) else "The upload was broken off."
    if isinstance(error, errors.UploadIncomplete):
        code = "upload-broken-off"
    with anyio.CancelScope(shield=True), anyio.move_on_after(3):
        try:
            await _expire(services, pending, code, message)
        except errors.DatabaseUnavailable:
            # The sweep ends the row after its deadline.
            log("upload_row_left_pending", severity="WARNING", image_id=str(pending.image_id), code=code)


async def _expire(services: Services, pending: _Pending, code: str, message: str, twin_id: UUID | None = None) -> None:
    """Expires the row, and has the sweep look for an object once none can arrive any more."""
    after = timedelta(seconds=services.settings.upload_deadline_seconds)
    async with services.database.transaction() as transaction:
        if await upload_queries.expire(transaction, pending.image_id, code, message, twin_id):
            await upload_queries.discard_original(transaction, new_id(), pending.object_name, after)


async def wait_until_final(services: Services, team_id: UUID, uploaded: Uploaded, seconds: float) -> Uploaded:
    """Looks at the row until it is final or the time is over; the body's status tells which."""
    image, image_id = uploaded.image, uploaded.image["id"]
    loop = asyncio.get_running_loop()
    ends_at, pause = loop.time() + seconds, 0.05
    while image["status"] not in FINAL and loop.time() < ends_at and not services.shutdown.stopping:
        await asyncio.sleep(min(pause, max(0.0, ends_at - loop.time())))
        pause = min(pause * 1.3, 0.5)
        found = await queries.find(services.database, team_id, image_id, services.settings.base_url)
        if found is None:
            break
        image = found
    return uploaded._replace(image=image)
