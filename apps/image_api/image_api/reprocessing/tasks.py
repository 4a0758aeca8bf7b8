"""Processes failed images again: an item for each, which is over when the processor has finished it."""

from collections.abc import Mapping, Sequence
from typing import ClassVar
from uuid import UUID

from image_api.images import service as images
from image_api.operations.items import DONE, Item, NewItem, Operation, Outcome, failed, in_progress
from image_api.operations.kinds import Filled, Kind
from image_api.reprocessing import queries
from image_api.tasks.parts import TaskParts
from image_core import errors
from image_core.db import Record, Transaction
from image_core.states import ImageStatus, ItemState

_PAGE = 1000


class Reprocessing(Kind):
    """Processes failed images again. `parameters` are those of `NewReprocessing`."""

    seconds_per_item: ClassVar[float] = 2.0
    uses_processor: ClassVar[bool] = True

    async def fill(self, parts: TaskParts, operation: Operation) -> Filled:
        """See `Kind`."""
        named, before = operation.parameters.get("team_id"), operation.fill_position
        rows = await queries.failed_before(
            parts.database, None if named is None else UUID(named), operation.parameters.get("code"),
            None if before is None else UUID(before), _PAGE,
        )  # fmt: skip
        items = [NewItem(row["id"], size_bytes=row["size_bytes"] or 0) for row in rows]
        return Filled(items, str(rows[-1]["id"]) if len(rows) == _PAGE else None)

    async def run_item(self, parts: TaskParts, transaction: Transaction, operation: Operation, item: Item) -> Outcome:
        """See `Kind`."""
        if item.image_id is None:
            raise errors.ImageNotFound
        await images.reprocess_image(transaction, operation.actor, item.image_id, parts.originals.bucket)
        return in_progress(item.image_id)

    async def settle(self, parts: TaskParts, operation: Operation, items: Sequence[Item]) -> Mapping[int, Outcome]:  # noqa: ARG002
        """See `Kind`."""
        rows = await queries.states(parts.database, [item.image_id for item in items if item.image_id is not None])
        outcomes = {item.position: _outcome(rows.get(item.image_id)) for item in items if item.image_id is not None}
        return {position: outcome for position, outcome in outcomes.items() if outcome is not None}


def _outcome(row: Record | None) -> Outcome | None:
    """Return what became of an image; None while it is processed."""
    if row is None:
        return failed(errors.ImageNotFound("The image was removed meanwhile."))
    if row["status"] == ImageStatus.READY:
        return DONE
    if row["status"] == ImageStatus.FAILED:
        return Outcome(ItemState.FAILED, row["failure_code"], row["failure_message"])
    return None
