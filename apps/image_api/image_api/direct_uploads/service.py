"""The rules of direct uploads: a client sends a file straight to storage, in a session that the API opens.

Like other uploads it has a row before its object, so that nothing arrives unexpectedly. The row and its session are
committed before storage is asked for an address; until the address is kept, the row has the short deadline of an upload
through the API, so that a crash in between holds the team's quota only for minutes.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import anyio

from image_api import audit
from image_api.actor import Actor
from image_api.direct_uploads import queries, session_addresses
from image_api.direct_uploads.schemas import NewUpload, UploadState
from image_api.metadata_schemas import service as metadata_schemas
from image_api.metadata_schemas.rules import validate
from image_api.services import Services
from image_api.upload_tokens import queries as token_queries
from image_api.uploads import queries as upload_queries
from image_api.uploads import service as uploads
from image_api.uploads.body_buffer import check_size
from image_core import errors
from image_core.billing import storage_quota
from image_core.db import ForeignKeyViolation, Record, Transaction
from image_core.ids import new_id
from image_core.images import picture_header, transitions
from image_core.images.discards import schedule_removal
from image_core.images.object_names import Bucket, original_name
from image_core.images.removal.lost_originals import NO_ROOM
from image_core.keys.master_secrets import Masters
from image_core.states import Failure, ImageStatus
from image_core.telemetry import current_request, log

_REFUSALS = frozenset(
    {
        transitions.UPLOAD_SIZE_MISMATCH.code, transitions.UPLOAD_HASH_MISMATCH.code,
        transitions.UPLOAD_TYPE_MISMATCH.code, transitions.NOT_AN_IMAGE.code, NO_ROOM.code,
        "picture-too-large",
    }
)  # fmt: skip


class Opened(NamedTuple):
    """An upload that waits for its bytes, and the address that takes them."""

    upload_id: UUID
    expires_at: datetime
    address: str


class Progress(NamedTuple):
    """How far an upload has come; `received_bytes` is null if storage does not know."""

    row: Record
    state: UploadState
    received_bytes: int | None


class Token(NamedTuple):
    """What the holder of an upload token may do; the caller is then the one who created the token."""

    token_id: UUID
    team_id: UUID
    max_bytes: int
    tags: list[str]
    metadata: dict[str, Any]


async def open_upload_by_token(services: Services, actor: Actor, token: Token, new: NewUpload) -> Opened:
    """Open an upload for the holder of a token, who learns nothing about what the team has.

    It raises the errors of `open_upload`, but for the following.

    Raises:
        errors.UploadTokenUsedUp: The token may open no more uploads.
        errors.UploadQuotaFull: A quota of the team is full.
    """
    if new.tags or new.metadata:
        message = "An upload token decides on tags and metadata. Send none."
        raise errors.invalid_fields([{"field": "tags, metadata", "code": "upload-token-decides", "message": message}])
    check_size(new.size_bytes, token.max_bytes)
    new = new.model_copy(update={"tags": token.tags, "metadata": token.metadata})
    masters, new = await _prepare(services, token.team_id, new)
    try:
        image_id = await _add_row(services, actor, token.team_id, new, token)
    except (errors.StorageQuotaExceeded, errors.TooManyOpenUploads) as error:
        raise errors.UploadQuotaFull("There is no room for the upload. Try again later.") from error
    return await _open_session(services, masters, token.team_id, image_id, new)


async def open_upload(services: Services, actor: Actor, team_id: UUID, new: NewUpload) -> Opened | uploads.Uploaded:
    """Open an upload; if the team is known to have the file, return its image instead.

    Raises:
        errors.DirectUploadsNotConfigured: This deployment has no master secret for sessions.
        errors.UploadTooLarge: The file is larger than allowed.
        errors.FormatNotAllowed: Images in this format are not allowed.
        errors.RequestInvalid: The metadata or the declared size are wrong.
        errors.StorageQuotaExceeded: The team's storage is full.
        errors.TooManyOpenUploads: Too many direct uploads of the team wait for their bytes.
        errors.StorageUnavailable: Object storage does not respond.
        errors.MasterSecretUnavailable: The master secret cannot be read.
    """
    masters, new = await _prepare(services, team_id, new)
    if new.sha256 is not None:
        twin = await queries.find_twin(
            services.database, team_id, bytes.fromhex(new.sha256), in_trash=new.restore_trashed
        )
        if twin is not None:
            _check_twin(twin, new)
            return await uploads.reuse_existing(services, actor, team_id, twin["id"])
    image_id = await _add_row(services, actor, team_id, new)
    return await _open_session(services, masters, team_id, image_id, new)


async def _prepare(services: Services, team_id: UUID, new: NewUpload) -> tuple[Masters, NewUpload]:
    """Check what is declared before anything is written; return it with the metadata as they are stored."""
    masters = await _masters(services)
    _check_declaration(services, new)
    declared = await metadata_schemas.declared_fields(services.database, team_id)
    return masters, new.model_copy(update={"metadata": validate(declared, new.metadata, whole=True)})


async def _masters(services: Services) -> Masters:
    if services.upload_session_master is None:
        raise errors.DirectUploadsNotConfigured("Upload the file through the API, or ask the operator.")
    return await services.upload_session_master.get_with_previous()


def _check_declaration(services: Services, new: NewUpload) -> None:
    settings = services.settings
    check_size(new.size_bytes, settings.direct_upload_max_bytes)
    if picture_header.format_of(new.content_type) not in settings.image_formats:
        raise errors.FormatNotAllowed(
            f"Format not allowed: {new.content_type}. Send one of: {', '.join(settings.image_formats)}.",
            allowed_formats=settings.image_formats,
        )


def _check_twin(twin: Record, new: NewUpload) -> None:
    if twin["size_bytes"] != new.size_bytes:
        message = "The team has a file with this SHA-256, and it has another size. Send the size of the same file."
        raise errors.invalid_fields([{"field": "size_bytes", "code": "upload-size-mismatch", "message": message}])


async def _add_row(services: Services, actor: Actor, team_id: UUID, new: NewUpload, token: Token | None = None) -> UUID:
    """Add and commit the row with its session. The row counts against the quota, which serializes uploads of a team."""
    settings, image_id, context = services.settings, new_id(), current_request.get()
    sha256 = None if new.sha256 is None else bytes.fromhex(new.sha256)
    row = upload_queries.NewRow(
        image_id, team_id, actor.user_id, original_name(team_id, image_id), new.content_type,
        picture_header.format_of(new.content_type), context.trace_parent if context else None,
        timedelta(seconds=settings.upload_deadline_seconds), new.size_bytes, new,
    )  # fmt: skip
    try:
        async with services.database.transaction() as transaction:
            added = await upload_queries.add_pending(transaction, row, settings.default_quota)
            # The holder of a token must not learn what the team has lost.
            if not added and token is None:
                added = await upload_queries.add_replacement(transaction, row, sha256)
            if not added:
                raise await storage_quota.quota_exceeded(transaction, team_id, settings.default_quota)
            await queries.add_session(transaction, image_id, new.size_bytes, sha256)
            if await queries.count_open(transaction, team_id) > settings.direct_uploads_per_team:
                raise errors.TooManyOpenUploads(
                    f"Too many open uploads: the limit is {settings.direct_uploads_per_team} at a time. Finish some,"
                    " or cancel them with DELETE.",
                    limit=settings.direct_uploads_per_team,
                )
            if token is not None and not await token_queries.use(transaction, team_id, token.token_id, image_id):
                raise errors.UploadTokenUsedUp("The upload token has opened as many uploads as it may.")
            after = {"size_bytes": new.size_bytes, "sha256": new.sha256, "origin": new.origin}
            await audit.record(transaction, actor, "upload.opened", ("image", image_id), team_id=team_id, after=after)
    except ForeignKeyViolation as error:
        # The key comes from a cache; its user or team may have been removed since.
        raise errors.KeyInvalid("The user or the team of this upload has just been removed.") from error
    return image_id


async def _open_session(services: Services, masters: Masters, team_id: UUID, image_id: UUID, new: NewUpload) -> Opened:
    """Open the session and keep its address; expire the row if that fails in any way."""
    name, address = original_name(team_id, image_id), None
    try:
        address = await services.originals.open_session(name, new.content_type, new.size_bytes, new.origin)
        encrypted = session_addresses.encrypt(masters, image_id, address)
        async with services.database.transaction() as transaction:
            expires_at = await _keep_address(services, transaction, image_id, encrypted)
    except BaseException as error:
        with anyio.CancelScope(shield=True), anyio.move_on_after(5):
            await _give_up(services, image_id, name, error, address)
        raise
    return Opened(image_id, expires_at, address)


async def _keep_address(
    services: Services, transaction: Transaction, image_id: UUID, encrypted_address: bytes
) -> datetime:
    """Keep the address of an open session; return until when it takes bytes.

    Raises:
        errors.UploadExpired: Opening it took longer than the row's deadline.
    """
    deadline = timedelta(seconds=services.settings.direct_upload_deadline_seconds)
    expires_at = await queries.await_bytes(transaction, image_id, deadline)
    if expires_at is None:
        raise errors.UploadExpired("Opening the upload took too long. Try again.")
    await queries.keep_address(transaction, image_id, encrypted_address)
    return expires_at


async def _give_up(
    services: Services, image_id: UUID, object_name: str, error: BaseException, address: str | None
) -> None:
    """Expire the row of an upload that could not be opened, whatever the reason."""
    failure = transitions.UPLOAD_BROKEN_OFF
    if isinstance(error, errors.AppError):
        failure = Failure(error.code, error.detail)
    try:
        async with services.database.transaction() as transaction:
            await _expire(services, transaction, image_id, object_name, failure)
    except errors.DatabaseUnavailable:
        # The sweep expires the row after its deadline.
        log("upload_row_left_pending", severity="WARNING", image_id=str(image_id), code=failure.code)
    if address is not None:
        await _cancel_session(services, image_id, address)


async def _expire(
    services: Services, transaction: Transaction, image_id: UUID, object_name: str, failure: Failure
) -> bool:
    """Expire a row with its session; return False if it no longer waits. What still arrives is removed by the sweep."""
    if not await transaction.execute(transitions.expire(image_id, failure)):
        return False
    await queries.remove_session(transaction, image_id)
    after = timedelta(seconds=services.settings.upload_deadline_seconds)
    await schedule_removal(transaction, Bucket.ORIGINALS, object_name, None, after)
    return True


async def _cancel_session(services: Services, image_id: UUID, address: str) -> None:
    """Cancel a session. If that fails it ends within a week, and what arrives until then is removed."""
    try:
        await services.originals.cancel_session(address)
    except errors.StorageUnavailable:
        log("upload_session_not_cancelled", severity="WARNING", image_id=str(image_id))


async def find_upload(services: Services, actor: Actor, upload_id: UUID, token_id: UUID | None = None) -> Progress:
    """Return how far an upload has come; storage is asked while it waits for bytes.

    Raises:
        errors.UploadNotFound: The upload does not exist.
        errors.StorageUnavailable: Object storage does not respond.
        errors.MasterSecretUnavailable: The master secret cannot be read.
    """
    row = await _find(services, actor, upload_id, token_id)
    if row["status"] == ImageStatus.PENDING:
        address = await _address(services, row)
        received = None if address is None else await services.originals.received_bytes(address, row["size_bytes"])
        is_complete = received == row["size_bytes"]
        return Progress(row, UploadState.RECEIVED if is_complete else UploadState.OPEN, received)
    if row["status"] == ImageStatus.EXPIRED and row["duplicate_of"] is None:
        is_refused = row["failure_code"] in _REFUSALS
        return Progress(row, UploadState.REFUSED if is_refused else UploadState.EXPIRED, None)
    return Progress(row, UploadState.RECEIVED, row["size_bytes"])


async def cancel_upload(services: Services, actor: Actor, upload_id: UUID, token_id: UUID | None = None) -> None:
    """Cancel an upload that waits for its bytes: its row first, so that whatever still arrives is unexpected.

    Raises:
        errors.UploadNotFound: The upload does not exist.
        errors.UploadComplete: The file has arrived.
        errors.MasterSecretUnavailable: The master secret cannot be read.
    """
    row = await _find(services, actor, upload_id, token_id)
    address = await _address(services, row)
    async with services.database.transaction() as transaction:
        expired = await _expire(services, transaction, upload_id, row["object_name"], transitions.UPLOAD_CANCELLED)
        if expired:
            await audit.record(transaction, actor, "upload.cancelled", ("image", upload_id), team_id=row["team_id"])
    if expired and address is not None:
        await _cancel_session(services, upload_id, address)
    elif not expired and (await _find(services, actor, upload_id, token_id))["status"] != ImageStatus.EXPIRED:
        raise errors.UploadComplete("The file has arrived. Delete the image instead.")


async def _find(services: Services, actor: Actor, upload_id: UUID, token_id: UUID | None) -> Record:
    row = await queries.find(services.database, actor.visible_team_id, upload_id, token_id)
    if row is None:
        raise errors.UploadNotFound
    return row


async def _address(services: Services, row: Record) -> str | None:
    """Return the address of a session; None if there is none, or its master secret is gone."""
    if row["address"] is None:
        return None
    return session_addresses.decrypt(await _masters(services), row["id"], row["address"])
