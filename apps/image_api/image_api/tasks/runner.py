"""Runs the steps of a sweep, each within its own time; a failure affects only its row or its step.

An advisory lock makes two runs of a step at once one. Concurrent runs would be safe too, because every step takes its
rows with SKIP LOCKED. A sweep that is interrupted leaves what it has not committed to the next one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Column, ColumnElement

from image_api.tasks import queries
from image_api.tasks.parts import TaskParts, committing
from image_core import errors, events
from image_core.db import Transaction
from image_core.feed import reading
from image_core.intake.nudges import nudge
from image_core.telemetry import log, log_unexpected

BATCH = 100
OLD_ROWS_BATCH = 5000
"""Each batch reads its table once."""
GROUP = 16
"""How many objects are removed concurrently."""
STEP_SECONDS, SWEEP_SECONDS = 30.0, 45.0
"""No new rows are started after these times. A pushed message must be acknowledged within 60 s."""
_HANGING_SECONDS = 20.0
_HELD_UP_SECONDS = 60.0
"""Transactions of services end after 30 s."""

Row = TypeVar("Row")


class Budget:
    """The time of one step. Steps check it before they start more rows; the next sweep continues.

    It is over as well when the instance is told to stop: what runs ten seconds later is killed.
    """

    def __init__(self, step: str, seconds: float, is_stopping: Callable[[], bool] = lambda: False) -> None:
        self.step, self.seconds = step, seconds
        self._is_stopping = is_stopping
        self._ends_at = asyncio.get_running_loop().time() + seconds

    @property
    def is_spent(self) -> bool:
        """Return whether the time is over."""
        return self._is_stopping() or asyncio.get_running_loop().time() >= self._ends_at


Step = Callable[[TaskParts, Budget], Awaitable[int]]
"""Does what is due while its budget lasts; returns how many rows or objects it handled."""


class RowsFailed(Exception):
    """Rows were due and all of them failed; each has been logged."""


async def sweep(parts: TaskParts, steps: Mapping[str, Step]) -> dict[str, int]:
    """Run every step and report what each handled in the response, the log and the metrics."""
    counts = await run_steps(parts, steps)
    for name, count in counts.items():
        parts.metrics.rows.labels(name).set(count)
    parts.metrics.orphans.set(await queries.count_overdue_removals(parts.database))
    parts.metrics.outbox_age.set(await events.outbox_age_seconds(parts.database))
    await _watch_feed(parts)
    log("sweep_done", counts=counts)
    return counts


async def _watch_feed(parts: TaskParts) -> None:
    """Report how long the feed is held up; an alert counts the log lines."""
    seconds = await reading.lag_seconds(parts.database)
    parts.metrics.feed_lag.set(seconds)
    if seconds > _HELD_UP_SECONDS:
        log("feed_held_up", severity="WARNING", seconds=round(seconds))


async def run_steps(parts: TaskParts, steps: Mapping[str, Step]) -> dict[str, int]:
    """Run the steps in order and return what each handled; -1 for a step that failed or had no time.

    A step that is running already is left to that run. One that ran out of time is nudged.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + SWEEP_SECONDS
    counts: dict[str, int] = {}
    for name, step in steps.items():
        seconds = min(STEP_SECONDS, ends_at - loop.time())
        if seconds < 0:
            log("sweep_step_put_off", severity="WARNING", step=name)
            counts[name] = -1
            await _nudge(parts, name)
            continue
        counts[name] = await run_step(parts, name, step, seconds)
    return counts


async def run_nudged(parts: TaskParts, steps: Mapping[str, Step], name: str) -> None:
    """Run the step that a nudge names, unless it is running."""
    if name not in steps:
        # Its release runs beside this one, or was rolled back.
        log("nudge_unknown", severity="WARNING", step=name)
        return
    count = await run_step(parts, name, steps[name], STEP_SECONDS)
    log("nudge_done", step=name, count=count)


async def run_step(parts: TaskParts, name: str, step: Step, seconds: float) -> int:
    """Run one step within its time and return what it handled; -1 if it failed, 0 if it is running already."""
    budget = Budget(name, seconds, parts.is_stopping)
    try:
        async with parts.locks.hold(name) as is_ours:
            if not is_ours:
                log("sweep_step_running", step=name)
                return 0
            # A call that hangs beyond the step's time is cancelled: the next sweep repeats it.
            async with asyncio.timeout(seconds + _HANGING_SECONDS):
                count = await step(parts, budget)
    except (errors.AppError, TimeoutError) as error:
        code = error.code if isinstance(error, errors.AppError) else "timeout"
        log("sweep_step_failed", severity="WARNING", step=name, code=code)
        return -1
    except RowsFailed:
        log("sweep_step_failed", severity="WARNING", step=name, code="every-row-failed")
        return -1
    except Exception as error:  # noqa: BLE001 (the other steps must still run; this one is reported)
        log_unexpected(error, step=name)
        return -1
    if count > 0 and budget.is_spent:
        await _nudge(parts, name)
    return count


async def _nudge(parts: TaskParts, name: str) -> None:
    """Have a step go on before the next tick; without a database, it waits for that."""
    try:
        async with committing(parts) as transaction:
            await nudge(transaction, name)
    except errors.Unavailable as error:
        log("nudge_failed", severity="WARNING", step=name, code=error.code)


async def remove_old(
    parts: TaskParts, budget: Budget, moment: Column[Any], age: timedelta, *conditions: ColumnElement[bool]
) -> int:
    """Delete the rows of a table whose `moment` is longer ago than `age`, oldest first."""
    remove = partial(queries.remove_oldest, parts.database, moment, age, conditions, OLD_ROWS_BATCH)
    return await in_batches(budget, remove, OLD_ROWS_BATCH)


async def in_batches(budget: Budget, run: Callable[[], Awaitable[int]], size: int | None = None) -> int:
    """Repeat a statement over at most `size` rows (`BATCH`) until few are left or the time is over."""
    total = 0
    while True:
        done = await run()
        total += done
        if done < (size or BATCH) or budget.is_spent:
            return total


async def in_transactions(
    parts: TaskParts, budget: Budget, batch: Callable[[Transaction], Awaitable[int]], limit: int
) -> tuple[int, bool]:
    """Repeat a batch, each in its own transaction; return how many rows it handled, and whether none are left."""
    total = 0
    while not budget.is_spent:
        async with committing(parts) as transaction:
            done = await batch(transaction)
        total += done
        if done < limit:
            return total, True
    return total, False


async def row_by_row(
    budget: Budget,
    take: Callable[[], Awaitable[Sequence[Row]]],
    handle: Callable[[Row], Awaitable[None]],
    *,
    at_once: int = 1,
) -> int:
    """Take batches of rows and handle each row, up to `at_once` concurrently; log and skip rows that fail.

    `take` returns at most `BATCH` rows. It must defer rows whose handling may keep failing: rows that stay at the head
    block others once they fill a batch.

    Raises:
        RowsFailed: Rows were due, and all of them failed.
    """
    total = 0
    while True:
        rows = await take()
        done = 0
        for first in range(0, len(rows), at_once):
            group = rows[first : first + at_once]
            done += sum(await asyncio.gather(*(_handle_row(budget.step, row, handle) for row in group)))
            if budget.is_spent:
                return total + done
        total += done
        if rows and total == 0:
            raise RowsFailed
        if len(rows) < BATCH or done == 0:
            return total


async def _handle_row(step: str, row: Row, handle: Callable[[Row], Awaitable[None]]) -> bool:
    try:
        await handle(row)
    except errors.AppError as error:
        log("sweep_row_failed", severity="WARNING", step=step, row_id=_id_of(row), code=error.code)
        return False
    except Exception as error:  # noqa: BLE001 (the other rows must still be handled; this one is reported)
        log_unexpected(error, step=step, row_id=_id_of(row))
        return False
    return True


def _id_of(row: Any) -> str:
    return str(row if isinstance(row, UUID) else row["id"])
