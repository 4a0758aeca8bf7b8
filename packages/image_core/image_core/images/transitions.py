"""Every UPDATE of an image: one function per transition, with the states it may leave and the services that may run it.

Each function returns a statement that both asyncpg and pg8000 can run, and to which the caller may add a RETURNING
clause. Statements of hot paths have bind parameters, listed in the docstring, and are compiled once by the caller's
`Query`. Parameter names begin with `new_`, because SQLAlchemy reserves the names of the columns.
"""

from collections.abc import Iterable
from datetime import timedelta
from itertools import starmap
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Interval,
    LargeBinary,
    Text,
    Update,
    Uuid,
    and_,
    bindparam,
    case,
    column,
    exists,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from image_core.images import discards
from image_core.images.removal.lost_originals import IS_LOST, IS_REPLACEMENT
from image_core.models import HOLDS_BYTES_CLAUSE, image, upload_session
from image_core.states import UNCOUNTED_RETRY_WINDOW, Failure, ImageStatus, Mover, made_by

DUPLICATE = Failure("duplicate", "The team already has this image.")
UPLOAD_BROKEN_OFF = Failure("upload-broken-off", "The upload was interrupted.")
UPLOAD_EXPIRED = Failure("upload-expired", "The upload took longer than its deadline.")
UPLOAD_CANCELLED = Failure("upload-cancelled", "The upload was cancelled.")
UPLOAD_SIZE_MISMATCH = Failure("upload-size-mismatch", "The file has another size than was declared.")
UPLOAD_HASH_MISMATCH = Failure("upload-hash-mismatch", "The file has another SHA-256 than was declared.")
UPLOAD_TYPE_MISMATCH = Failure("upload-type-mismatch", "The file is an image of another type than was declared.")
NOT_AN_IMAGE = Failure("not-an-image", "The file has no known image format.")
EXHAUSTED = Failure("processing-attempts-exhausted", "Processing failed after several attempts.")

CAPTURE_COLUMNS = ("taken_at", "taken_at_source", "taken_local", "location_cell")
_UNCLAIMED: dict[str, Any] = {"claim_token": None, "lease_expires_at": None}
_REPROCESSED: dict[str, Any] = {
    "status": ImageStatus.STORED, "failure_code": None, "failure_message": None, "attempts": 0, "queued_at": func.now(),
}  # fmt: skip
_id = image.c.id == bindparam("image_id")
_pending = image.c.status == ImageStatus.PENDING
_lapsed = and_(image.c.status == ImageStatus.PROCESSING, image.c.lease_expires_at < func.now())
_claimable = or_(image.c.status == ImageStatus.STORED, _lapsed)

REPROCESSABLE = and_(
    or_(image.c.status == ImageStatus.READY, and_(image.c.status == ImageStatus.FAILED, ~IS_LOST)),
    image.c.deleted_at.is_(None),
)
"""The images that may be processed again: outside of the trash, with an original."""

IS_SHOWN = and_(
    image.c.ready_at.is_not(None),
    HOLDS_BYTES_CLAUSE,
    image.c.status != ImageStatus.FAILED,
    image.c.deleted_at.is_(None),
)
"""The images that have derivatives and show them, also while they are processed again."""


def _change(*conditions: ColumnElement[bool], **columns: Any) -> Update:
    """Change what callers see of an image, and with it the entity tag."""
    return update(image).where(*conditions).values(revision=image.c.revision + 1, updated_at=func.now(), **columns)


def _unlocked(condition: ColumnElement[bool], limit: int) -> ColumnElement[bool]:
    """Restrict an UPDATE to a bounded number of rows that no other transaction has locked."""
    rows = select(image.c.id).where(condition).limit(limit).with_for_update(skip_locked=True)
    return image.c.id.in_(rows.scalar_subquery())


@made_by(Mover.SWEEP)
def fill_capture() -> Update:
    """Fill in when and where photographs were taken. Parameters: image_ids and CAPTURE_COLUMNS, of one length."""
    # The revision stays: the facts said the same.
    types = {"id": Uuid(), **{name: image.c[name].type for name in CAPTURE_COLUMNS}}
    arrays = (bindparam("image_ids" if name == "id" else name, type_=ARRAY(types[name])) for name in types)
    given = func.unnest(*arrays).table_valued(*starmap(column, types.items()), name="given").render_derived()
    values = {name: given.c[name] for name in CAPTURE_COLUMNS}
    return update(image).where(image.c.id == given.c.id, image.c.taken_at_source.is_(None)).values(**values)


@made_by(Mover.SWEEP)
def fill_search_terms() -> Update:
    """Fill in the search terms of images that an earlier release processed. Parameter: image_ids."""
    terms = func.search_terms(image.c.team_id, image.c.filename, image.c.description, image.c.tags)
    given = image.c.id == func.any(bindparam("image_ids", type_=ARRAY(Uuid)))
    return update(image).where(given, image.c.search_terms.is_(None)).values(search_terms=terms)


@made_by(Mover.SWEEP)
def fill_crc32c() -> Update:
    """Fill in the checksum of an original of an earlier release. Parameters: image_id, of_generation, new_crc32c."""
    is_unknown = and_(image.c.generation == bindparam("of_generation"), image.c.crc32c.is_(None))
    return update(image).where(_id, is_unknown).values(crc32c=bindparam("new_crc32c"))


@made_by(Mover.API)
def complete_upload() -> Update:
    """Complete an upload: pending → stored, with the properties of the stored object; expired rows stay as they are.

    The processor may have been faster: the status never moves back, and only missing values are filled in.
    Parameters: image_id, new_size_bytes, new_sha256, new_crc32c, new_generation, new_filename, new_tags, new_metadata.
    """
    return _change(
        _id,
        image.c.status != ImageStatus.EXPIRED,
        ~IS_REPLACEMENT,
        status=case((_pending, ImageStatus.STORED), else_=image.c.status),
        size_bytes=func.coalesce(image.c.size_bytes, bindparam("new_size_bytes", type_=BigInteger)),
        sha256=func.coalesce(image.c.sha256, bindparam("new_sha256", type_=LargeBinary)),
        crc32c=func.coalesce(image.c.crc32c, bindparam("new_crc32c", type_=Text)),
        generation=func.coalesce(image.c.generation, bindparam("new_generation", type_=BigInteger)),
        stored_at=func.coalesce(image.c.stored_at, func.now()),
        queued_at=func.coalesce(image.c.queued_at, func.now()),
        filename=bindparam("new_filename", type_=Text),
        tags=bindparam("new_tags", type_=ARRAY(Text)),
        metadata=bindparam("new_metadata", type_=JSONB),
    )


@made_by(Mover.PROCESSOR)
def store() -> Update:
    """Store an upload: pending → stored, with the properties of the object.

    Parameters: image_id, new_generation, new_size_bytes, new_sha256, new_crc32c.
    """
    return _change(
        _id, _pending, ~IS_REPLACEMENT, status=ImageStatus.STORED, generation=bindparam("new_generation"),
        size_bytes=bindparam("new_size_bytes"), sha256=bindparam("new_sha256"), crc32c=bindparam("new_crc32c"),
        stored_at=func.now(), queued_at=func.now(), attempts=0,
    )  # fmt: skip


@made_by(Mover.API)
def await_direct_upload() -> Update:
    """Wait for the bytes of a pending image while its upload session may be used. Parameters: image_id, deadline."""
    return update(image).where(_id, _pending).values(deadline_at=func.now() + bindparam("deadline", type_=Interval))


@made_by(Mover.SWEEP)
def note_copy() -> Update:
    """Note that the object of a pending image is there. Parameters: image_id, new_generation, new_crc32c."""
    return update(image).where(_id, _pending).values({n: bindparam(f"new_{n}") for n in ("generation", "crc32c")})


@made_by(Mover.API, Mover.PROCESSOR, Mover.SWEEP)
def expire(image_id: UUID, failure: Failure, duplicate_of: UUID | None = None) -> Update:
    """Expire an upload: pending → expired."""
    return _change(
        image.c.id == image_id, _pending, status=ImageStatus.EXPIRED, failure_code=failure.code,
        failure_message=failure.message, duplicate_of=duplicate_of,
    )  # fmt: skip


@made_by(Mover.SWEEP)
def defer_overdue(lease: timedelta, limit: int) -> Update:
    """Extend the deadline of overdue pending images by a lease, while storage is queried for the object."""
    overdue = and_(_pending, image.c.deadline_at < func.now())
    deferred = {"deadline_at": func.now() + lease, "attempts": image.c.attempts + 1}
    return update(image).where(_unlocked(overdue, limit)).values(**deferred)


def is_abandoned(max_attempts: int) -> ColumnElement[bool]:
    """Return the condition for uploads whose object was looked up too often, for longer than an outage should last.

    The object of a direct upload may be younger than its row by as much as half a day.
    """
    is_direct = exists(select(upload_session.c.image_id).where(upload_session.c.image_id == image.c.id))
    window = case((is_direct, 2 * UNCOUNTED_RETRY_WINDOW), else_=UNCOUNTED_RETRY_WINDOW)
    return and_(image.c.attempts > max_attempts, image.c.created_at < func.now() - window)


@made_by(Mover.PROCESSOR)
def claim() -> Update:
    """Claim an image: stored, or processing with an expired lease → processing. Only one caller can win.

    Parameters: image_id, of_generation, max_attempts, new_token, lease.
    """
    return _change(
        _id, image.c.generation == bindparam("of_generation"), image.c.deleted_at.is_(None),
        image.c.attempts < bindparam("max_attempts"), _claimable, status=ImageStatus.PROCESSING,
        claim_token=bindparam("new_token"), lease_expires_at=func.now() + bindparam("lease", type_=Interval),
        attempts=image.c.attempts + 1, first_claimed_at=func.coalesce(image.c.first_claimed_at, func.now()),
    )  # fmt: skip


@made_by(Mover.PROCESSOR)
def finish(columns: Iterable[str]) -> Update:
    """Finish a claimed image: processing → ready, if the removal of the claim's objects can still be cancelled.

    Parameters: image_id, new_token, discard_id, and `new_` plus the name of each of the columns.
    """
    cancelled = discards.cancel_removal().cte("cancelled")
    values = {name: bindparam(f"new_{name}", type_=image.c[name].type) for name in columns}
    return _change(
        _id, image.c.claim_token == bindparam("new_token"), image.c.status == ImageStatus.PROCESSING,
        exists(select(cancelled.c.id)), status=ImageStatus.READY, ready_at=func.now(), first_claimed_at=None,
        **_UNCLAIMED, **values,
    )  # fmt: skip


def _failed(failure: Failure) -> dict[str, Any]:
    """Return the column values of a failed image: one that was ready before becomes ready again, unchanged."""
    was_ready = image.c.ready_at.is_not(None)
    return _UNCLAIMED | {
        "status": case((was_ready, ImageStatus.READY), else_=ImageStatus.FAILED),
        "failure_code": case((was_ready, None), else_=failure.code),
        "failure_message": case((was_ready, None), else_=failure.message),
        "first_claimed_at": None,
    }


def _is_claimed(image_id: UUID, token: UUID) -> ColumnElement[bool]:
    claimed = and_(image.c.claim_token == token, image.c.status == ImageStatus.PROCESSING)
    return and_(image.c.id == image_id, claimed)


@made_by(Mover.PROCESSOR)
def fail(image_id: UUID, token: UUID, failure: Failure) -> Update:
    """Fail a claimed image: processing → failed, or ready if it was ready before."""
    return _change(_is_claimed(image_id, token), **_failed(failure))


@made_by(Mover.PROCESSOR)
def release(image_id: UUID, token: UUID, *, counted: bool) -> Update:
    """Release a claimed image: processing → stored.

    The attempt counts if `counted` is set, or if the image has been tried for more than a day.
    """
    attempts: Any = image.c.attempts
    if not counted:
        is_recent = image.c.first_claimed_at > func.now() - UNCOUNTED_RETRY_WINDOW
        attempts = case((is_recent, image.c.attempts - 1), else_=image.c.attempts)
    return _change(
        _is_claimed(image_id, token), status=ImageStatus.STORED, queued_at=func.now(), attempts=attempts, **_UNCLAIMED
    )


@made_by(Mover.PROCESSOR)
def give_up(image_id: UUID, max_attempts: int) -> Update:
    """Give up an image without attempts left: stored, or processing with an expired lease → failed, or ready again."""
    return _change(image.c.id == image_id, image.c.attempts >= max_attempts, _claimable, **_failed(EXHAUSTED))


def _is_waiting(lease: timedelta) -> ColumnElement[bool]:
    queued = and_(image.c.status == ImageStatus.STORED, image.c.queued_at < func.now() - lease)
    return and_(image.c.deleted_at.is_(None), or_(queued, _lapsed))


@made_by(Mover.SWEEP)
def requeue(lease: timedelta, max_attempts: int, limit: int) -> Update:
    """Requeue images that have waited longer than a lease and have attempts left → stored."""
    return _change(
        _unlocked(and_(_is_waiting(lease), image.c.attempts < max_attempts), limit),
        status=ImageStatus.STORED, queued_at=func.now(), **_UNCLAIMED,
    )  # fmt: skip


@made_by(Mover.SWEEP)
def give_up_waiting(lease: timedelta, max_attempts: int, limit: int) -> Update:
    """Give up images that have waited longer than a lease and have no attempts left → failed, or ready as before."""
    waiting = and_(_is_waiting(lease), image.c.attempts >= max_attempts)
    return _change(_unlocked(waiting, limit), **_failed(EXHAUSTED))


@made_by(Mover.API)
def process_again(image_id: UUID) -> Update:
    """Process an image that is not in the trash again: ready, failed → stored."""
    return _change(image.c.id == image_id, REPROCESSABLE, **_REPROCESSED)


@made_by(Mover.OPERATOR)
def reprocess(condition: ColumnElement[bool], limit: int) -> Update:
    """Reprocess the newest images that meet a condition and are not in the trash: ready, failed → stored."""
    newest = select(image.c.id).where(REPROCESSABLE, condition).order_by(image.c.id.desc()).limit(limit)
    return _change(image.c.id.in_(newest.with_for_update(skip_locked=True).scalar_subquery()), **_REPROCESSED)


@made_by(Mover.OPERATOR)
def remake_derivatives(image_id: UUID, revision: int) -> Update:
    """Remake missing derivatives: any state that holds bytes → stored.

    Skip an image that has changed since it was read, or that is already queued with all its attempts.
    """
    waits = and_(image.c.status == ImageStatus.STORED, image.c.attempts == 0)
    return _change(
        image.c.id == image_id, image.c.revision == revision, HOLDS_BYTES_CLAUSE, ~waits, **_REPROCESSED, **_UNCLAIMED
    )


@made_by(Mover.SWEEP)
def lose_original(image_id: UUID, generation: int, failure: Failure) -> Update:
    """Fail an image whose original is lost, or is another one: stored, ready → failed."""
    held = or_(image.c.status == ImageStatus.STORED, image.c.status == ImageStatus.READY)
    lost = {"status": ImageStatus.FAILED, "failure_code": failure.code, "failure_message": failure.message}
    return _change(image.c.id == image_id, image.c.generation == generation, held, **lost)


@made_by(Mover.SWEEP)
def bring_back_original(image_id: UUID, generation: int, new_generation: int) -> Update:
    """Process a lost original again that is there as another generation: stored, ready, failed → stored."""
    is_idle = and_(HOLDS_BYTES_CLAUSE, image.c.status != ImageStatus.PROCESSING, image.c.purge_marked_at.is_(None))
    back = {"generation": new_generation, **_REPROCESSED}
    return _change(image.c.id == image_id, image.c.generation == generation, is_idle, **back)


@made_by(Mover.PROCESSOR)
def replace_derivative() -> Update:
    """Show that a derivative of an image is being replaced: of a shown image that was ready, with the same original.

    Parameters: image_id, of_generation.
    """
    return _change(_id, image.c.generation == bindparam("of_generation"), IS_SHOWN)


@made_by(Mover.API)
def edit(image_id: UUID, values: dict[str, Any]) -> Update:
    """Change what callers may: filename, tags, metadata, descriptions, rating, focal point, visibility."""
    return _change(image.c.id == image_id, **values)


@made_by(Mover.API)
def revoke_addresses(image_id: UUID) -> Update:
    """Change the tag in the image's delivery addresses, so that those issued before stop working."""
    return _change(image.c.id == image_id, delivery_epoch=image.c.delivery_epoch + 1)


@made_by(Mover.API)
def trash(image_id: UUID) -> Update:
    """Put an image into the trash."""
    return _change(image.c.id == image_id, image.c.deleted_at.is_(None), deleted_at=func.now())


@made_by(Mover.API)
def restore(image_id: UUID) -> Update:
    """Take an image out of the trash, unless it is being purged."""
    return _change(
        image.c.id == image_id, image.c.deleted_at.is_not(None), image.c.purge_marked_at.is_(None), deleted_at=None
    )


@made_by(Mover.SWEEP)
def trash_of_team(team_id: UUID, limit: int) -> Update:
    """Put images of a team that was removed into the trash."""
    remaining = and_(image.c.team_id == team_id, image.c.deleted_at.is_(None), image.c.status != ImageStatus.EXPIRED)
    return _change(_unlocked(remaining, limit), deleted_at=func.now())


@made_by(Mover.SWEEP)
def mark_for_purge(retention: timedelta, limit: int, team_id: UUID | None = None) -> Update:
    """Mark images for purge after their time in the trash; those of a removed team even if they are not uploaded."""
    is_uploaded = image.c.status != ImageStatus.PENDING if team_id is None else image.c.team_id == team_id
    is_overdue = and_(
        image.c.deleted_at < func.now() - retention,
        image.c.purge_marked_at.is_(None),
        or_(and_(is_uploaded, image.c.status != ImageStatus.PROCESSING), image.c.lease_expires_at < func.now()),
        true() if team_id is None else image.c.team_id == team_id,
    )
    # From now on, deadline and attempts are those of the purge.
    marked = {"purge_marked_at": func.now(), "deadline_at": func.now(), "attempts": 0}
    return update(image).where(_unlocked(is_overdue, limit)).values(**marked)


@made_by(Mover.SWEEP)
def defer_purge(limit: int) -> Update:
    """Select marked images for removal and schedule the next attempt, in case this one does not complete."""
    due = (
        select(image.c.id)
        .where(image.c.deleted_at.is_not(None), image.c.purge_marked_at.is_not(None))
        .where(func.coalesce(image.c.deadline_at, func.now()) <= func.now())
        .order_by(image.c.deadline_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return (
        update(image)
        .where(image.c.id.in_(due.scalar_subquery()))
        .values(attempts=image.c.attempts + 1, deadline_at=discards.retry_at(image.c.attempts))
    )


@made_by(Mover.SWEEP)
def clear_uploader(user_id: UUID, limit: int) -> Update:
    """Clear the uploader of images whose uploader is being removed."""
    return update(image).where(_unlocked(image.c.uploaded_by == user_id, limit)).values(uploaded_by=None)
