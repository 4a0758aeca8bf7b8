"""The kind of operation that decides which images an export has."""

from typing import ClassVar

from image_api.exports import queries
from image_api.exports.images import why_not_exported
from image_api.listing.matching import find_matching
from image_api.operations.items import DONE, Item, NewItem, Operation, Outcome
from image_api.operations.kinds import Filled, Kind
from image_api.tasks.parts import TaskParts
from image_core.db import Transaction


class Export(Kind):
    """Finds the images of an export. Nothing is copied: the manifest is written when it is read."""

    items_at_once: ClassVar[int] = 2

    async def fill(self, parts: TaskParts, operation: Operation) -> Filled:
        """Return the next images that the filter matches, newest first."""
        pairs = operation.parameters["_filters"]
        page = await find_matching(
            parts.database, operation.actor, operation.owner_id, pairs, operation.fill_position
        )  # fmt: skip
        items = [NewItem(row["id"], size_bytes=row["size_bytes"] or 0) for row in page.rows]
        return Filled(items, page.next_cursor)

    async def run_item(
        self,
        parts: TaskParts,  # noqa: ARG002
        transaction: Transaction,
        operation: Operation,
        item: Item,
    ) -> Outcome:
        """Fail an image that is not there or not ready."""
        error = why_not_exported(await queries.find_status(transaction, operation.owner_id, item.image_id))
        if error is not None:
            raise error
        return DONE
