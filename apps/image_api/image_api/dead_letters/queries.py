"""The SQL of dead letters. Only admins of the platform and housekeeping read them."""

from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Text, Uuid, bindparam, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert

from image_api.http.pagination import Cursor, newest_first
from image_core.db import Database, Query, Record, Runner, Transaction
from image_core.models import dead_letter
from image_core.states import DeadLetterStatus

MOST_COUNTED = 1000
PREVIEW_BYTES = 1000
_COLUMNS = dead_letter.c
_SHOWN = (
    *(column for column in _COLUMNS if column is not _COLUMNS.data),
    func.substr(_COLUMNS.data, 1, PREVIEW_BYTES).label("preview"),
    _COLUMNS.data.is_not(None).label("is_kept"),
)
_STORED = (
    "id", "subscription", "work_key", "team_id", "image_id", "data", "attributes", "size_bytes", "attempts",
    "source_published_at",
)  # fmt: skip
_FROM_THE_NEW = ("data", "attributes", "size_bytes", "attempts", "source_published_at")
_new = insert(dead_letter).values({name: bindparam(name, type_=_COLUMNS[name].type) for name in _STORED})
# Pub/Sub may forward a message several times. Only one that was published later is another failure of the same work.
_store = Query(
    _new.on_conflict_do_update(
        index_elements=["subscription", "work_key"],
        set_={
            **{name: _new.excluded[name] for name in _FROM_THE_NEW},
            "arrivals": _COLUMNS.arrivals + 1,
            "arrived_at": func.now(),
            "status": DeadLetterStatus.OPEN,
            "handled_at": None,
        },
        where=_COLUMNS.source_published_at < _new.excluded.source_published_at,
    )
)
_by_id = Query(select(*_SHOWN, _COLUMNS.data).where(_COLUMNS.id == bindparam("dead_letter_id")))
# As a literal, so that the index of these few rows is used.
_IS_OPEN = _COLUMNS.status == literal_column(f"'{DeadLetterStatus.OPEN}'")
_open = select(_COLUMNS.id).where(_IS_OPEN).limit(literal_column(str(MOST_COUNTED + 1))).subquery()
_count_open = Query(select(func.count()).select_from(_open))
_mark = Query(
    update(dead_letter)
    .where(
        _COLUMNS.id == bindparam("dead_letter_id", type_=Uuid),
        _COLUMNS.arrivals == bindparam("seen_arrivals", type_=Integer),
    )
    .values(status=bindparam("new_status", type_=Text), handled_at=func.now())
    .returning(*_SHOWN)
)


async def store(database: Database, values: dict[str, Any]) -> bool:
    """Insert a dead letter, or open the row of the same work again; return whether it was not known."""
    return await database.execute(_store, **values) > 0


async def page(runner: Runner, status: DeadLetterStatus | None, cursor: Cursor | None, limit: int) -> list[Record]:
    """Return dead letters, newest first."""
    statement = select(*_SHOWN)
    if status is DeadLetterStatus.OPEN:
        statement = statement.where(_IS_OPEN)
    elif status is not None:
        statement = statement.where(_COLUMNS.status == status)
    return await runner.fetch(newest_first(statement, _COLUMNS.created_at, _COLUMNS.id, cursor, limit))


async def find(runner: Runner, dead_letter_id: UUID) -> Record | None:
    """Return one dead letter with its bytes."""
    return await runner.fetch_one(_by_id, dead_letter_id=dead_letter_id)


async def mark(
    transaction: Transaction, dead_letter_id: UUID, seen_arrivals: int, new_status: DeadLetterStatus
) -> Record | None:
    """Mark a dead letter as handled; None if it has arrived again meanwhile."""
    return await transaction.fetch_one(
        _mark, dead_letter_id=dead_letter_id, seen_arrivals=seen_arrivals, new_status=new_status
    )


async def count_open(runner: Runner) -> int:
    """Count the open dead letters, at most one more than `MOST_COUNTED`."""
    return int(await runner.fetch_value(_count_open))
