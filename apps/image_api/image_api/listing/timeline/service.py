"""The rules of the timeline: images by the month in which they were photographed, by the camera's clock."""

from collections.abc import Sequence
from datetime import MAXYEAR, datetime
from typing import Any

from image_api.actor import Actor
from image_api.listing import service
from image_api.listing.filters.conditions import conditions
from image_api.listing.filters.metadata import MetadataFilter
from image_api.listing.filters.results import ResultCondition
from image_api.listing.orders import LATEST_OF_MONTH
from image_api.listing.queries import WALKED_IMAGES
from image_api.listing.schemas import ImageFilters
from image_api.listing.service import Page
from image_api.listing.timeline import queries
from image_api.listing.timeline.schemas import CountedMonth, Timeline
from image_api.listing.walks import Walk, plan_walk
from image_core.db import Record, Runner

COUNTED_IMAGES = 30_000
"""Maximum number of images that one answer counts by the index alone."""


async def count_months(
    runner: Runner,
    actor: Actor,
    before: datetime | None,
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
    if before is not None:
        names.add("month_end")
        values["month_end"] = before
    walk = plan_walk(frozenset(names), LATEST_OF_MONTH)
    if walk is None or (walk.tried and await service.finds_few(runner, walk, values)):
        rows = await queries.months(runner, frozenset(names), values)
        return Timeline(months=[_counted(row) for row in rows], next_before=None)
    return await _count_next(runner, walk, values)


async def _count_next(runner: Runner, walk: Walk, values: dict[str, Any]) -> Timeline:
    most = WALKED_IMAGES if walk.tried else COUNTED_IMAGES
    rows = await queries.next_months(runner, walk, values, most)
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
    values |= {"month_start": month, "month_end": _following(month)}
    names |= {"month_start", "month_end"}
    return await service.find_page(runner, names, values, LATEST_OF_MONTH, limit, queries.TILE_COLUMNS, after)


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


def _following(month: datetime) -> datetime:
    if (month.year, month.month) == (MAXYEAR, 12):
        return datetime.max  # noqa: DTZ901 (local times have no zone)
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def _name(row: Record) -> str:
    month: datetime = row["month"]
    return f"{month.year:04}-{month.month:02}"


def _counted(row: Record, *, at_least: bool = False) -> CountedMonth:
    return CountedMonth(month=_name(row), count=row["matching"], at_least=at_least)
