"""The SQL of a job: claim, completion, release, end."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Uuid, bindparam, case, delete, insert, select

from image_core.db import Query, Record, Runner, Transaction
from image_core.delivery.spec import FocalPoint, Recipe
from image_core.ids import new_id
from image_core.images import failures, transitions
from image_core.images.discards import schedule_removal
from image_core.images.object_names import Bucket, claim_folder
from image_core.images.presets import eager_recipes, focal_point_of, presets_of_team
from image_core.images.removal.lost_originals import IS_LOST
from image_core.models import HOLDS_BYTES_CLAUSE, derivative, image, rendition, team, upload_session
from image_core.states import Failure, LabelSource
from image_processor.parts import Digests


class ImageClaim(NamedTuple):
    """The right to finish one image. `discard_id` is the scheduled removal of its objects, cancelled on success."""

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
    """How many attempts have counted so far, including this one."""
    eager: Mapping[str, Recipe] = MappingProxyType({})
    """What the team's eager presets are made of at the time of the claim, by name."""

    @property
    def is_first(self) -> bool:
        """Return whether the image was never ready, so that no earlier processing left anything."""
        return self.first_stored_at is not None


def _of_team(column: Column[Any]) -> ColumnElement[Any]:
    return select(column).where(team.c.id == image.c.team_id).scalar_subquery().label(column.name)


_find = Query(
    select(
        image.c.id, image.c.team_id, image.c.status, image.c.generation, image.c.object_name, image.c.deleted_at,
        image.c.purge_marked_at, image.c.attempts, image.c.trace_parent, image.c.content_type, image.c.duplicate_of,
        upload_session.c.size_bytes.label("declared_bytes"), upload_session.c.sha256.label("declared_sha256"),
    )
    .outerjoin_from(image, upload_session)
    .where(image.c.id == bindparam("image_id"))
)  # fmt: skip
_store = Query(transitions.store().returning(image.c.revision))
_claim = Query(
    transitions.claim().returning(
        image.c.team_id, image.c.object_name, image.c.size_bytes, image.c.sha256, image.c.trace_parent,
        image.c.lease_expires_at, image.c.attempts, image.c.focal_x, image.c.focal_y,
        case((image.c.ready_at.is_(None), image.c.stored_at)).label("first_stored_at"),
        _of_team(team.c.keep_location), _of_team(team.c.analyze_on_arrival),
        _of_team(team.c.label_source),
    )
)  # fmt: skip

_remove_renditions = Query(
    delete(rendition).where(rendition.c.image_id == bindparam("image_id")).returning(rendition.c.object_name)
)


@cache
def _finish(columns: frozenset[str]) -> Query:
    return Query(transitions.finish(columns).returning(image.c.focal_x, image.c.focal_y, image.c.revision))


async def find(runner: Runner, image_id: UUID) -> Record | None:
    """Return the columns that determine how a message is handled; those declared belong to direct uploads only."""
    return await runner.fetch_one(_find, image_id=image_id)


async def mark_stored(
    transaction: Transaction, image_id: UUID, generation: int, size_bytes: int, digests: Digests
) -> int | None:
    """Move a row from pending to stored, with the properties of the bytes; return its revision.

    Return None if the API was faster.

    Raises:
        db.UniqueViolation: The team has these bytes already.
    """
    revision: int | None = await transaction.fetch_value(
        _store, image_id=image_id, new_generation=generation, new_size_bytes=size_bytes, new_sha256=digests.sha256,
        new_crc32c=digests.crc32c,
    )  # fmt: skip
    return revision


async def find_existing(runner: Runner, team_id: UUID, sha256: bytes) -> Record | None:
    """Return ID of the team's image with these bytes outside the trash, and whether its original is lost."""
    return await runner.fetch_one(
        select(image.c.id, IS_LOST.label("is_lost")).where(
            image.c.team_id == team_id,
            image.c.sha256 == sha256,
            HOLDS_BYTES_CLAUSE,
            image.c.deleted_at.is_(None),
        )
    )


async def claim(
    transaction: Transaction, image_id: UUID, generation: int, max_attempts: int, lease: timedelta
) -> ImageClaim | None:
    """Claim an image; return None if it cannot be claimed. Only one caller can win.

    The claim also schedules the removal of what it writes, which `finish` cancels.
    """
    token, discard_id = new_id(), new_id()
    row = await transaction.fetch_one(
        _claim, image_id=image_id, of_generation=generation, max_attempts=max_attempts, new_token=token, lease=lease
    )
    if row is None:
        return None
    folder = claim_folder(row["team_id"], image_id, generation, token)
    # Twice the lease: if a claim is held longer, its objects are removed and its work is discarded.
    await schedule_removal(transaction, Bucket.DERIVATIVES, folder, None, lease * 2, discard_id)
    eager = eager_recipes(await presets_of_team(transaction, row["team_id"]), focal_point_of(row))
    return ImageClaim(
        image_id, row["team_id"], row["object_name"], generation, row["size_bytes"], row["sha256"], token, discard_id,
        folder, row["keep_location"], row["trace_parent"], row["analyze_on_arrival"], row["label_source"],
        row["first_stored_at"], row["attempts"], eager,
    )  # fmt: skip


class ClaimLost(Exception):
    """The claim expired and another job has the image, or the sweep has begun to remove what was written."""


class Finished(NamedTuple):
    """What a finished image is like; nobody changes it until the transaction ends."""

    revision: int
    focal_point: FocalPoint | None


async def finish(transaction: Transaction, claimed: ImageClaim, values: dict[str, Any]) -> Finished:
    """Move an image from processing to ready.

    Raises:
        ClaimLost: Another job has the image; the transaction must be rolled back.
    """
    row = await transaction.fetch_one(
        _finish(frozenset(values)), image_id=claimed.image_id, new_token=claimed.token, discard_id=claimed.discard_id,
        **{f"new_{name}": value for name, value in values.items()},
    )  # fmt: skip
    if row is None:
        raise ClaimLost
    return Finished(row["revision"], focal_point_of(row))


async def fail(transaction: Transaction, claimed: ImageClaim, failure: Failure) -> Record | None:
    """Fail an image, or leave it ready as before; return None if the claim was lost."""
    failed = transitions.fail(claimed.image_id, claimed.token, failure)
    return await transaction.fetch_one(failed.returning(*failures.COLUMNS))


async def release(transaction: Transaction, claimed: ImageClaim, *, counted: bool) -> bool:
    """Release a claim, because the message will be pushed again; return False if the claim was lost."""
    released = transitions.release(claimed.image_id, claimed.token, counted=counted)
    return await transaction.execute(released) == 1


async def give_up(transaction: Transaction, image_id: UUID, max_attempts: int) -> Record | None:
    """Give up an image without attempts left; return None if it has some, or if a job works on it."""
    ended = transitions.give_up(image_id, max_attempts)
    return await transaction.fetch_one(ended.returning(*failures.COLUMNS))


async def remove_derivatives(transaction: Transaction, image_id: UUID) -> list[str]:
    """Remove the rows of an image's derivatives and return the names of their objects."""
    removed = await transaction.fetch(
        delete(derivative).where(derivative.c.image_id == image_id).returning(derivative.c.object_name)
    )
    return [row["object_name"] for row in removed]


async def remove_renditions(transaction: Transaction, image_id: UUID) -> list[str]:
    """Remove the rows of an image's renditions, of every generation, and return the names of their objects."""
    removed = await transaction.fetch(_remove_renditions, image_id=image_id)
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
