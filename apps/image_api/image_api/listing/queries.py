"""The SQL of lists of images: one statement for each combination of conditions, which include the team."""

from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Numeric, Text, bindparam, case, cast, func, literal_column, select, true
from sqlalchemy.dialects.postgresql import JSONPATH

from image_api.images.columns import listed_columns
from image_api.listing.filters.sql import clauses
from image_core.db import Query, Record, Runner
from image_core.models import image

_newest_first = (image.c.created_at.desc(), image.c.id.desc())

NEAR_IMAGES = 10_000
"""Number of newest images on which a metadata filter is tried before its terms are looked up."""
_MAX_STATEMENTS = 512


@lru_cache(_MAX_STATEMENTS)
def _page_query(conditions: frozenset[str], included: frozenset[str] = frozenset()) -> Query:
    """Return the compiled list for a combination of conditions; the cache is bounded, since callers choose them."""
    return Query(
        select(*listed_columns(included)).where(*clauses(conditions)).order_by(*_newest_first).limit(bindparam("limit"))
    )


@lru_cache(_MAX_STATEMENTS)
def _near_query(conditions: frozenset[str], included: frozenset[str] = frozenset()) -> Query:
    """Return the list among the newest images only: its cost is bounded, and frequent values are found at once."""
    near = (
        select(image.c.id, image.c.created_at, image.c.metadata)
        .where(*clauses(conditions - {"metadata"}))
        .order_by(*_newest_first)
        .limit(literal_column(str(NEAR_IMAGES)))
        .subquery()
    )
    path = bindparam("metadata_path", type_=JSONPATH)
    ids = (
        select(near.c.id)
        .where(near.c.metadata.bool_op("@@")(path))
        .order_by(near.c.created_at.desc(), near.c.id.desc())
        .limit(bindparam("limit"))
    )
    return Query(select(*listed_columns(included)).where(image.c.id.in_(ids)).order_by(*_newest_first))


@lru_cache(_MAX_STATEMENTS)
def _terms_query(conditions: frozenset[str], included: frozenset[str] = frozenset()) -> Query:
    """Return the list by the index of terms. Only that index helps, so the planner is kept from scanning the list."""
    found = select(image.c.id, image.c.created_at).where(*clauses(conditions)).cte("found")
    found = found.prefix_with("MATERIALIZED", dialect="postgresql")
    ids = select(found.c.id).order_by(found.c.created_at.desc(), found.c.id.desc()).limit(bindparam("limit"))
    return Query(select(*listed_columns(included)).where(image.c.id.in_(ids)).order_by(*_newest_first))


def page_statement(conditions: frozenset[str]) -> Query:
    """Return the statement that lists images under these conditions, for EXPLAIN."""
    return _page_query(conditions)


async def page(
    runner: Runner, conditions: frozenset[str], values: dict[str, Any], included: frozenset[str] = frozenset()
) -> list[Record]:
    """Return images under the conditions, newest first."""
    return await runner.fetch(_page_query(conditions, included), **values)


async def page_near(
    runner: Runner, conditions: frozenset[str], values: dict[str, Any], included: frozenset[str] = frozenset()
) -> list[Record]:
    """Return the page among the newest images under the conditions other than `metadata`."""
    return await runner.fetch(_near_query(conditions, included), **values)


async def page_by_terms(
    runner: Runner, conditions: frozenset[str], values: dict[str, Any], included: frozenset[str] = frozenset()
) -> list[Record]:
    """Return the page by the terms of the metadata."""
    return await runner.fetch(_terms_query(conditions, included), **values)


async def facet(
    runner: Runner, conditions: frozenset[str], values: dict[str, Any], name: str, most_images: int, most_values: int
) -> list[Record]:
    """Return the values of a field in the newest images under the conditions, the most frequent first.

    Each row also holds the number of images, at most `most_images`, and the statistics of numeric values.
    """
    value = image.c.metadata[bindparam("field_name", type_=Text)].label("value")
    newest = select(value).where(*clauses(conditions)).order_by(*_newest_first).limit(most_images).cte("newest")
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
        .order_by(*_newest_first)
        .limit(literal_column(str(NEAR_IMAGES)))
        .subquery()
    )
    rows = await runner.fetch(
        select(func.jsonb_object_keys(newest.c.metadata).label("name")).distinct(), team_id=team_id
    )
    return [row["name"] for row in rows]


async def count(runner: Runner, conditions: frozenset[str], values: dict[str, Any]) -> int:
    """Return the number of images under the conditions."""
    statement = select(func.count()).select_from(image).where(*clauses(conditions))
    total: int = await runner.fetch_value(statement, **values)
    return total
