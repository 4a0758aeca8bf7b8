"""The rules of lists of images: how a page is found, and how many images match."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from image_api.actor import Actor
from image_api.images.columns import listed_columns
from image_api.listing import queries
from image_api.listing.filters.conditions import conditions
from image_api.listing.filters.metadata import MetadataFilter
from image_api.listing.filters.results import ResultCondition
from image_api.listing.orders import Order, Position, decode_position, encode_position, parse_order
from image_api.listing.queries import Columns
from image_api.listing.schemas import ImageFilters
from image_api.listing.totals import Total, count_images
from image_api.listing.walks import Walk, plan_walk
from image_core import errors
from image_core.db import Record, Runner


class Page(NamedTuple):
    """A page of a list.

    Attributes:
        rows: the images.
        next_cursor: of the following page; None on the last one.
        partial: whether the search for more images on this page was given up, so that it may have few or none.
    """

    rows: list[Record]
    next_cursor: str | None
    partial: bool


async def list_images(
    runner: Runner,
    actor: Actor,
    filters: ImageFilters,
    on_metadata: Sequence[MetadataFilter],
    on_results: Sequence[ResultCondition],
    included: Collection[str] = (),
) -> tuple[Page, Total | None]:
    """Return a page of images, and the number of all matches if requested.

    The rows have the columns of what is `included`.

    Raises:
        errors.CursorInvalid: The cursor is not valid.
        errors.CursorOfAnotherOrder: The cursor continues a list in another order.
        errors.FilterUnknown: The filter does not exist.
        errors.FilterInvalid: The filter is not valid, or an order other than by time of upload lacks a team.
        errors.OrderUnknown: There is no such order.
    """
    order = parse_order(filters.order_by)
    names, values = await conditions(runner, actor, filters, on_metadata, on_results)
    if order.field != "created_at":
        require_team(names, f"The order `{order}` needs a team")
    total = await count_images(runner, frozenset(names), values) if filters.include_total else None
    columns = listed_columns(frozenset(included))
    return await find_page(runner, names, values, order, filters.limit, columns, filters.cursor), total


def require_team(names: Collection[str], reason: str) -> None:
    """Check that a list is of one team.

    Raises:
        errors.FilterInvalid: It is a list of all teams.
    """
    if "team_id" not in names:
        raise errors.FilterInvalid(f"{reason}. Send ?team_id=<id>.", field="team_id")


async def find_page(
    runner: Runner,
    names: Collection[str],
    values: dict[str, Any],
    order: Order,
    limit: int,
    columns: Columns,
    cursor: str | None,
) -> Page:
    """Return the images under the conditions that follow a cursor in the order, at most `limit`.

    Raises:
        errors.CursorInvalid: The cursor is not valid.
        errors.CursorOfAnotherOrder: The cursor continues a list in another order.
    """
    position = None if cursor is None else decode_position(order, cursor)
    rows: list[Record] = []
    edge = None
    for section, after in _sections(order, position):
        asked = frozenset({*names, *section, *({"cursor"} if after else ())})
        following = {"cursor_value": after.value, "cursor_id": after.image_id} if after else {}
        bounds = {"limit": limit + 1 - len(rows), **following}
        found, edge = await _find(runner, asked, values | bounds, order, columns)
        rows += found
        if len(rows) > limit or edge is not None:
            break
    last = rows[limit - 1] if len(rows) > limit else edge
    next_cursor = None if last is None else encode_position(order, Position(last["sort_key"], last["id"]))
    return Page(rows[:limit], next_cursor, partial=len(rows) <= limit and edge is not None)


def _sections(order: Order, position: Position | None) -> list[tuple[tuple[str, ...], Position | None]]:
    """Return the parts of a list in turn, each with its own conditions and the position after which it begins."""
    if order.field != "filename":
        return [((), position)]
    unnamed = (("unnamed",), None)
    if position is None:
        return [(("named",), None), unnamed]
    return [(("unnamed",), position)] if position.value is None else [(("named",), position), unnamed]


async def _find(
    runner: Runner, names: frozenset[str], values: dict[str, Any], order: Order, columns: Columns
) -> tuple[list[Record], Record | None]:
    """Return at most `limit` images, and if more were not looked for, the last image that was examined."""
    walk = plan_walk(names, order)
    if walk is None or not walk.tried:
        return await queries.page(runner, names, values, order, columns), None
    if not walk.finding:
        return await queries.page_among_next(runner, walk, values, order, columns, queries.WALKED_IMAGES)
    first, edge = await queries.page_among_next(runner, walk, values, order, columns, queries.FIRST_WALKED_IMAGES)
    if edge is None:
        return first, None
    # An index may be slow to count what is frequent, and what occurs here will probably fill the page without it.
    early = walk.finds_at_once or not first
    if early and await finds_few(runner, walk, values):
        return await queries.page_found(runner, names, values, order, columns), None
    found, edge = await queries.page_among_next(runner, walk, values, order, columns, queries.WALKED_IMAGES)
    if edge is not None and not early and await finds_few(runner, walk, values):
        return await queries.page_found(runner, names, values, order, columns), None
    return found, edge


async def finds_few(runner: Runner, walk: Walk, values: dict[str, Any]) -> bool:
    """Return whether an index finds few enough candidates to sort them all."""
    most = queries.MAX_CANDIDATES
    return bool(walk.finding) and await queries.count(runner, walk.finding, values, most + 1) <= most
