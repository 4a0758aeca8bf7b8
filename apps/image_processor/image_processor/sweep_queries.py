"""The SQL of the sweep. Rows are taken with SKIP LOCKED, so that two sweeps share them."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, delete, exists, func, or_, select, update

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
from image_processor.queries import EXHAUSTED, MOST_PATIENCE, discard, ended

_TOUCH: dict[str, Any] = {"revision": image.c.revision + 1, "updated_at": func.now()}
_REMOVAL_RETRY = timedelta(minutes=5)


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
    return await database.execute(update(image).where(_picked(over, most)).values(purge_marked_at=func.now()))


async def marked_for_purge(database: Database, most: int) -> list[Record]:
    """What is marked, also by a sweep that did not come through."""
    return await database.fetch(
        select(image.c.id, image.c.team_id, image.c.object_name, image.c.generation, image.c.sha256)
        .where(image.c.deleted_at.is_not(None), image.c.purge_marked_at.is_not(None))
        .order_by(image.c.deleted_at)
        .limit(most)
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
            .values(attempts=discarded_object.c.attempts + 1, remove_after=func.now() + _REMOVAL_RETRY)
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


async def remove_old_events(database: Database, retention: timedelta) -> int:
    """Deletes published events beyond their retention."""
    return await database.execute(delete(event).where(event.c.published_at < func.now() - retention))


async def remove_expired(database: Database, retention: timedelta) -> int:
    """Deletes the rows of expired uploads beyond the retention."""
    return await database.execute(
        delete(image).where(image.c.status == ImageStatus.EXPIRED, image.c.updated_at < func.now() - retention)
    )


async def remove_old_sign_ins(database: Database) -> int:
    """Deletes invitations, password resets and delays that are over, and sessions a month after their end.

    Until then a session tells from which addresses its account has signed in, which spares those a delay.
    """
    removed = 0
    for table in (invitation, password_reset):
        removed += await database.execute(delete(table).where(table.c.expires_at < func.now()))
    removed += await database.execute(delete(session).where(session.c.expires_at < func.now() - timedelta(days=30)))
    old = sign_in_delay.c.last_failed_at < func.now() - timedelta(days=1)
    return removed + await database.execute(delete(sign_in_delay).where(old))


async def remove_idempotency_keys(database: Database) -> int:
    """Deletes the answers, and what is left of claims, whose time is over."""
    return await database.execute(delete(idempotency_key).where(idempotency_key.c.expires_at < func.now()))
