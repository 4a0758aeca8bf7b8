"""Runs operations: finds their items, does them in turns, counts them and ends them.

What happens to an item is one transaction with its mark and a lock of the running operation. So after a crash nothing
is done twice and nothing left out, and nothing new happens once a cancellation has been committed.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import orjson

from image_api.operations import claims, ending, queries
from image_api.operations.items import Item, Operation, Outcome, failed, from_row
from image_api.operations.kinds import Kind
from image_api.operations.service import minutes
from image_api.tasks.parts import TaskParts, committing
from image_api.tasks.runner import OLD_ROWS_BATCH, Budget, Step
from image_core import errors, events
from image_core.db import Record, Transaction
from image_core.events import OutboxEvent
from image_core.ids import new_id
from image_core.states import UNDER_WAY, ItemState, OperationStatus
from image_core.telemetry import log, log_unexpected

CHUNK = 100
"""How many items are claimed at once."""
MOST_ATTEMPTS = 5
"""After so many attempts that ended with the worker, or with an unexpected error, an item fails."""
TURN_SECONDS = 2.0
"""No new item of an operation is started after this time; then it is another's turn."""
_IDLE_SECONDS = 3.0
"""A run ends when nothing has happened for so long: what is in progress is looked at again by the next one."""
_PAUSE_SECONDS = 0.1
_GIVEN_UP = Outcome(ItemState.FAILED, "attempts-exhausted", f"It was given up after {MOST_ATTEMPTS} attempts.")
_NO_ACCESS = "creator-removed", "Whoever asked for it has no access any more."
_KEY_REVOKED = "key-revoked", "The key that it was begun with has been revoked."
_KEPT_FOR = timedelta(days=30)
_STUCK_AFTER = timedelta(minutes=15)


class _Stopped(Exception):
    """The operation is not running any more, or the claim has ended: the item's transaction is rolled back."""


class _Turn(NamedTuple):
    """One turn of an operation, and what its claims are named by."""

    parts: TaskParts
    kinds: Mapping[str, Kind]
    operation: Operation
    lease: UUID
    run_began_at: datetime
    ends_at: float
    committed: list[OutboxEvent]
    """Events of items that are done, which are published together."""

    @property
    def kind(self) -> Kind:
        return self.kinds[self.operation.kind]

    @property
    def is_over(self) -> bool:
        return self.parts.is_stopping() or asyncio.get_running_loop().time() >= self.ends_at


def step(kinds: Mapping[str, Kind]) -> Step:
    """Return the step that runs operations of these kinds while its budget lasts; it counts items that it handled."""

    async def run(parts: TaskParts, budget: Budget) -> int:
        loop = asyncio.get_running_loop()
        handled, busy_at = 0, loop.time()
        began_at = await queries.now(parts.database)
        while (row := await claims.take_turn(parts.database, list(kinds))) is not None:
            done = await _take_turn(parts, kinds, row, began_at, loop.time() + TURN_SECONDS)
            handled += done
            busy_at = loop.time() if done else busy_at
            if budget.is_spent or (not done and loop.time() - busy_at >= _IDLE_SECONDS):
                break
            if not done:
                await asyncio.sleep(_PAUSE_SECONDS)
        return handled

    return run


async def _take_turn(
    parts: TaskParts, kinds: Mapping[str, Kind], row: Record, run_began_at: datetime, ends_at: float
) -> int:
    """Give an operation its turn; return how many items were found, begun or ended."""
    creator = await claims.creator(parts.database, row)
    # What is over already is finished and counted for anybody.
    if OperationStatus(row["status"]) in UNDER_WAY and (creator is None or creator["is_key_revoked"]):
        await _fail(parts, row["id"], *(_NO_ACCESS if creator is None else _KEY_REVOKED))
        return 1
    turn = _Turn(parts, kinds, from_row(row), new_id(), run_began_at, ends_at, [])
    try:
        if turn.operation.status is OperationStatus.ESTIMATING:
            return await _find_items(turn)
        handled = await _settle(turn)
        if turn.operation.status is OperationStatus.RUNNING:
            handled += await _run_items(turn)
        await _count_if_due(turn, row)
    except errors.Unavailable as error:
        log("operation_put_off", severity="WARNING", operation_id=str(row["id"]), code=error.code)
        return 0
    except Exception as error:  # noqa: BLE001 (the other operations go on; this one is reported and tried again)
        log_unexpected(error, operation_id=str(row["id"]))
        return 0
    return handled


async def _fail(parts: TaskParts, operation_id: UUID, code: str, message: str) -> None:
    """End an operation that cannot go on."""
    async with committing(parts) as transaction:
        locked = await claims.fail(transaction, operation_id, code, message)
        locked = locked or await claims.lock(transaction, operation_id)
        if locked is not None and locked["finished_at"] is None:
            await ending.count(transaction, locked)
    log("operation_failed", operation_id=str(operation_id), code=code)


# --- Finding items ------------------------------------------------------------------------------------------------


async def _find_items(turn: _Turn) -> int:
    """Have the kind find items until all are found or the turn is over, each chunk in its own transaction."""
    operation, found = turn.operation, 0
    while True:
        try:
            filled = await turn.kind.fill(turn.parts, operation)
        except errors.Unavailable:
            raise
        except errors.AppError as error:
            await _fail(turn.parts, operation.id, error.code, error.detail or f"{error.title()}.")
            return found + 1
        position, is_last = filled.position, filled.position is None
        async with committing(turn.parts) as transaction:
            locked = await claims.lock_estimating(transaction, operation.id)
            if locked is None or locked["total"] != operation.total:
                # Cancelled, or another worker has stored this chunk.
                return found
            await queries.add_items(transaction, operation.id, operation.total + 1, filled.items)
            total = operation.total + len(filled.items)
            row = await claims.store_filled(
                transaction, operation.id, position, more_items=len(filled.items),
                more_bytes=sum(item.size_bytes for item in filled.items),
                more_credits=sum(item.credits for item in filled.items),
                new_status=OperationStatus.RUNNING if is_last else OperationStatus.ESTIMATING,
                new_minutes=minutes(total, turn.kind.seconds_per_item) if is_last else None,
                new_started_at=await queries.now(transaction) if is_last else None,
            )  # fmt: skip
            if is_last:
                # Without any item it has succeeded.
                await ending.count(transaction, row)
        found += max(1, len(filled.items))
        if is_last or turn.is_over:
            return found
        operation = from_row(row)


# --- Running items ------------------------------------------------------------------------------------------------


async def _run_items(turn: _Turn) -> int:
    """Claim chunks of items and run them until none waits or the turn is over."""
    handled = 0
    while rows := await _claim(turn):
        try:
            begun = await _run_chunk(turn, rows)
        finally:
            await _publish(turn)
        handled += begun
        if begun < len(rows):
            claimed = [row["position"] for row in rows]
            await claims.release(turn.parts.database, turn.operation.id, claimed, turn.lease)
        if begun < len(rows) or turn.is_over:
            break
    return handled


async def _claim(turn: _Turn) -> list[Record]:
    """Claim the next items; only one if a worker may have died of it."""
    operation = turn.operation
    async with committing(turn.parts) as transaction:
        limit = CHUNK - await claims.count_in_progress(transaction, operation.id)
        if turn.kind.uses_processor:
            users = [name for name, each in turn.kinds.items() if each.uses_processor]
            limit = min(limit, await claims.room_at_processor(transaction, operation.id, users))
        if limit <= 0:
            return []
        rows = await claims.claim(transaction, operation.id, turn.lease, turn.run_began_at, limit)
        if len(rows) > 1 and rows[0]["attempts"] > 1:
            first, *others = rows
            await claims.release(transaction, operation.id, [row["position"] for row in others], turn.lease)
            rows = [first]
    return rows


async def _run_chunk(turn: _Turn, rows: Sequence[Record]) -> int:
    """Run claimed items in groups; return how many were run before the turn was over or the operation stopped."""
    one_by_one = turn.kind.spends_credits or turn.kind.keeps_order(turn.operation)
    at_once = 1 if one_by_one else turn.kind.items_at_once
    begun = 0
    for first in range(0, len(rows), at_once):
        results = await asyncio.gather(*(_run_item(turn, row) for row in rows[first : first + at_once]))
        begun += sum(results)
        if not all(results) or turn.is_over:
            break
    return begun


async def _publish(turn: _Turn) -> None:
    """Publish the events of a chunk; a message and a mark for each would take longer than the items."""
    if committed := turn.committed.copy():
        turn.committed.clear()
        await events.publish(turn.parts.database, turn.parts.publisher, committed)


async def _run_item(turn: _Turn, row: Record) -> bool:
    """Run one claimed item; return False if the operation should not go on in this turn."""
    item = _item_of(row)
    try:
        return await _try_item(turn, item, row["attempts"])
    except _Stopped:
        return False
    except errors.Unavailable as error:
        log("operation_put_off", severity="WARNING", operation_id=str(turn.operation.id), code=error.code)
        return False
    except Exception as error:  # noqa: BLE001 (the item is tried again, other operations go on; this one is reported)
        log_unexpected(error, operation_id=str(turn.operation.id), position=item.position)
        await claims.put_back(turn.parts.database, turn.operation.id, item.position, turn.lease)
        return False


async def _try_item(turn: _Turn, item: Item, attempts: int) -> bool:
    """Run an item, or mark it as failed by its own error; return False if the operation has failed.

    Raises:
        _Stopped: The operation is not running any more, or the claim has ended.
        errors.Unavailable: The item is to be tried later.
    """
    parts, operation = turn.parts, turn.operation
    try:
        if attempts > MOST_ATTEMPTS:
            return await _mark_failed(turn, item, _GIVEN_UP)
        await _run_once(turn, replace(item, prepared=await turn.kind.prepare(parts, operation, item)))
    except errors.Unavailable:
        raise
    except (errors.CreditsExhausted, errors.BudgetExhausted) as error:
        await _fail(parts, operation.id, error.code, error.detail)
        return False
    except errors.AppError as error:
        return await _mark_failed(turn, item, failed(error))
    return True


async def _mark_failed(turn: _Turn, item: Item, outcome: Outcome) -> bool:
    """Mark an item that has changed nothing; return False if the operation is not running any more."""
    async with committing(turn.parts) as transaction:
        held = await claims.hold(transaction, turn.operation.id, alone=turn.kind.spends_credits)
        if held is not None:
            await claims.mark(transaction, turn.operation.id, item.position, turn.lease, outcome)
    return held is not None


async def _run_once(turn: _Turn, item: Item) -> None:
    """Do what an item is about, pay, and mark it, in the one transaction in which its operation is running.

    Raises:
        _Stopped: The operation is not running any more, or the claim has ended.
        errors.BudgetExhausted: The item would cost more than is left of the budget.
        errors.AppError: The kind's own.
    """
    operation, kind = turn.operation, turn.kind
    async with events.collecting(turn.parts.database, turn.committed) as transaction:
        held = await claims.hold(transaction, operation.id, alone=kind.spends_credits)
        if held is None:
            raise _Stopped
        outcome = await kind.run_item(turn.parts, transaction, operation, item)
        if outcome.credits:
            await _pay(transaction, operation, held, outcome)
        if not await claims.mark(transaction, operation.id, item.position, turn.lease, outcome):
            raise _Stopped


async def _pay(transaction: Transaction, operation: Operation, held: Record, outcome: Outcome) -> None:
    """Count what an item has cost.

    Raises:
        errors.BudgetExhausted: The item would cost more than is left of the budget.
    """
    budget, spent = held["budget_credits"], held["spent_credits"]
    if budget is not None and spent + outcome.credits > budget:
        raise errors.BudgetExhausted(
            f"The next item costs {outcome.credits} credits, and {budget - spent} of the budget of {budget} are left."
        )
    await claims.spend(transaction, operation.id, outcome.credits)


def _item_of(row: Record, subject_id: UUID | None = None) -> Item:
    payload = row["payload"]
    return Item(row["position"], row["image_id"], None if payload is None else orjson.loads(payload), subject_id)


# --- Ending items and operations ----------------------------------------------------------------------------------


async def _settle(turn: _Turn) -> int:
    """Ask the kind about items in progress, and mark those that are over."""
    parts, operation = turn.parts, turn.operation
    rows = await claims.items_in_progress(parts.database, operation.id, CHUNK)
    if not rows:
        return 0
    items = [_item_of(row, row["subject_id"]) for row in rows]
    over = await turn.kind.settle(parts, operation, items)
    if over:
        async with committing(parts) as transaction:
            await claims.lock(transaction, operation.id)
            for position, outcome in over.items():
                await claims.mark_over(transaction, operation.id, position, outcome)
    return len(over)


async def _count_if_due(turn: _Turn, row: Record) -> None:
    """Count an operation that is over, or whose last count is some seconds old."""
    parts, operation = turn.parts, turn.operation
    has_more = operation.status is OperationStatus.RUNNING and await claims.has_waiting(parts.database, operation.id)
    has_more = has_more or await claims.count_in_progress(parts.database, operation.id) > 0
    if has_more and row["served_at"] - row["counted_at"] < ending.PROGRESS_EVERY:
        return
    async with committing(parts) as transaction:
        locked = await claims.lock(transaction, operation.id)
        if locked is not None and locked["finished_at"] is None:
            await ending.count(transaction, locked)


# --- Housekeeping -------------------------------------------------------------------------------------------------


async def report_stuck(parts: TaskParts, _budget: Budget) -> int:
    """Write a log line, which raises an alert, while operations get no turn; return how many."""
    count = await claims.count_stuck(parts.database, _STUCK_AFTER)
    if count:
        log("operations_stuck", severity="WARNING", count=count)
    return count


async def remove_old(parts: TaskParts, budget: Budget) -> int:
    """Remove operations that finished 30 days ago, their items in batches first; return how many items."""
    removed = 0
    while not budget.is_spent and (operation_id := await claims.oldest(parts.database, _KEPT_FOR)) is not None:
        items = await claims.remove_items(parts.database, operation_id, OLD_ROWS_BATCH)
        removed += items
        if items < OLD_ROWS_BATCH:
            await claims.remove(parts.database, operation_id)
    return removed
