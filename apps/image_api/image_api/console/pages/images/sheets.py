"""A page of a list of images as its address describes it: filters, order and place in the list."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from fastapi import Request, Response

from image_api.actor import Actor
from image_api.console.frame import go_to
from image_api.console.policy import HOME
from image_api.listing import service as listing
from image_api.listing.filters.query_string import filter_parameters, parse_all
from image_api.listing.orders import Order, Position, encode_position, parse_order
from image_api.listing.schemas import ImageFilters
from image_api.services import Services
from image_core.db import Record

IMAGES = f"{HOME}/images"
IMAGES_A_PAGE = 60
_BEFORE = "before"
AT = "at"
"""Names the image that a list shows and focuses."""
VIEW = "view"
FACET = "facet"
OTHERS = (_BEFORE, AT, VIEW, FACET)
"""What the address of a page of a list has besides filters."""
_PAGED = frozenset({"cursor", _BEFORE})
OF_A_PAGE = frozenset({"cursor", "limit", "include_total"})
"""What says how much of a list to show, not what is in it."""
VIEW_PARAMETER = {"name": VIEW, "in": "query", "schema": {"type": "string"}}
"""How the list is shown; the page of an image leads back to it."""
PARAMETERS = [
    *filter_parameters(),
    {"name": _BEFORE, "in": "query", "schema": {"type": "string"}},
    # The image that was opened; scripts show it again.
    {"name": AT, "in": "query", "schema": {"type": "string"}},
    VIEW_PARAMETER,
    # The metadata field whose values are counted.
    {"name": FACET, "in": "query", "schema": {"type": "string"}},
]
"""The parameters of the page of a list, for `openapi_extra`."""


class Sheet(NamedTuple):
    """A page of a list.

    Attributes:
        rows: the images.
        partial: whether the search for more images on this page was given up.
        filters: what selects the images.
        kept: the filters, the order and the view as they stand in the address.
        first: address of the first page; None on the first page. Likewise `before` and `after` at the list's ends.
    """

    rows: list[Record]
    partial: bool
    filters: ImageFilters
    kept: list[tuple[str, str]]
    first: str | None
    before: str | None
    after: str | None


class _Part(NamedTuple):
    """A part of the list; `before` and `after` are cursors, null where the list ends."""

    rows: list[Record]
    before: str | None
    after: str | None
    partial: bool


async def find_sheet(
    request: Request, services: Services, actor: Actor, path: str, included: Sequence[str]
) -> Sheet | Response:
    """Return the page of the list at `path` with what is `included`, or a redirect to its plain address.

    Raises:
        errors.CursorInvalid: The cursor is not valid.
        errors.CursorOfAnotherOrder: The cursor continues a list in another order.
        errors.FilterUnknown: The filter does not exist.
        errors.FilterInvalid: The filter is not valid, or an order other than by time of upload lacks a team.
        errors.OrderUnknown: There is no such order.
        errors.RequestInvalid: A field of the request is not valid.
    """
    query = request.query_params.multi_items()
    if len(given := [(name, value) for name, value in query if value.strip()]) < len(query):
        # A form sends its empty fields, too.
        return go_to(list_address(given, path))
    filters, *others = parse_all(request.query_params, other_parameters=OTHERS)
    if "limit" not in request.query_params:
        filters = filters.model_copy(update={"limit": IMAGES_A_PAGE})
    part = await _find(services, actor, filters, (*others, included), request.query_params.get(_BEFORE))
    kept = [(name, value) for name, value in given if name not in _PAGED and name not in (AT, FACET)]
    is_first = _PAGED.isdisjoint(name for name, _ in given)
    if part is None:
        return go_to(list_address(kept, path))
    return Sheet(
        part.rows, part.partial, filters, kept,
        None if is_first else list_address(kept, path),
        part.before and list_address([*kept, (_BEFORE, part.before)], path),
        part.after and list_address([*kept, ("cursor", part.after)], path),
    )  # fmt: skip


async def _find(
    services: Services, actor: Actor, filters: ImageFilters, others: tuple[Any, ...], before: str | None
) -> _Part | None:
    """Return a part of the list; None if what precedes it is the first page, which is shown whole."""
    order = parse_order(filters.order_by)
    turned = Order(order.field, not order.descending)
    if before is None:
        page, _ = await listing.list_images(services.database, actor, filters, *others)
        # Images without a name are last in both directions, so that this order cannot be turned around.
        can_turn = filters.cursor is not None and page.rows and order.field != "filename"
        return _Part(page.rows, _place(turned, page.rows[0]) if can_turn else None, page.next_cursor, page.partial)
    backwards = filters.model_copy(update={"order_by": str(turned), "cursor": before})
    page, _ = await listing.list_images(services.database, actor, backwards, *others)
    if page.next_cursor is None:
        return None
    rows = page.rows[::-1]
    return _Part(rows, page.next_cursor, _place(order, rows[-1]) if rows else None, page.partial)


def _place(order: Order, row: Record) -> str:
    return encode_position(order, Position(row["sort_key"], row["id"]))


def list_address(query: Sequence[tuple[str, str]], path: str = IMAGES) -> str:
    """Return the address of a list with these filters, or of an image within it."""
    return f"{path}?{urlencode(query)}" if query else path
