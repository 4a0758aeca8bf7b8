"""The SQL of lists of images: one statement for each combination of conditions, which include the team."""

from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    Numeric,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    collate,
    false,
    func,
    literal_column,
    null,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.sql.util import ClauseAdapter

from image_api.images.columns import listed_columns
from image_api.listing.filters.sql import LOCAL_TIME, PHOTOGRAPHED_AT, clauses
from image_api.listing.orders import NEWEST_FIRST, Order
from image_api.listing.walks import Walk
from image_core.db import Query, Record, Runner
from image_core.models import image

WALKED_IMAGES = 10_000
"""Maximum number of images on which the conditions of one page are tried."""
FIRST_WALKED_IMAGES = 1_000
"""Number of images on which they are tried before the index of a filter is asked for candidates."""
MAX_CANDIDATES = 10_000
"""Maximum number of images that are found by the index of a filter, and then sorted."""
_MAX_STATEMENTS = 512

Columns = tuple[ColumnElement[Any], ...]

_SORT_KEYS: dict[str, ColumnElement[Any]] = {
    "created_at": image.c.created_at,
    "taken_at": PHOTOGRAPHED_AT,
    "taken_local": LOCAL_TIME,
    "filename": collate(image.c.filename, "C"),
}


def _sorted(order: Order, key: ColumnElement[Any], image_id: ColumnElement[UUID]) -> list[ColumnElement[Any]]:
    return [key.desc(), image_id.desc()] if order.descending else [key.asc(), image_id.asc()]


def _sorted_images(order: Order) -> list[ColumnElement[Any]]:
    return _sorted(order, _SORT_KEYS[order.field], image.c.id)


def _where(conditions: frozenset[str], order: Order) -> list[ColumnElement[bool]]:
    found = clauses(conditions - {"cursor"})
    return [*found, _follows(conditions, order)] if "cursor" in conditions else found


def _follows(conditions: frozenset[str], order: Order) -> ColumnElement[bool]:
    """Return whether an image comes after the cursor."""
    key, cursor_id = _SORT_KEYS[order.field], bindparam("cursor_id", type_=image.c.id.type)
    if "unnamed" in conditions:
        return image.c.id < cursor_id if order.descending else image.c.id > cursor_id
    row, cursor = tuple_(key, image.c.id), tuple_(bindparam("cursor_value", type_=key.type), cursor_id)
    return row < cursor if order.descending else row > cursor


def _sort_key(order: Order) -> ColumnElement[Any]:
    return _SORT_KEYS[order.field].label("sort_key")


@lru_cache(_MAX_STATEMENTS)
def _page_query(conditions: frozenset[str], order: Order, columns: Columns) -> Query:
    """Return the compiled list for a combination of conditions; the cache is bounded, since callers choose them."""
    return Query(
        select(*columns, _sort_key(order))
        .where(*_where(conditions, order))
        .order_by(*_sorted_images(order))
        .limit(bindparam("limit"))
    )


@lru_cache(_MAX_STATEMENTS)
def _walk_query(walk: Walk, order: Order, columns: Columns) -> Query:
    """Return the list among the next images in the order, followed by the last of these if all were examined.

    That row, the edge, has only its place in the list. It is looked for if the others are fewer than the limit, and
    found by the index alone.
    """
    walked = (
        select(image, _sort_key(order))
        .where(*_where(walk.along, order))
        .order_by(*_sorted_images(order))
        .limit(bindparam("walked", type_=Integer))
        .subquery("walked")
    )
    adapt = ClauseAdapter(walked).traverse
    found = (
        select(*map(adapt, columns), walked.c.sort_key, false().label("is_edge"))
        .where(*map(adapt, clauses(walk.tried)))
        .order_by(*_sorted(order, walked.c.sort_key, walked.c.id))
        .limit(bindparam("limit"))
    )
    edge = (
        select(
            *(column if column is image.c.id else null().label(column.name) for column in columns),
            _sort_key(order),
            true().label("is_edge"),
        )
        .where(*_where(walk.along, order))
        .order_by(*_sorted_images(order))
        .offset(bindparam("walked", type_=Integer) - literal_column("1"))
        .limit(literal_column("1"))
    )
    return Query(union_all(found, edge).limit(bindparam("limit")))


@lru_cache(_MAX_STATEMENTS)
def _count_query(conditions: frozenset[str]) -> Query:
    return Query(_count_of(select(literal_column("1")).select_from(image).where(*clauses(conditions))))


def _count_of(rows: Select[Any]) -> Select[Any]:
    return select(func.count()).select_from(rows.limit(bindparam("most")).subquery())


@lru_cache(_MAX_STATEMENTS)
def _found_query(conditions: frozenset[str], order: Order, columns: Columns) -> Query:
    """Return the list by the index of a filter. Only that index helps, so the planner is kept from walking the list."""
    found = select(image.c.id, _sort_key(order)).where(*_where(conditions, order)).cte("found")
    found = found.prefix_with("MATERIALIZED", dialect="postgresql")
    ids = select(found.c.id).order_by(*_sorted(order, found.c.sort_key, found.c.id)).limit(bindparam("limit"))
    listed = select(*columns, _sort_key(order)).where(image.c.id.in_(ids)).order_by(*_sorted_images(order))
    return Query(listed)


def page_statement(conditions: frozenset[str], order: Order = NEWEST_FIRST) -> Query:
    """Return the statement that lists images under these conditions, for EXPLAIN."""
    return _page_query(conditions, order, listed_columns(frozenset()))


async def page(
    runner: Runner, conditions: frozenset[str], values: dict[str, Any], order: Order, columns: Columns
) -> list[Record]:
    """Return images under the conditions, in the order, each with its `sort_key`."""
    return await runner.fetch(_page_query(conditions, order, columns), **values)


async def page_among_next(
    runner: Runner, walk: Walk, values: dict[str, Any], order: Order, columns: Columns, walked: int
) -> tuple[list[Record], Record | None]:
    """Return the page among the next `walked` images in the order, and the last of these if they were not enough."""
    rows = await runner.fetch(_walk_query(walk, order, columns), walked=walked, **values)
    found = [row for row in rows if not row["is_edge"]]
    return found, next((row for row in rows if row["is_edge"]), None)


async def page_found(
    runner: Runner, conditions: frozenset[str], values: dict[str, Any], order: Order, columns: Columns
) -> list[Record]:
    """Return the page by the index of a filter that few images pass."""
    return await runner.fetch(_found_query(conditions, order, columns), **values)


async def facet(
    runner: Runner, conditions: frozenset[str], values: dict[str, Any], name: str, most_images: int, most_values: int
) -> list[Record]:
    """Return the values of a field in the newest images under the conditions, the most frequent first.

    Each row also holds the number of images, at most `most_images`, and the statistics of numeric values.
    """
    value = image.c.metadata[bindparam("field_name", type_=Text)].label("value")
    newest = (
        select(value)
        .where(*clauses(conditions))
        .order_by(*_sorted_images(NEWEST_FIRST))
        .limit(most_images)
        .cte("newest")
    )
    number = case((func.jsonb_typeof(newest.c.value) == "number", cast(newest.c.value, Numeric)))
    totals = select(
        func.count().label("images"), func.count(newest.c.value).label("with_value"),
        func.min(number).label("min"), func.max(number).label("max"), func.avg(number).label("average"),
    ).select_from(newest).cte("totals")  # fmt: skip
    occurs = func.count().label("occurs")
    counted = (
        select(newest.c.value, occurs)
        .where(newest.c.value.is_not(None))
        .group_by(newest.c.value)
        .order_by(occurs.desc(), newest.c.value)
        .limit(most_values)
        .cte("counted")
    )
    statement = select(totals, counted).select_from(totals.outerjoin(counted, true()))
    statement = statement.order_by(counted.c.occurs.desc(), counted.c.value)
    return await runner.fetch(statement, field_name=name, **values)


async def metadata_names(runner: Runner, team_id: UUID | None) -> list[str]:
    """Return the metadata names of the newest images outside the trash."""
    conditions = {"not_trashed", "not_expired"} | ({"team_id"} if team_id else set())
    newest = (
        select(image.c.metadata)
        .where(*clauses(frozenset(conditions)))
        .order_by(*_sorted_images(NEWEST_FIRST))
        .limit(literal_column(str(WALKED_IMAGES)))
        .subquery()
    )
    rows = await runner.fetch(
        select(func.jsonb_object_keys(newest.c.metadata).label("name")).distinct(), team_id=team_id
    )
    return [row["name"] for row in rows]


async def count(runner: Runner, conditions: frozenset[str], values: dict[str, Any], most: int) -> int:
    """Return the number of images under the conditions, and at most `most`."""
    total: int = await runner.fetch_value(_count_query(conditions), most=most, **values)
    return total


@lru_cache(_MAX_STATEMENTS)
def _count_among_newest_query(walk: Walk) -> Query:
    walked = (
        select(image)
        .where(*clauses(walk.along))
        .order_by(*_sorted_images(NEWEST_FIRST))
        .limit(bindparam("most"))
        .subquery("walked")
    )
    tried = and_(*map(ClauseAdapter(walked).traverse, clauses(walk.tried)))
    matching = func.count().filter(tried).label("matching")
    return Query(select(func.count().label("examined"), matching).select_from(walked))


async def count_among_newest(runner: Runner, walk: Walk, values: dict[str, Any], most: int) -> tuple[int, int]:
    """Return the number of the newest images, at most `most`, and how many of these match."""
    (row,) = await runner.fetch(_count_among_newest_query(walk), most=most, **values)
    return row["examined"], row["matching"]
