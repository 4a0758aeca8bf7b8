"""The SQL of the timeline."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Double,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.sql.selectable import LateralFromClause
from sqlalchemy.sql.util import ClauseAdapter

from image_api.images.columns import PLACEHOLDER
from image_api.listing.filters.sql import LOCAL_TIME, clauses
from image_api.listing.orders import LATEST_OF_MONTH, NEWEST_FIRST, Order
from image_api.listing.queries import Columns
from image_api.listing.walks import Walk
from image_core.db import Query, Record, Runner
from image_core.models import image

_MAX_STATEMENTS = 128

TILE_COLUMNS: Columns = (
    image.c.id,
    (cast(image.c.width, Double) / image.c.height).label("ratio"),
    PLACEHOLDER.label("placeholder"),
    image.c.status,
)
"""What a grid of images needs to lay out its tiles."""


_ONE: ColumnElement[int] = literal_column("1")
_MONTH: ColumnElement[str] = literal_column("'month'")
_ONE_MONTH: ColumnElement[timedelta] = literal_column("interval '1 month'")


class _Clock(NamedTuple):
    """A time of images by which an index sorts them.

    Attributes:
        time: as the index has it.
        local: what this time is without a zone, of which the month is taken.
        moment: the reverse of `local`.
    """

    time: ColumnElement[datetime]
    local: Callable[[ColumnElement[datetime]], ColumnElement[datetime]]
    moment: Callable[[ColumnElement[datetime]], ColumnElement[datetime]]


def _in_utc(time: ColumnElement[datetime]) -> ColumnElement[datetime]:
    return func.timezone(literal_column("'UTC'"), time, type_=DateTime)


_CLOCKS = {
    LATEST_OF_MONTH: _Clock(LOCAL_TIME, lambda time: time, lambda time: time),
    NEWEST_FIRST: _Clock(image.c.created_at, _in_utc, _in_utc),
}


def _month(time: ColumnElement[datetime]) -> ColumnElement[datetime]:
    return func.date_trunc(_MONTH, time, type_=DateTime)


def _latest_month(walk: Walk, clock: _Clock, before: ColumnElement[datetime] | None = None) -> ColumnElement[datetime]:
    """Return the month of the latest image, found as one entry of the index; `before` is a column of another table."""
    latest = select(clock.time).where(*clauses(walk.along)).order_by(clock.time.desc(), image.c.id.desc())
    if before is not None:
        latest = latest.where(clock.moment(before) > clock.time).correlate(before.table)
    return _month(clock.local(latest.limit(_ONE).scalar_subquery()))


def _numbers(walk: Walk, clock: _Clock, month: ColumnElement[datetime]) -> LateralFromClause:
    """Return how many images of a month are examined, at most `most`, and how many of these match."""
    in_month = (clock.moment(month) <= clock.time, clock.moment(month + _ONE_MONTH) > clock.time)
    walked = select(image).where(*clauses(walk.along), *in_month).limit(bindparam("most"))
    rows = walked.correlate(month.table).lateral("of_month")
    tried = [*map(ClauseAdapter(rows).traverse, clauses(walk.tried))]
    matching = func.count().filter(and_(*tried)) if tried else func.count()
    return select(func.count().label("examined"), matching.label("matching")).select_from(rows).lateral("numbers")


@lru_cache(_MAX_STATEMENTS)
def _next_months_query(walk: Walk, order: Order) -> Query:
    """Return months with their numbers. Each is reached from the one before it, however many images lie between."""
    clock = _CLOCKS[order]
    # The limits keep the planner from writing the search for a month wherever the month is used.
    first = select(_latest_month(walk, clock).label("month")).limit(_ONE).subquery("first_month")
    numbers = _numbers(walk, clock, first.c.month)
    begin = (
        select(first.c.month, numbers.c.examined, numbers.c.matching, numbers.c.examined.label("total"))
        .select_from(first.join(numbers, true()))
        .where(first.c.month.is_not(None))
    )
    months = begin.cte("months", recursive=True)
    earlier = select(_latest_month(walk, clock, months.c.month).label("month")).limit(_ONE).lateral("earlier_month")
    numbers = _numbers(walk, clock, earlier.c.month)
    total = (months.c.total + numbers.c.examined).label("total")
    following = (
        select(earlier.c.month, numbers.c.examined, numbers.c.matching, total)
        .select_from(months.join(earlier, true()).join(numbers, true()))
        .where(months.c.total < bindparam("most"), earlier.c.month.is_not(None))
    )
    months = months.union_all(following)
    return Query(select(months).order_by(months.c.month.desc()))


@lru_cache(_MAX_STATEMENTS)
def _months_query(conditions: frozenset[str], order: Order) -> Query:
    clock = _CLOCKS[order]
    found = select(clock.local(clock.time).label("local_time")).where(*clauses(conditions)).cte("found")
    found = found.prefix_with("MATERIALIZED", dialect="postgresql")
    month = _month(found.c.local_time).label("month")
    return Query(select(month, func.count().label("matching")).group_by(month).order_by(month.desc()))


async def next_months(runner: Runner, walk: Walk, values: dict[str, Any], order: Order, most: int) -> list[Record]:
    """Return months with their numbers of images that match, latest first, until `most` images have been examined.

    Of one month, no more than `most` are examined. `total` is the number examined up to a month.
    """
    return await runner.fetch(_next_months_query(walk, order), most=most, **values)


async def months(runner: Runner, conditions: frozenset[str], values: dict[str, Any], order: Order) -> list[Record]:
    """Return the months of all images under the conditions, latest first, with their numbers."""
    return await runner.fetch(_months_query(conditions, order), **values)
