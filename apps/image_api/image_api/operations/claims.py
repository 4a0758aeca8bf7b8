"""The SQL by which `image-tasks` works on operations: turns, claims of items, and marks."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Integer,
    Interval,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from image_core.db import Query, Record, Runner, Transaction, to_json
from image_core.models import credential, operation, operation_item, team, user, user_disabled_at
from image_core.states import OperationStatus

MOST_IN_PROGRESS = 50
"""Maximum number of items that are with the processor at once, so that people's uploads do not wait behind them."""
LEASE = timedelta(minutes=2)
"""How long a claim lasts at most. The next run of the step takes it over earlier."""

_operation, _item = operation.c, operation_item.c
_operation_id = bindparam("operation_id", type_=Uuid)
_lease = bindparam("new_lease", type_=Uuid)
_lasts = bindparam("lasts", type_=Interval)
_positions = bindparam("positions", type_=ARRAY(BigInteger))
_waiting = _item.state == literal_column("'waiting'")
_in_progress = _item.state == literal_column("'in_progress'")
_unfinished = _operation.finished_at.is_(None)

# The team that had its last turn longest ago, and of its operations the one that waited longest.
_others = operation.alias("others")
_team_served_at = (
    select(func.max(_others.c.served_at))
    .where(_others.c.finished_at.is_(None), _others.c.team_id.is_not_distinct_from(_operation.team_id))
    .correlate(operation)
    .scalar_subquery()
)
_next = (
    select(_operation.id)
    .where(_unfinished, _operation.kind == func.any(bindparam("kinds", type_=ARRAY(Text))))
    .order_by(_team_served_at, _operation.served_at, _operation.id)
    .limit(literal_column("1"))
    .with_for_update(key_share=True, skip_locked=True)
)
_take_turn = Query(
    update(operation)
    .where(_operation.id == _next.scalar_subquery())
    .values(served_at=func.clock_timestamp())
    .returning(operation)
)


def _is_removed(team_id: Any) -> ColumnElement[bool]:
    """Return whether a team is being removed; null is no team."""
    return exists().where(team.c.id == team_id, team.c.deleting_at.is_not(None))


# The role may not read every column of a credential, which "SELECT *" would need.
_is_key_revoked = (
    select(literal_column("1"))
    .where(credential.c.id == bindparam("credential_id", type_=Uuid), credential.c.revoked_at.is_not(None))
    .exists()
)
_creator = Query(
    select(_is_key_revoked.label("is_key_revoked")).where(
        user.c.id == bindparam("user_id", type_=Uuid), user_disabled_at.is_(None), user.c.deleting_at.is_(None),
        ~_is_removed(bindparam("of_team_id", type_=Uuid)),
    )
)  # fmt: skip
_due = (
    select(_item.position)
    .where(
        _item.operation_id == _operation_id,
        _waiting,
        or_(
            _item.lease_expires_at.is_(None),
            # Claimed before this run of the step began, by one that has ended or has lost the step's lock.
            _item.lease_expires_at < bindparam("run_began_at", type_=DateTime(timezone=True)) + _lasts,
        ),
    )
    .order_by(_item.position)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True)
)
_claim = Query(
    update(operation_item)
    # An array, so that the subquery runs once.
    .where(_item.operation_id == _operation_id, _item.position == func.any(func.array(_due.scalar_subquery())))
    .values(
        lease=_lease,
        lease_expires_at=func.now() + _lasts,
        attempts=_item.attempts + literal_column("1"),
    )
    .returning(_item.position, _item.image_id, _item.payload, _item.attempts)
)
_leased = and_(_waiting, _item.lease == _lease)
_release = Query(
    update(operation_item)
    .where(_item.operation_id == _operation_id, _item.position == func.any(_positions), _leased)
    .values(lease=None, lease_expires_at=None, attempts=_item.attempts - literal_column("1"))
)
_with_processor = Query(
    select(
        func.count().filter(_item.operation_id == _operation_id).label("own"),
        func.count().label("all"),
    )
    .select_from(operation_item.join(operation, _item.operation_id == _operation.id))
    .where(_unfinished, _operation.kind == func.any(bindparam("kinds", type_=ARRAY(Text))), _in_progress)
)
_sharing = Query(
    select(func.count()).select_from(operation).where(
        _unfinished, _operation.status == literal_column("'running'"),
        _operation.kind == func.any(bindparam("kinds", type_=ARRAY(Text))),
    )
)  # fmt: skip
_running = select(_operation.spent_credits, _operation.budget_credits).where(
    _operation.id == _operation_id, _operation.status == literal_column("'running'"),
    ~_is_removed(_operation.team_id),
)  # fmt: skip
_hold = Query(_running.with_for_update(read=True))
# Whoever holds it like this may raise what has been spent.
_hold_alone = Query(_running.with_for_update(key_share=True))
_spend = Query(
    update(operation)
    .where(_operation.id == _operation_id)
    .values(spent_credits=_operation.spent_credits + bindparam("price", type_=BigInteger))
)
_OUTCOME: dict[str, Any] = {
    "state": bindparam("new_state", type_=Text),
    "code": bindparam("new_code", type_=Text),
    "detail": bindparam("new_detail", type_=Text),
    "credits": bindparam("new_credits", type_=BigInteger),
    "subject_id": bindparam("new_subject_id", type_=Uuid),
    "lease": None,
    "lease_expires_at": None,
}
_this_item = and_(_item.operation_id == _operation_id, _item.position == bindparam("position_", type_=BigInteger))
_mark = Query(update(operation_item).where(_this_item, _leased).values(_OUTCOME))
_put_back = Query(update(operation_item).where(_this_item, _leased).values(lease=None, lease_expires_at=None))
# What fails in progress costs nothing: whoever ended it has returned the price.
_credits_kept = case((bindparam("new_state", type_=Text) == literal_column("'failed'"), 0), else_=_item.credits)
_mark_over = Query(update(operation_item).where(_this_item, _in_progress).values(_OUTCOME | {"credits": _credits_kept}))
_items_in_progress = Query(
    select(_item.position, _item.image_id, _item.payload, _item.subject_id)
    .where(_item.operation_id == _operation_id, _in_progress)
    .order_by(_item.position)
    .limit(bindparam("limit", type_=Integer))
)
_count_in_progress = Query(
    select(func.count()).select_from(operation_item).where(_item.operation_id == _operation_id, _in_progress)
)
_any_waiting = Query(select(true()).where(_item.operation_id == _operation_id, _waiting).limit(literal_column("1")))
_lock = Query(select(operation).where(_operation.id == _operation_id).with_for_update(key_share=True))
_fail = Query(
    update(operation)
    .where(
        _operation.id == _operation_id,
        or_(
            _operation.status == literal_column("'running'"), _operation.status == literal_column("'estimating'")
        ),
    )
    .values(
        status=OperationStatus.FAILED.value,
        failure_code=bindparam("new_code", type_=Text),
        failure_message=bindparam("new_message", type_=Text),
    )
    .returning(operation)
)  # fmt: skip
_lock_estimating = Query(
    select(_operation.total, _operation.fill_position)
    .where(_operation.id == _operation_id, _operation.status == literal_column("'estimating'"))
    .with_for_update(key_share=True)
)
_store_filled = Query(
    update(operation)
    .where(_operation.id == _operation_id)
    .values(
        total=_operation.total + bindparam("more_items", type_=BigInteger),
        size_bytes=_operation.size_bytes + bindparam("more_bytes", type_=BigInteger),
        estimated_credits=_operation.estimated_credits + bindparam("more_credits", type_=BigInteger),
        fill_position=bindparam("new_position", type_=JSONB),
        status=bindparam("new_status", type_=Text),
        estimated_minutes=bindparam("new_minutes", type_=Integer),
        started_at=bindparam("new_started_at", type_=operation.c.started_at.type),
    )
    .returning(operation)
)
_old = (
    select(_operation.id)
    .where(_operation.finished_at < func.now() - bindparam("age", type_=Interval))
    .order_by(_operation.finished_at)
    .limit(literal_column("1"))
)
_oldest = Query(_old)
_count_stuck = Query(
    select(func.count())
    .select_from(operation)
    .where(_unfinished, _operation.served_at < func.now() - bindparam("age", type_=Interval))
)
_some_items = select(_item.position).where(_item.operation_id == _operation_id).limit(bindparam("limit", type_=Integer))
_remove_items = Query(
    delete(operation_item).where(
        _item.operation_id == _operation_id, _item.position == func.any(func.array(_some_items.scalar_subquery()))
    )
)
_remove = Query(delete(operation).where(_operation.id == _operation_id))


async def take_turn(runner: Runner, kinds: Sequence[str]) -> Record | None:
    """Return the unfinished operation whose turn it is, and put it last; None if there is none that nobody holds."""
    return await runner.fetch_one(_take_turn, kinds=list(kinds))


async def creator(runner: Runner, row: Record) -> Record | None:
    """Return whether the key that an operation was begun with `is_key_revoked`; None if it may not go on anyway.

    Whoever asked for it is there and neither disabled nor being removed, and neither is their team or the operation's.
    """
    return await runner.fetch_one(
        _creator, user_id=row["user_id"], credential_id=row["credential_id"], of_team_id=row["team_id"]
    )


async def claim(
    transaction: Transaction, operation_id: UUID, lease: UUID, run_began_at: datetime, limit: int
) -> list[Record]:
    """Return the next waiting items, at most `limit`, which are this worker's while the lease lasts.

    Claims that were made before the step's run began are taken over.
    """
    rows = await transaction.fetch(
        _claim, operation_id=operation_id, new_lease=lease, lasts=LEASE, run_began_at=run_began_at, limit=limit
    )
    return sorted(rows, key=lambda row: row["position"])


async def room_at_processor(transaction: Transaction, operation_id: UUID, kinds: Sequence[str]) -> int:
    """Return how many more items of an operation may be given to the processor: its share of `MOST_IN_PROGRESS`."""
    (given,) = await transaction.fetch(_with_processor, operation_id=operation_id, kinds=list(kinds))
    sharing: int = await transaction.fetch_value(_sharing, kinds=list(kinds))
    share = max(1, MOST_IN_PROGRESS // max(1, sharing))
    return max(0, min(share - int(given["own"]), MOST_IN_PROGRESS - int(given["all"])))


async def release(runner: Runner, operation_id: UUID, positions: Sequence[int], lease: UUID) -> None:
    """Give back claimed items that were not run; that does not count as an attempt."""
    await runner.execute(_release, operation_id=operation_id, positions=list(positions), new_lease=lease)


async def put_back(runner: Runner, operation_id: UUID, position: int, lease: UUID) -> None:
    """Give back an item that was tried in vain; the attempt counts."""
    await runner.execute(_put_back, operation_id=operation_id, position_=position, new_lease=lease)


async def hold(transaction: Transaction, operation_id: UUID, *, alone: bool) -> Record | None:
    """Keep a running operation from being cancelled until the transaction ends; None if it is not running.

    `alone` also keeps others from running its items, and allows `spend`.
    """
    return await transaction.fetch_one(_hold_alone if alone else _hold, operation_id=operation_id)


async def spend(transaction: Transaction, operation_id: UUID, price: int) -> None:
    """Add to the credits that an operation has spent, which is held alone."""
    await transaction.execute(_spend, operation_id=operation_id, price=price)


async def mark(transaction: Transaction, operation_id: UUID, position: int, lease: UUID, outcome: Any) -> bool:
    """Store what became of a claimed item; return False if the claim has ended."""
    marked = await transaction.execute(
        _mark, operation_id=operation_id, position_=position, new_lease=lease, **_values(outcome)
    )
    return bool(marked)


async def mark_over(transaction: Transaction, operation_id: UUID, position: int, outcome: Any) -> None:
    """Store what became of an item in progress, once."""
    await transaction.execute(_mark_over, operation_id=operation_id, position_=position, **_values(outcome))


def _values(outcome: Any) -> dict[str, Any]:
    return {f"new_{name}": value for name, value in outcome._asdict().items()}


async def items_in_progress(runner: Runner, operation_id: UUID, limit: int) -> list[Record]:
    """Return items in progress, the first ones first."""
    return await runner.fetch(_items_in_progress, operation_id=operation_id, limit=limit)


async def count_in_progress(runner: Runner, operation_id: UUID) -> int:
    """Return how many items are in progress."""
    return int(await runner.fetch_value(_count_in_progress, operation_id=operation_id))


async def has_waiting(runner: Runner, operation_id: UUID) -> bool:
    """Return whether any item waits, claimed or not."""
    return bool(await runner.fetch_value(_any_waiting, operation_id=operation_id))


async def lock(transaction: Transaction, operation_id: UUID) -> Record | None:
    """Return an operation, locked for the rest of the transaction."""
    return await transaction.fetch_one(_lock, operation_id=operation_id)


async def fail(transaction: Transaction, operation_id: UUID, code: str, message: str) -> Record | None:
    """End an operation that cannot go on, and return it locked; None if it is over already."""
    return await transaction.fetch_one(_fail, operation_id=operation_id, new_code=code, new_message=message)


async def lock_estimating(transaction: Transaction, operation_id: UUID) -> Record | None:
    """Lock an operation whose items are still being found, and return how many there are and where it goes on."""
    return await transaction.fetch_one(_lock_estimating, operation_id=operation_id)


async def store_filled(transaction: Transaction, operation_id: UUID, position: Any, **values: Any) -> Record:
    """Store what a chunk of new items adds to a locked operation, and return the operation."""
    new_position = None if position is None else to_json(position)
    (row,) = await transaction.fetch(_store_filled, operation_id=operation_id, new_position=new_position, **values)
    return row


async def count_stuck(runner: Runner, age: timedelta) -> int:
    """Return how many unfinished operations have had no turn for so long."""
    return int(await runner.fetch_value(_count_stuck, age=age))


async def oldest(runner: Runner, age: timedelta) -> UUID | None:
    """Return the operation that finished first, longer ago than `age`."""
    operation_id: UUID | None = await runner.fetch_value(_oldest, age=age)
    return operation_id


async def remove_items(runner: Runner, operation_id: UUID, limit: int) -> int:
    """Delete items of an operation, at most `limit`, and return how many."""
    return await runner.execute(_remove_items, operation_id=operation_id, limit=limit)


async def remove(runner: Runner, operation_id: UUID) -> None:
    """Delete an operation."""
    await runner.execute(_remove, operation_id=operation_id)
