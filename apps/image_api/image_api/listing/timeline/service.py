"""The rules of the timeline: images by the month in which they were photographed, or uploaded.

The camera's clock counts for the former, UTC for the latter.
"""

from collections.abc import Sequence
from datetime import MAXYEAR, UTC, datetime
from typing import Any

from image_api.actor import Actor
from image_api.listing import service
from image_api.listing.filters.conditions import conditions
from image_api.listing.filters.metadata import MetadataFilter
from image_api.listing.filters.results import ResultCondition
from image_api.listing.orders import LATEST_OF_MONTH, NEWEST_FIRST, Order
from image_api.listing.queries import WALKED_IMAGES
from image_api.listing.schemas import ImageFilters
from image_api.listing.service import Page
from image_api.listing.timeline import queries
from image_api.listing.timeline.schemas import CountedMonth, Timeline
from image_api.listing.walks import Walk, plan_walk
from image_core.db import Record, Runner

ORDERS = {"taken_at desc": LATEST_OF_MONTH, str(NEWEST_FIRST): NEWEST_FIRST}
"""The orders of a timeline as `order_by` names them."""
COUNTED_IMAGES = 30_000
"""Maximum number of images that one answer counts by the index alone."""


async def count_months(
    runner: Runner,
    actor: Actor,
    before: datetime | None,
    order: Order,
    filters: ImageFilters,
    on_metadata: Sequence[MetadataFilter],
    on_results: Sequence[ResultCondition],
) -> Timeline:
    """Count the images that match in each month before `before`, latest first, until enough have been examined.

    Raises:
        errors.FilterUnknown: The filter does not exist.
        errors.FilterInvalid: The filter is not valid, or the team is missing.
    """
    names, values = await _conditions(runner, actor, filters, on_metadata, on_results)
    _bound(names, values, order, end=before)
    walk = plan_walk(frozenset(names), order)
    if walk is None or (walk.tried and await service.finds_few(runner, walk, values)):
        rows = await queries.months(runner, frozenset(names), values, order)
        return Timeline(months=[_counted(row) for row in rows], next_before=None)
    return await _count_next(runner, walk, values, order)


async def _count_next(runner: Runner, walk: Walk, values: dict[str, Any], order: Order) -> Timeline:
    most = WALKED_IMAGES if walk.tried else COUNTED_IMAGES
    rows = await queries.next_months(runner, walk, values, order, most)
    cut = [row["examined"] >= most for row in rows]
    months = [
        _counted(row, at_least=at_least) for row, at_least in zip(rows, cut, strict=True) if row["matching"] or at_least
    ]
    goes_on = bool(rows) and rows[-1]["total"] >= most
    return Timeline(months=months, next_before=_name(rows[-1]) if goes_on else None)


async def list_month(
    runner: Runner,
    actor: Actor,
    month: datetime,
    order: Order,
    limit: int,
    after: str | None,
    filters: ImageFilters,
    on_metadata: Sequence[MetadataFilter],
    on_results: Sequence[ResultCondition],
) -> Page:
    """Return images of a month that match, latest first.

    Raises:
        errors.CursorInvalid: The cursor is not valid.
        errors.CursorOfAnotherOrder: The cursor is that of a list.
        errors.FilterUnknown: The filter does not exist.
        errors.FilterInvalid: The filter is not valid, or the team is missing.
    """
    names, values = await _conditions(runner, actor, filters, on_metadata, on_results)
    _bound(names, values, order, month, _following(month))
    return await service.find_page(runner, names, values, order, limit, queries.TILE_COLUMNS, after)


async def _conditions(
    runner: Runner,
    actor: Actor,
    filters: ImageFilters,
    on_metadata: Sequence[MetadataFilter],
    on_results: Sequence[ResultCondition],
) -> tuple[set[str], dict[str, Any]]:
    names, values = await conditions(runner, actor, filters, on_metadata, on_results)
    service.require_team(names, "A timeline needs a team")
    return names, values


def _bound(
    names: set[str], values: dict[str, Any], order: Order, start: datetime | None = None, end: datetime | None = None
) -> None:
    """Add the conditions on the time of the order: from `start`, and before `end`."""
    if order != NEWEST_FIRST:
        bounds = {"month_start": start, "month_end": end}
    else:
        after, before = values.get("created_after"), values.get("created_before")
        bounds = {
            "created_after": max(filter(None, (after, start and start.replace(tzinfo=UTC))), default=None),
            "created_before": min(filter(None, (before, end and end.replace(tzinfo=UTC))), default=None),
        }
    given = {name: value for name, value in bounds.items() if value is not None}
    names.update(given)
    values.update(given)


def _following(month: datetime) -> datetime:
    if (month.year, month.month) == (MAXYEAR, 12):
        return datetime.max  # noqa: DTZ901 (local times have no zone)
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def _name(row: Record) -> str:
    month: datetime = row["month"]
    return f"{month.year:04}-{month.month:02}"


def _counted(row: Record, *, at_least: bool = False) -> CountedMonth:
    return CountedMonth(month=_name(row), count=row["matching"], at_least=at_least)
