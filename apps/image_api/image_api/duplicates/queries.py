"""The SQL of near-duplicates and of decisions about them."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Integer, Uuid, bindparam, case, delete, exists, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from image_api.http.pagination import Cursor, newest_first
from image_api.images.columns import SUMMARY_COLUMNS
from image_core.db import Query, Record, Runner, Transaction
from image_core.ids import new_id
from image_core.models import duplicate_decision, image, near_duplicate
from image_core.states import ImageStatus

_team_id = bindparam("team_id", type_=Uuid)
_IDS = ARRAY(Uuid)


def _shown(image_id: Column[UUID]) -> ColumnElement[bool]:
    return exists().where(image.c.id == image_id, image.c.status == ImageStatus.READY, image.c.deleted_at.is_(None))


# The team's pairs within the distance, of visible images, without a decision.
_open_clauses = (
    near_duplicate.c.team_id == _team_id,
    near_duplicate.c.distance <= bindparam("max_distance", type_=Integer),
    _shown(near_duplicate.c.image_id_a),
    _shown(near_duplicate.c.image_id_b),
    ~exists().where(
        duplicate_decision.c.image_id_a == near_duplicate.c.image_id_a,
        duplicate_decision.c.image_id_b == near_duplicate.c.image_id_b,
    ),
)
_before = bindparam("before", type_=Uuid)
_newest = Query(
    select(near_duplicate.c.image_id_b)
    .where(*_open_clauses, or_(_before.is_(None), near_duplicate.c.image_id_b < _before))
    .distinct()
    .order_by(near_duplicate.c.image_id_b.desc())
    .limit(bindparam("limit"))
)
_reached = select(func.unnest(bindparam("image_ids", type_=_IDS), type_=Uuid).label("image_id")).cte(
    "reached", recursive=True
)
_reached = _reached.union(
    select(
        case(
            (near_duplicate.c.image_id_a == _reached.c.image_id, near_duplicate.c.image_id_b),
            else_=near_duplicate.c.image_id_a,
        )
    )
    .select_from(_reached)
    .join(
        near_duplicate,
        or_(near_duplicate.c.image_id_a == _reached.c.image_id, near_duplicate.c.image_id_b == _reached.c.image_id),
    )
    .where(*_open_clauses)
)
_around = Query(
    select(near_duplicate.c.image_id_a, near_duplicate.c.image_id_b, near_duplicate.c.distance)
    .where(
        *_open_clauses,
        # Evaluated only as far as needed, so that a huge group is not walked to its end.
        near_duplicate.c.image_id_a.in_(select(_reached.c.image_id).limit(bindparam("limit"))),
    )
    .order_by(near_duplicate.c.distance, near_duplicate.c.image_id_a, near_duplicate.c.image_id_b)
)
_summaries = Query(
    select(*SUMMARY_COLUMNS).where(
        image.c.id == func.any(bindparam("image_ids", type_=_IDS)), image.c.team_id == _team_id
    )
)


_held = Query(
    select(image.c.id, image.c.team_id)
    .where(
        image.c.id == func.any(bindparam("image_ids", type_=_IDS)),
        or_(_team_id.is_(None), image.c.team_id == _team_id),
        image.c.purge_marked_at.is_(None),
    )
    .order_by(image.c.id)
    .with_for_update(read=True, key_share=True)
)


async def newest(runner: Runner, team_id: UUID, max_distance: int, before: UUID | None, limit: int) -> list[UUID]:
    """Return images that are the newer ones of a pair, newest first."""
    rows = await runner.fetch(_newest, team_id=team_id, max_distance=max_distance, before=before, limit=limit)
    return [row[0] for row in rows]


async def pairs_around(
    runner: Runner, team_id: UUID, max_distance: int, image_ids: Collection[UUID], limit: int
) -> list[Record]:
    """Return the pairs of the groups of these images, nearest first, among the first `limit` images."""
    values = {"team_id": team_id, "max_distance": max_distance, "image_ids": list(image_ids)}
    return await runner.fetch(_around, **values, limit=limit)


async def summaries(runner: Runner, team_id: UUID, image_ids: Collection[UUID]) -> list[Record]:
    """Return summaries of these images."""
    return await runner.fetch(_summaries, team_id=team_id, image_ids=list(image_ids))


async def lock_images(transaction: Transaction, team_id: UUID | None, image_ids: Collection[UUID]) -> list[Record]:
    """Return the images that the caller sees, locked against purging until the commit; null means all teams."""
    return await transaction.fetch(_held, team_id=team_id, image_ids=list(image_ids))


async def decide(transaction: Transaction, team_id: UUID, pair: tuple[UUID, UUID], user_id: UUID) -> Record | None:
    """Record that a pair is not a duplicate; return None if that was recorded before."""
    return await transaction.fetch_one(
        insert(duplicate_decision)
        .values(id=new_id(), team_id=team_id, image_id_a=pair[0], image_id_b=pair[1], decided_by=user_id)
        .on_conflict_do_nothing()
        .returning(duplicate_decision)
    )


async def find_decision(runner: Runner, team_id: UUID, pair: tuple[UUID, UUID]) -> Record | None:
    """Return the decision about a pair."""
    return await runner.fetch_one(
        select(duplicate_decision).where(
            duplicate_decision.c.team_id == team_id,
            duplicate_decision.c.image_id_a == pair[0],
            duplicate_decision.c.image_id_b == pair[1],
        )
    )


async def undo(transaction: Transaction, team_id: UUID | None, decision_id: UUID) -> Record | None:
    """Remove a decision that a caller sees; null means those of all teams, for an admin."""
    statement = delete(duplicate_decision).where(duplicate_decision.c.id == decision_id)
    if team_id is not None:
        statement = statement.where(duplicate_decision.c.team_id == team_id)
    return await transaction.fetch_one(statement.returning(duplicate_decision))


async def page_of_decisions(runner: Runner, team_id: UUID, cursor: Cursor | None, limit: int) -> list[Record]:
    """Return decisions of a team, newest first."""
    decision = duplicate_decision.c
    statement = select(duplicate_decision).where(decision.team_id == team_id)
    return await runner.fetch(newest_first(statement, decision.created_at, decision.id, cursor, limit))
