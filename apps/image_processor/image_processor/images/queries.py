"""The SQL of a job: claim, completion, release, end."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Interval,
    Uuid,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from image_core.db import Query, Record, Runner, Transaction
from image_core.ids import new_id
from image_core.models import HOLDS_BYTES_CLAUSE, derivative, discarded_object, image, team
from image_core.states import ImageStatus, LabelSource
from image_processor.failures import MOST_PATIENCE


class Claim(NamedTuple):
    """The right to finish one image. `discard_id` is the row that removes our derivatives if we do not."""

    image_id: UUID
    team_id: UUID
    object_name: str
    generation: int
    size_bytes: int
    sha256: bytes
    token: UUID
    discard_id: UUID
    folder: str
    keep_location: bool
    trace_parent: str | None
    analyze_on_arrival: Sequence[str] = ()
    label_source: str = LabelSource.OWN
    first_stored_at: datetime | None = None
    """When an image that was never ready was stored; null for one that is processed again."""
    attempts: int = 1
    """How many have counted so far, this one included."""

    @property
    def is_first(self) -> bool:
        """Whether the image was never ready, so that an earlier processing left nothing."""
        return self.first_stored_at is not None


_lapsed = and_(image.c.status == ImageStatus.PROCESSING, image.c.lease_expires_at < func.now())


def _of_the_team(column: Column[Any]) -> ColumnElement[Any]:
    return select(column).where(team.c.id == image.c.team_id).scalar_subquery().label(column.name)


# Names of parameters begin with `new_`, as those of the columns are SQLAlchemy's own.
_find = Query(
    select(
        image.c.id, image.c.team_id, image.c.status, image.c.generation, image.c.object_name, image.c.deleted_at,
        image.c.purge_marked_at, image.c.attempts, image.c.trace_parent,
    ).where(image.c.id == bindparam("image_id"))
)  # fmt: skip
_mark_stored = Query(
    update(image)
    .where(image.c.id == bindparam("image_id"), image.c.status == ImageStatus.PENDING)
    .values(
        status=ImageStatus.STORED, generation=bindparam("new_generation"), size_bytes=bindparam("new_size_bytes"),
        sha256=bindparam("new_sha256"), stored_at=func.now(), queued_at=func.now(), attempts=0,
        revision=image.c.revision + 1, updated_at=func.now(),
    )
)  # fmt: skip
_claim = Query(
    update(image)
    .where(
        image.c.id == bindparam("image_id"),
        image.c.generation == bindparam("of_generation"),
        image.c.deleted_at.is_(None),
        image.c.attempts < bindparam("max_attempts"),
        or_(image.c.status == ImageStatus.STORED, _lapsed),
    )
    .values(
        status=ImageStatus.PROCESSING, claim_token=bindparam("new_token"),
        lease_expires_at=func.now() + bindparam("lease", type_=Interval), attempts=image.c.attempts + 1,
        first_claimed_at=func.coalesce(image.c.first_claimed_at, func.now()), revision=image.c.revision + 1,
        updated_at=func.now(),
    )
    .returning(
        image.c.team_id, image.c.object_name, image.c.size_bytes, image.c.sha256, image.c.trace_parent,
        image.c.lease_expires_at, image.c.attempts,
        case((image.c.ready_at.is_(None), image.c.stored_at)).label("first_stored_at"),
        _of_the_team(team.c.keep_location), _of_the_team(team.c.analyze_on_arrival),
        _of_the_team(team.c.label_source),
    )
)  # fmt: skip
_discard = Query(
    insert(discarded_object).values(
        id=bindparam("discard_id"), bucket=bindparam("new_bucket"), object_name=bindparam("new_object_name"),
        generation=bindparam("new_generation"), remove_after=func.now() + bindparam("after", type_=Interval),
    )
)  # fmt: skip


async def find(runner: Runner, image_id: UUID) -> Record | None:
    """The columns that decide what becomes of a message."""
    return await runner.fetch_one(_find, image_id=image_id)


async def mark_stored(
    transaction: Transaction, image_id: UUID, generation: int, size_bytes: int, sha256: bytes
) -> bool:
    """Pending → stored, with what the bytes say; false if the API was first.

    Raises `db.UniqueViolation` if the team holds these bytes already.
    """
    moved = await transaction.execute(
        _mark_stored, image_id=image_id, new_generation=generation, new_size_bytes=size_bytes, new_sha256=sha256
    )
    return moved == 1


async def find_twin(runner: Runner, team_id: UUID, sha256: bytes) -> UUID | None:
    """The team's living image with these bytes."""
    found: UUID | None = await runner.fetch_value(
        select(image.c.id).where(
            image.c.team_id == team_id,
            image.c.sha256 == sha256,
            HOLDS_BYTES_CLAUSE,
            image.c.deleted_at.is_(None),
        )
    )
    return found


async def expire(transaction: Transaction, image_id: UUID, code: str, message: str, twin_id: UUID | None) -> bool:
    """Pending → expired; false if it is not pending any more."""
    moved = await transaction.execute(
        update(image)
        .where(image.c.id == image_id, image.c.status == ImageStatus.PENDING)
        .values(
            status=ImageStatus.EXPIRED, failure_code=code, failure_message=message, duplicate_of=twin_id,
            revision=image.c.revision + 1, updated_at=func.now(),
        )
    )  # fmt: skip
    return moved == 1


async def claim(
    transaction: Transaction, image_id: UUID, generation: int, max_attempts: int, lease: timedelta
) -> Claim | None:
    """The claim of state.md: one UPDATE decides who works on an image; None if it is not ours to take.

    With it goes the promise that what this claim writes is removed unless the claim is made good.
    """
    token, discard_id = new_id(), new_id()
    row = await transaction.fetch_one(
        _claim, image_id=image_id, of_generation=generation, max_attempts=max_attempts, new_token=token, lease=lease
    )
    if row is None:
        return None
    folder = f"derivatives/{row['team_id']}/{image_id}/{generation}-{token}/"
    # Twice the lease: whoever holds a claim for longer finds its promise kept, and its work thrown away.
    await discard(transaction, "derivatives", folder, None, lease * 2, discard_id)
    return Claim(
        image_id, row["team_id"], row["object_name"], generation, row["size_bytes"], row["sha256"], token, discard_id,
        folder, row["keep_location"], row["trace_parent"], row["analyze_on_arrival"], row["label_source"],
        row["first_stored_at"], row["attempts"],
    )  # fmt: skip


async def discard(
    transaction: Transaction,
    bucket: str,
    object_name: str,
    generation: int | None,
    after: timedelta,
    discard_id: UUID | None = None,
) -> None:
    """Asks the sweep to remove an object, or everything under a name that ends in a slash, after a while."""
    await transaction.execute(
        _discard, discard_id=discard_id or new_id(), new_bucket=bucket, new_object_name=object_name,
        new_generation=generation, after=after,
    )  # fmt: skip


class ClaimLost(Exception):
    """The claim lapsed and somebody else has the image, or the sweep has begun to remove what was written."""


async def finish(transaction: Transaction, claimed: Claim, values: dict[str, Any]) -> None:
    """Processing → ready. Raises `ClaimLost`, which must undo the transaction."""
    moved = await transaction.execute(
        _finish(frozenset(values)), image_id=claimed.image_id, token=claimed.token, discard_id=claimed.discard_id,
        **{f"new_{name}": value for name, value in values.items()},
    )  # fmt: skip
    if moved != 1:
        raise ClaimLost


@cache
def _finish(columns: frozenset[str]) -> Query:
    kept = (
        delete(discarded_object)
        .where(discarded_object.c.id == bindparam("discard_id"), discarded_object.c.attempts == 0)
        .returning(discarded_object.c.id)
        .cte("kept")
    )
    values = {name: bindparam(f"new_{name}", type_=image.c[name].type) for name in columns}
    return Query(
        update(image)
        .where(
            image.c.id == bindparam("image_id"), image.c.claim_token == bindparam("token"),
            image.c.status == ImageStatus.PROCESSING, exists(select(kept.c.id)),
        )
        .values(
            status=ImageStatus.READY, ready_at=func.now(), claim_token=None, lease_expires_at=None,
            first_claimed_at=None, revision=image.c.revision + 1, updated_at=func.now(), **values,
        )
    )  # fmt: skip


def ended(code: str, message: str) -> dict[str, Any]:
    """Give the columns of an image whose processing failed: one that was ready before is ready again, as it was."""
    was_ready = image.c.ready_at.is_not(None)
    return {
        "status": case((was_ready, ImageStatus.READY), else_=ImageStatus.FAILED),
        "failure_code": case((was_ready, None), else_=code),
        "failure_message": case((was_ready, None), else_=message),
        "claim_token": None,
        "lease_expires_at": None,
        "first_claimed_at": None,
    }


EXHAUSTED = ("processing-attempts-exhausted", "Processing was tried several times and did not come through.")


async def fail(transaction: Transaction, claimed: Claim, code: str, message: str) -> ImageStatus | None:
    """Processing → failed, or ready as before; gives the new status, None if the claim was lost."""
    return await _move(transaction, claimed, **ended(code, message))


async def release(transaction: Transaction, claimed: Claim, *, counted: bool) -> bool:
    """Processing → stored: the push will come again. The attempt counts if that is said, or after a day of trying."""
    attempts: Any = image.c.attempts
    if not counted:
        young = image.c.first_claimed_at > func.now() - MOST_PATIENCE
        attempts = case((young, image.c.attempts - 1), else_=image.c.attempts)
    moved = await _move(transaction, claimed, status=ImageStatus.STORED, queued_at=func.now(), attempts=attempts)
    return moved is not None


async def _move(transaction: Transaction, claimed: Claim, **values: Any) -> ImageStatus | None:
    columns = {"claim_token": None, "lease_expires_at": None} | values
    moved = await transaction.fetch_value(
        update(image)
        .where(
            image.c.id == claimed.image_id,
            image.c.claim_token == claimed.token,
            image.c.status == ImageStatus.PROCESSING,
        )
        .values(revision=image.c.revision + 1, updated_at=func.now(), **columns)
        .returning(image.c.status)
    )
    return None if moved is None else ImageStatus(moved)


async def fail_exhausted(transaction: Transaction, image_id: UUID, max_attempts: int) -> Record | None:
    """stored, or processing with a lease that ran out → failed or ready as before, because no attempt is left."""
    return await transaction.fetch_one(
        update(image)
        .where(
            image.c.id == image_id,
            image.c.attempts >= max_attempts,
            or_(image.c.status == ImageStatus.STORED, _lapsed),
        )
        .values(revision=image.c.revision + 1, updated_at=func.now(), **ended(*EXHAUSTED))
        .returning(image.c.id, image.c.team_id, image.c.status, image.c.trace_parent)
    )


async def remove_derivatives(transaction: Transaction, image_id: UUID) -> list[str]:
    """Remove the rows of an image's derivatives and return the names of their objects."""
    removed = await transaction.fetch(
        delete(derivative).where(derivative.c.image_id == image_id).returning(derivative.c.object_name)
    )
    return [row["object_name"] for row in removed]


async def add_derivatives(transaction: Transaction, image_id: UUID, rows: list[dict[str, Any]]) -> None:
    """Insert the rows of an image's derivatives, which have the same columns."""
    if not rows:
        return
    values = {f"{name}_{number}": value for number, row in enumerate(rows) for name, value in row.items()}
    values |= {f"id_{number}": new_id() for number in range(len(rows))}
    await transaction.execute(_add_derivatives(len(rows), frozenset(rows[0])), image_id=image_id, **values)


@cache
def _add_derivatives(count: int, columns: frozenset[str]) -> Query:
    def row(number: int) -> dict[str, Any]:
        own = {name: bindparam(f"{name}_{number}", type_=derivative.c[name].type) for name in {"id", *columns}}
        return own | {"image_id": bindparam("image_id", type_=Uuid)}

    return Query(insert(derivative).values([row(number) for number in range(count)]))
