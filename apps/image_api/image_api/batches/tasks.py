"""What image-tasks does of batches that are operations: each image as a batch of its own would be done."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from image_api.analyses import queries as analysis_queries
from image_api.analyses.content import content_key
from image_api.analyses.many import Unpaid, write_requests
from image_api.analyses.queries import Order
from image_api.batches import queries
from image_api.batches.actions import apply
from image_api.batches.collecting import collect
from image_api.batches.estimates import SECONDS_PER_ANALYSIS, SECONDS_PER_CHANGE, to_items
from image_api.batches.schemas import BatchAction, NewBatch
from image_api.listing.matching import find_matching
from image_api.metadata_schemas import service as metadata_schemas
from image_api.operations.items import DONE, Item, Operation, Outcome, failed, in_progress
from image_api.operations.kinds import Filled, Kind
from image_api.tasks.parts import TaskParts
from image_core import errors
from image_core.analyses.catalogue import price_credits
from image_core.db import Record, Transaction
from image_core.states import AnalysisStatus, ItemState


def _order_of(operation: Operation) -> Order | None:
    stored = operation.parameters.get("_order")
    if stored is None:
        return None
    analyzer, version, parameters, parameters_hash = stored
    return Order(analyzer, version, parameters, bytes.fromhex(parameters_hash))


async def _find_images(parts: TaskParts, operation: Operation) -> Filled:
    """Return the next images that the filter of a batch matches, newest first."""
    team_id = operation.owner_id
    pairs = operation.parameters["_filters"]
    page = await find_matching(parts.database, operation.actor, team_id, pairs, operation.fill_position)
    items = await to_items(parts.database, team_id, page.rows, _order_of(operation))
    return Filled(items, page.next_cursor)


async def _lock_image(transaction: Transaction, operation: Operation, item: Item) -> Record:
    """Return the image of an item, locked for the rest of the transaction.

    Raises:
        errors.ImageNotFound: The team has none such.
    """
    rows = await queries.lock(transaction, operation.owner_id, [item.image_id] if item.image_id else [])
    if not rows:
        raise errors.ImageNotFound
    (row,) = rows.values()
    return row


class Changes(Kind):
    """Batches that change images."""

    seconds_per_item: ClassVar[float] = SECONDS_PER_CHANGE
    items_at_once: ClassVar[int] = 2

    def keeps_order(self, operation: Operation) -> bool:
        """See `Kind`."""
        return bool(operation.parameters["action"] == BatchAction.ADD_TO_COLLECTION)

    async def fill(self, parts: TaskParts, operation: Operation) -> Filled:
        """See `Kind`."""
        return await _find_images(parts, operation)

    async def run_item(self, parts: TaskParts, transaction: Transaction, operation: Operation, item: Item) -> Outcome:
        """See `Kind`."""
        row = await _lock_image(transaction, operation, item)
        batch = _batch_of(operation.parameters, row["id"])
        if batch.collection_id is not None:
            most = operation.parameters["_images_per_collection"]
            of_batch = operation.actor, batch.collection_id, batch.action
            _, refused = await collect(transaction, *of_batch, [row], most, 0)
            if row["id"] in refused:
                raise refused[row["id"]]
            return DONE
        declared = await metadata_schemas.declared_fields(transaction, row["team_id"]) if batch.metadata else {}
        await apply(transaction, operation.actor, row, batch, declared, parts.originals.bucket)
        return DONE


def _batch_of(parameters: dict[str, Any], image_id: UUID) -> NewBatch:
    """Return the batch of one image."""
    asked = {name: value for name, value in parameters.items() if not name.startswith("_") and name != "filter"}
    return NewBatch.model_validate({**asked, "ids": [image_id]})


class Analyses(Kind):
    """Batches that analyze images."""

    seconds_per_item: ClassVar[float] = SECONDS_PER_ANALYSIS
    spends_credits: ClassVar[bool] = True
    uses_processor: ClassVar[bool] = True

    async def fill(self, parts: TaskParts, operation: Operation) -> Filled:
        """See `Kind`."""
        return await _find_images(parts, operation)

    async def run_item(
        self,
        parts: TaskParts,  # noqa: ARG002
        transaction: Transaction,
        operation: Operation,
        item: Item,
    ) -> Outcome:
        """See `Kind`."""
        team_id, order = operation.owner_id, _order_of(operation)
        rows = await analysis_queries.find_images(transaction, team_id, [item.image_id] if item.image_id else [])
        content = content_key(next(iter(rows.values()), None))
        if order is None:
            raise errors.AnalyzerUnknown
        known = await analysis_queries.find_by_content(transaction, content, order)
        if known is not None:
            return DONE if known["status"] == AnalysisStatus.DONE else in_progress(known["id"])
        try:
            added = await write_requests(transaction, operation.actor, team_id, [content.sha256], order)
        except Unpaid as unpaid:
            raise unpaid.error from unpaid
        if not added:
            raise errors.DatabaseUnavailable("The analysis was requested concurrently. Try again.")
        return in_progress(added[content.sha256], price_credits(order.analyzer, order.version))

    async def settle(self, parts: TaskParts, operation: Operation, items: Sequence[Item]) -> Mapping[int, Outcome]:
        """See `Kind`."""
        subjects = [item.subject_id for item in items if item.subject_id]
        rows = await analysis_queries.find_outcomes(parts.database, operation.owner_id, subjects)
        found = {row["id"]: row for row in rows}
        outcomes = {item.position: _outcome(found.get(item.subject_id)) for item in items if item.subject_id}
        return {position: outcome for position, outcome in outcomes.items() if outcome is not None}


def _outcome(row: Record | None) -> Outcome | None:
    """Return what became of an analysis; None while it is not over."""
    if row is None:
        return failed(errors.AnalysisNotFound("The image was removed before it was analyzed."))
    match row["status"]:
        case AnalysisStatus.DONE:
            return DONE
        case AnalysisStatus.FAILED:
            return Outcome(ItemState.FAILED, row["failure_code"], row["failure_message"])
        case _:
            return None
