"""The SQL of operations as callers see them. Everything is limited to a team; null means all teams, for an admin."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Text, Uuid, bindparam, cast, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from image_api.http.pagination import Cursor, newest_first
from image_api.operations.items import NewItem
from image_core.db import Query, Record, Runner, Transaction, to_json
from image_core.models import operation, operation_item, team
from image_core.states import UNDER_WAY, ItemState, OperationStatus

_operation, _item = operation.c, operation_item.c
_visible_team = bindparam("visible_team_id", type_=Uuid)
_one = (
    _operation.id == bindparam("operation_id", type_=Uuid),
    or_(_visible_team.is_(None), _operation.team_id == _visible_team),
)
_find = Query(select(operation).where(*_one))
# Items hold their operation while they change something.
_lock = Query(select(operation).where(*_one).with_for_update())
_failures = Query(
    select(_item.position, _item.image_id, _item.code, _item.detail)
    .where(
        _item.operation_id == bindparam("operation_id", type_=Uuid),
        _item.state == ItemState.FAILED.value,
        _item.position > bindparam("after_position", type_=BigInteger),
    )
    .order_by(_item.position)
    .limit(bindparam("limit", type_=BigInteger))
)
_unfinished = Query(
    select(func.count()).select_from(operation).where(
        _operation.team_id.is_not_distinct_from(bindparam("team_id", type_=Uuid)), _operation.finished_at.is_(None)
    )
)  # fmt: skip
_given = (
    func.unnest(
        bindparam("positions", type_=ARRAY(BigInteger)),
        bindparam("image_ids", type_=ARRAY(Uuid)),
        bindparam("payloads", type_=ARRAY(Text)),
    )
    .table_valued("position", "image_id", "payload", name="given")
    .render_derived()
)
_add_items = Query(
    insert(operation_item).from_select(
        ["operation_id", "position", "image_id", "payload"],
        select(
            bindparam("operation_id", type_=Uuid), _given.c.position, _given.c.image_id, cast(_given.c.payload, JSONB)
        ),
    )
)


def _number(state: ItemState) -> ColumnElement[int]:
    return func.count().filter(_item.state == state.value).label(state.value)


_count_items = Query(
    select(
        *(_number(state) for state in ItemState), func.coalesce(func.sum(_item.credits), 0).label("credits")
    ).where(_item.operation_id == bindparam("operation_id", type_=Uuid))
)  # fmt: skip
_store_counts = Query(
    update(operation)
    .where(
        _operation.id == bindparam("operation_id", type_=Uuid),
        _operation.team_id.is_not_distinct_from(bindparam("of_team_id", type_=Uuid)),
    )
    .values(
        status=bindparam("new_status", type_=Text),
        done=bindparam("new_done", type_=BigInteger),
        failed=bindparam("new_failed", type_=BigInteger),
        spent_credits=bindparam("new_credits", type_=BigInteger),
        counted_at=func.clock_timestamp(),
        finished_at=bindparam("new_finished_at", type_=operation.c.finished_at.type),
    )
)
_now = Query(select(func.clock_timestamp()))
_lock_team = Query(select(team.c.id).where(team.c.id == bindparam("team_id")).with_for_update(key_share=True))


async def now(runner: Runner) -> datetime:
    """Return the time by the database's clock."""
    moment: datetime = await runner.fetch_value(_now)
    return moment


async def lock_team(transaction: Transaction, team_id: UUID) -> None:
    """Lock a team against others that count its operations, but not against rows that refer to it."""
    await transaction.execute(_lock_team, team_id=team_id)


async def page(
    runner: Runner, team_id: UUID | None, unfinished_only: bool, cursor: Cursor | None, limit: int
) -> list[Record]:
    """Return operations, newest first; null means those of all teams and of the platform, for an admin."""
    statement = select(operation)
    if team_id is not None:
        statement = statement.where(_operation.team_id == team_id)
    if unfinished_only:
        statement = statement.where(_operation.finished_at.is_(None))
    return await runner.fetch(newest_first(statement, _operation.created_at, _operation.id, cursor, limit))


async def find(runner: Runner, visible_team_id: UUID | None, operation_id: UUID) -> Record | None:
    """Return one operation."""
    return await runner.fetch_one(_find, operation_id=operation_id, visible_team_id=visible_team_id)


async def lock(transaction: Transaction, visible_team_id: UUID | None, operation_id: UUID) -> Record | None:
    """Return one operation, locked for the rest of the transaction: until then, no item of it changes anything."""
    return await transaction.fetch_one(_lock, operation_id=operation_id, visible_team_id=visible_team_id)


async def failures(runner: Runner, operation_id: UUID, after_position: int, limit: int) -> list[Record]:
    """Return the failed items of an operation that was found under the caller's team, in their order."""
    return await runner.fetch(_failures, operation_id=operation_id, after_position=after_position, limit=limit)


async def count_unfinished(transaction: Transaction, team_id: UUID | None) -> int:
    """Return how many operations of a team, or without one of the platform, are unfinished."""
    return int(await transaction.fetch_value(_unfinished, team_id=team_id))


async def find_under_way(runner: Runner, kind: str, parameter: str, value: str) -> UUID | None:
    """Return the operation of the whole platform with this kind and this parameter that will begin items."""
    statement = select(_operation.id).where(
        _operation.team_id.is_(None), _operation.finished_at.is_(None), _operation.kind == kind,
        or_(*(_operation.status == status.value for status in UNDER_WAY)),
        _operation.parameters[parameter].astext == value,
    )  # fmt: skip
    found: UUID | None = await runner.fetch_value(statement.limit(1))
    return found


async def add(transaction: Transaction, values: dict[str, Any]) -> None:
    """Insert an operation."""
    await transaction.execute(insert(operation).values(**values))


async def add_items(transaction: Transaction, operation_id: UUID, first: int, items: Sequence[NewItem]) -> None:
    """Insert items at the positions that begin with `first`."""
    await transaction.execute(
        _add_items,
        operation_id=operation_id,
        positions=list(range(first, first + len(items))),
        image_ids=[item.image_id for item in items],
        payloads=[None if item.payload is None else to_json(item.payload) for item in items],
    )


async def count_items(transaction: Transaction, operation_id: UUID) -> Record:
    """Return the number of items in each state, and the `credits` that they have cost."""
    (counts,) = await transaction.fetch(_count_items, operation_id=operation_id)
    return counts


async def store_counts(
    transaction: Transaction, locked: Record, status: OperationStatus, counts: Record, *, is_finished: bool
) -> None:
    """Store the status and the counts of a locked operation, and whether it is finished as of now."""
    await transaction.execute(
        _store_counts,
        operation_id=locked["id"],
        of_team_id=locked["team_id"],
        new_status=status,
        new_done=counts[ItemState.DONE],
        new_failed=counts[ItemState.FAILED],
        new_credits=counts["credits"],
        new_finished_at=await now(transaction) if is_finished else None,
    )
