"""The counts of an operation, its end, and the events about both."""

from datetime import timedelta
from typing import Any

from image_api.operations import queries
from image_core import events
from image_core.db import Record, Transaction
from image_core.events import EventType
from image_core.states import UNDER_WAY, ItemState, OperationStatus

PROGRESS_EVERY = timedelta(seconds=5)
"""Progress is counted and announced at most once in this time."""


async def count(transaction: Transaction, locked: Record, status: OperationStatus | None = None) -> bool:
    """Count the items of a locked operation, end it if none is left, and return whether it is finished.

    `status` is its new status, if it is to be ended now. An operation whose items are still in progress somewhere is
    not finished before these are over.
    """
    counts = await queries.count_items(transaction, locked["id"])
    status = status or OperationStatus(locked["status"])
    if status is OperationStatus.RUNNING and not counts[ItemState.WAITING] and not counts[ItemState.IN_PROGRESS]:
        status = OperationStatus.SUCCEEDED
    is_finished = status not in UNDER_WAY and not counts[ItemState.IN_PROGRESS]
    await queries.store_counts(transaction, locked, status, counts, is_finished=is_finished)
    data: dict[str, Any] = {
        "kind": locked["kind"],
        "status": status,
        "total": None if status is OperationStatus.ESTIMATING else locked["total"],
        "done": counts[ItemState.DONE],
        "failed": counts[ItemState.FAILED],
    }
    about = locked["team_id"], locked["id"]
    if is_finished:
        data["code"] = locked["failure_code"]
        await events.record(transaction, events.operation_event(EventType.OPERATION_FINISHED, *about, data))
    elif status in UNDER_WAY and await queries.now(transaction) - locked["counted_at"] >= PROGRESS_EVERY:
        await events.record(transaction, events.operation_event(EventType.OPERATION_PROGRESSED, *about, data))
    return is_finished
