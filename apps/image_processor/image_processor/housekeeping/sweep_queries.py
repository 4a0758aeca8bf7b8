"""The SQL of the sweep. Rows are taken with SKIP LOCKED, so that two sweeps share them."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    and_,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    true,
    update,
)

from image_core.db import Database, Record, Transaction
from image_core.models import (
    HOLDS_BYTES_CLAUSE,
    credential,
    discarded_object,
    event,
    idempotency_key,
    image,
    invitation,
    password_reset,
    session,
    sign_in_delay,
    user,
)
from image_core.states import ImageStatus
from image_processor.failures import MOST_PATIENCE
from image_processor.images.queries import EXHAUSTED, discard, ended

_TOUCH: dict[str, Any] = {"revision": image.c.revision + 1, "updated_at": func.now()}
_FIRST_RETRY, _LAST_RETRY = timedelta(minutes=5), timedelta(days=1)


def _retry_at(attempts: Column[Any]) -> ColumnElement[Any]:
    """Give the time of the next try after so many: the longer it has failed, the later."""
    return func.now() + func.least(_FIRST_RETRY * func.power(2, func.least(attempts, 20)), _LAST_RETRY)


def _picked(condition: ColumnElement[bool], most: int) -> ColumnElement[bool]:
    """Restricts an UPDATE of images to a bounded number of rows that nobody else is working on."""
    rows = select(image.c.id).where(condition).limit(most).with_for_update(skip_locked=True)
    return image.c.id.in_(rows.scalar_subquery())


def _is_given_up(max_attempts: int) -> ColumnElement[bool]:
    """Tell of an upload whose object was asked for too often, and for longer than an outage may take."""
    return and_(image.c.attempts > max_attempts, image.c.created_at < func.now() - MOST_PATIENCE)


async def take_overdue(database: Database, lease: timedelta, max_attempts: int, most: int) -> list[Record]:
    """Pending rows beyond their deadline, each put off by a lease while it is looked at."""
    overdue = and_(image.c.status == ImageStatus.PENDING, image.c.deadline_at < func.now())
    async with database.transaction() as transaction:
        return await transaction.fetch(
            update(image)
            .where(_picked(overdue, most))
            .values(deadline_at=func.now() + lease, attempts=image.c.attempts + 1)
            .returning(
                image.c.id, image.c.team_id, image.c.object_name, image.c.trace_parent,
                _is_given_up(max_attempts).label("given_up"),
            )
        )  # fmt: skip


async def expire_overdue(transaction: Transaction, image_id: UUID, object_name: str, after: timedelta) -> None:
    """Pending → expired, after the deadline; a PUT that still lands is removed later."""
    moved = await transaction.execute(
        update(image)
        .where(image.c.id == image_id, image.c.status == ImageStatus.PENDING)
        .values(
            status=ImageStatus.EXPIRED, failure_code="upload-expired",
            failure_message="The upload did not arrive before its deadline.", **_TOUCH,
        )
    )  # fmt: skip
    if moved:
        await discard(transaction, "originals", object_name, None, after)


def _waiting(lease: timedelta) -> ColumnElement[bool]:
    return and_(
        image.c.deleted_at.is_(None),
        or_(
            and_(image.c.status == ImageStatus.STORED, image.c.queued_at < func.now() - lease),
            and_(image.c.status == ImageStatus.PROCESSING, image.c.lease_expires_at < func.now()),
        ),
    )


async def requeue(transaction: Transaction, lease: timedelta, max_attempts: int, most: int) -> list[Record]:
    """Waiting rows with attempts left → stored, to be asked for again."""
    return await transaction.fetch(
        update(image)
        .where(_picked(and_(_waiting(lease), image.c.attempts < max_attempts), most))
        .values(status=ImageStatus.STORED, claim_token=None, lease_expires_at=None, queued_at=func.now(), **_TOUCH)
        .returning(image.c.id, image.c.team_id, image.c.object_name, image.c.generation, image.c.trace_parent)
    )


async def fail_exhausted(transaction: Transaction, lease: timedelta, max_attempts: int, most: int) -> list[Record]:
    """Waiting rows without attempts left → failed, or ready as before."""
    return await transaction.fetch(
        update(image)
        .where(_picked(and_(_waiting(lease), image.c.attempts >= max_attempts), most))
        .values(**ended(*EXHAUSTED), **_TOUCH)
        .returning(image.c.id, image.c.team_id, image.c.status, image.c.trace_parent)
    )


async def mark_for_purge(database: Database, retention: timedelta, most: int) -> int:
    """Marks what has been in the trash for too long; nobody restores it any more. Work under way is waited for."""
    over = and_(
        image.c.deleted_at < func.now() - retention,
        image.c.purge_marked_at.is_(None),
        or_(
            and_(image.c.status != ImageStatus.PENDING, image.c.status != ImageStatus.PROCESSING),
            image.c.lease_expires_at < func.now(),
        ),
    )
    # From the mark on, deadline and attempts are those of the purge.
    marked = {"purge_marked_at": func.now(), "deadline_at": func.now(), "attempts": 0}
    return await database.execute(update(image).where(_picked(over, most)).values(**marked))


async def take_marked(database: Database, most: int) -> list[Record]:
    """What is marked, also by a sweep that did not come through; each put off while its objects are removed."""
    due = (
        select(image.c.id)
        .where(image.c.deleted_at.is_not(None), image.c.purge_marked_at.is_not(None))
        .where(func.coalesce(image.c.deadline_at, func.now()) <= func.now())
        .order_by(image.c.deadline_at)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    async with database.transaction() as transaction:
        return await transaction.fetch(
            update(image)
            .where(image.c.id.in_(due.scalar_subquery()))
            .values(attempts=image.c.attempts + 1, deadline_at=_retry_at(image.c.attempts))
            .returning(image.c.id, image.c.team_id, image.c.object_name, image.c.generation, image.c.sha256)
        )


async def remove_purged(transaction: Transaction, image_id: UUID) -> bool:
    """Deletes the row of an image whose objects are gone; its derivatives' rows go with it."""
    removed = await transaction.execute(
        delete(image).where(image.c.id == image_id, image.c.purge_marked_at.is_not(None))
    )
    return removed == 1


async def take_discarded(database: Database, most: int) -> list[Record]:
    """Objects whose removal is due, taken by counting an attempt: from then on no claim can keep them.

    An original that a living row names is never taken, whatever has been asked.
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
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    async with database.transaction() as transaction:
        return await transaction.fetch(
            update(discarded_object)
            .where(discarded_object.c.id.in_(due.scalar_subquery()))
            .values(
                attempts=discarded_object.c.attempts + 1, remove_after=_retry_at(discarded_object.c.attempts)
            )
            .returning(
                discarded_object.c.id, discarded_object.c.bucket, discarded_object.c.object_name,
                discarded_object.c.generation,
            )
        )  # fmt: skip


async def forget_discarded(database: Database, discard_id: UUID) -> None:
    """The object is gone."""
    await database.execute(delete(discarded_object).where(discarded_object.c.id == discard_id))


async def count_overdue(database: Database) -> int:
    """How many objects should have been removed by now."""
    statement = select(func.count()).where(discarded_object.c.remove_after < func.now())
    return int(await database.fetch_value(statement.select_from(discarded_object)))


async def outbox_age_seconds(database: Database) -> float:
    """Age of the oldest event that is not published; 0 where there is none."""
    oldest = select(func.min(event.c.created_at)).where(event.c.published_at.is_(None)).scalar_subquery()
    age = await database.fetch_value(select(func.extract("epoch", func.now() - oldest)))
    return float(age or 0)


async def warn_of_expiry(transaction: Transaction, most: int) -> list[Record]:
    """Keys about to end whose warning is due, marked as told: a week before their end, and a day before it."""
    week, day = (credential.c.expires_at <= func.now() + timedelta(days=days) for days in (7, 1))
    due = (
        select(credential.c.id)
        .join(user, user.c.id == credential.c.user_id)
        .where(
            credential.c.revoked_at.is_(None),
            credential.c.expiry_warnings < 2,
            credential.c.expires_at > func.now(),
            or_(day, and_(week, credential.c.expiry_warnings == 0)),
            user.c.disabled_at.is_(None),
        )
        .limit(most)
        .with_for_update(of=credential, skip_locked=True)
    )
    return await transaction.fetch(
        update(credential)
        .where(credential.c.id.in_(due.scalar_subquery()), user.c.id == credential.c.user_id)
        .values(expiry_warnings=case((day, 2), else_=1))
        .returning(
            credential.c.id, credential.c.user_id, credential.c.name, credential.c.public_id, credential.c.expires_at,
            user.c.team_id,
        )
    )  # fmt: skip


def old_rows(event_retention: timedelta, trash_retention: timedelta) -> list[tuple[Column[Any], ColumnElement[bool]]]:
    """Tell what is kept no longer: by table, the column of its age and the condition.

    A session tells for another month from which addresses its account has signed in, which spares those a delay.
    """
    ages = (
        (event.c.published_at, event_retention),
        (image.c.updated_at, trash_retention),
        (invitation.c.expires_at, timedelta()),
        (password_reset.c.expires_at, timedelta()),
        (session.c.expires_at, timedelta(days=30)),
        (sign_in_delay.c.last_failed_at, timedelta(days=1)),
        (idempotency_key.c.expires_at, timedelta()),
    )
    only = {image.c.updated_at: image.c.status == ImageStatus.EXPIRED}
    return [(moment, and_(moment < func.now() - age, only.get(moment, true()))) for moment, age in ages]


async def remove_oldest(database: Database, moment: Column[Any], condition: ColumnElement[bool], most: int) -> int:
    """Deletes about so many rows: a statement over all of them might never end within its time.

    Of most of these tables the processor may read no other column.
    """
    oldest = select(moment).where(condition).order_by(moment).limit(most).subquery()
    last = select(func.max(oldest.c[moment.name])).scalar_subquery()
    return await database.execute(delete(moment.table).where(condition, moment <= last))
