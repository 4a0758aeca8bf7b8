"""The images before and after one in the list that its address names."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from uuid import UUID

from image_api.actor import Actor
from image_api.listing import service as listing
from image_api.listing.orders import Order, Position, encode_position, parse_order
from image_api.listing.schemas import ImageFilters
from image_core.db import Record, Runner


class Neighbors(NamedTuple):
    """The ids of the images next to one in a list; null where the list ends."""

    before: UUID | None
    after: UUID | None


async def find_neighbors(
    runner: Runner, actor: Actor, filters: ImageFilters, others: tuple[Any, Any], row: Record
) -> Neighbors:
    """Return the neighbors of an image among those that match, whether it matches itself or not.

    A search that looks at some images at a time may not reach a neighbor; it is null, too.

    Raises:
        errors.FilterUnknown, errors.FilterInvalid, errors.OrderUnknown: As for the list.
    """
    order = parse_order(filters.order_by)
    value = row[order.field] or (row["created_at"] if order.field == "taken_at" else None)

    async def first(order: Order, position: Position | None) -> Record | None:
        cursor = None if position is None else encode_position(order, position)
        asked = {"order_by": str(order), "cursor": cursor, "limit": 1, "include_total": False}
        page, _ = await listing.list_images(runner, actor, filters.model_copy(update=asked), *others)
        return page.rows[0] if page.rows else None

    here, turned = Position(value, row["id"]), Order(order.field, not order.descending)
    before, after = await first(turned, here), await first(order, here)
    if order.field == "filename":
        before = await _named_before(before, value, lambda: first(turned, None))
    return Neighbors(before["id"] if before else None, after["id"] if after else None)


async def _named_before(
    found: Record | None, value: Any, last_named: Callable[[], Awaitable[Record | None]]
) -> Record | None:
    """Correct what the turned order finds: images without a name are last in both directions."""
    if value is None and found is None:
        last = await last_named()
        return last if last is not None and last["sort_key"] is not None else None
    return None if found is not None and value is not None and found["sort_key"] is None else found
