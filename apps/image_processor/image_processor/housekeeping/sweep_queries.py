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

from image_core.analyses import transitions as analysis_transitions
from image_core.db import Database, Record, Transaction
from image_core.images import transitions
from image_core.images.discards import promise_removal, retry_at
from image_core.images.object_names import Bucket
from image_core.models import (
    HOLDS_BYTES_CLAUSE,
    analysis,
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
from image_processor.analyses.queries import ENDED_COLUMNS as ANALYSIS_ENDED_COLUMNS
from image_processor.images.queries import ENDED_COLUMNS


async def take_overdue(database: Database, lease: timedelta, max_attempts: int, most: int) -> list[Record]:
    """Pending rows beyond their deadline, each put off by a lease while it is looked at."""
    async with database.transaction() as transaction:
        return await transaction.fetch(
            transitions.defer_overdue(lease, most).returning(
                image.c.id, image.c.team_id, image.c.object_name, image.c.trace_parent,
                transitions.is_given_up(max_attempts).label("given_up"),
            )
        )  # fmt: skip


async def expire_overdue(transaction: Transaction, image_id: UUID, object_name: str, after: timedelta) -> None:
    """Pending → expired, after the deadline; a PUT that still lands is removed later."""
    if await transaction.execute(transitions.expire(image_id, transitions.UPLOAD_EXPIRED)):
        await promise_removal(transaction, Bucket.ORIGINALS, object_name, None, after)


async def requeue(transaction: Transaction, lease: timedelta, max_attempts: int, most: int) -> list[Record]:
    """Waiting rows with attempts left → stored, to be asked for again."""
    return await transaction.fetch(
        transitions.requeue(lease, max_attempts, most).returning(
            image.c.id, image.c.team_id, image.c.object_name, image.c.generation, image.c.trace_parent
        )
    )


async def give_up_waiting(transaction: Transaction, lease: timedelta, max_attempts: int, most: int) -> list[Record]:
    """Waiting rows without attempts left → failed, or ready as before."""
    ended = transitions.give_up_waiting(lease, max_attempts, most)
    return await transaction.fetch(ended.returning(*ENDED_COLUMNS))


async def requeue_analyses(transaction: Transaction, lease: timedelta, max_attempts: int, most: int) -> list[Record]:
    """Waiting for longer than a lease, with attempts left → requested, to be asked for again."""
    requeued = analysis_transitions.requeue(lease, max_attempts, most)
    return await transaction.fetch(requeued.returning(analysis.c.id, analysis.c.team_id, analysis.c.trace_parent))


async def give_up_waiting_analyses(
    transaction: Transaction, lease: timedelta, max_attempts: int, most: int
) -> list[Record]:
    """Waiting, without attempts left → failed."""
    ended = analysis_transitions.give_up_waiting(lease, max_attempts, most)
    return await transaction.fetch(ended.returning(*ANALYSIS_ENDED_COLUMNS))


async def take_marked(database: Database, most: int) -> list[Record]:
    """What is marked, also by a sweep that did not come through; each put off while its objects are removed."""
    async with database.transaction() as transaction:
        return await transaction.fetch(
            transitions.defer_purge(most).returning(
                image.c.id, image.c.team_id, image.c.object_name, image.c.generation, image.c.sha256
            )
        )


async def remove_purged(transaction: Transaction, image_id: UUID) -> bool:
    """Deletes the row of an image whose objects are gone; its derivatives' rows go with it."""
    removed = await transaction.execute(
        delete(image).where(image.c.id == image_id, image.c.purge_marked_at.is_not(None))
    )
    return removed == 1


async def remove_analyses_of_purged(transaction: Transaction, team_id: UUID, sha256: bytes) -> None:
    """Removes what is known of bytes that no image of the team holds any more."""
    held = exists().where(image.c.team_id == team_id, image.c.sha256 == sha256)
    await transaction.execute(delete(analysis).where(analysis.c.team_id == team_id, analysis.c.sha256 == sha256, ~held))


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
                attempts=discarded_object.c.attempts + 1, remove_after=retry_at(discarded_object.c.attempts)
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
