"""The filters of a saved search, checked like those of a list."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from starlette.datastructures import QueryParams

from image_api.http.query_parameters import QueryParameters, documented
from image_api.listing.filters import metadata, results
from image_api.listing.filters.names import dotted
from image_api.listing.filters.pairs import Filters
from image_api.listing.filters.query_string import filter_parameters, parse_filters
from image_api.listing.matching import as_query

_NOT_SAVED = frozenset({"cursor", "include_total", "limit", "team_id"})


@cache
def _parameters() -> QueryParameters:
    return documented(parameter for parameter in filter_parameters() if parameter["name"] not in _NOT_SAVED)


def parse(text: str) -> Filters:
    """Parse the filters of a query string.

    Raises:
        errors.FilterUnknown, errors.FilterInvalid, errors.ParameterRepeated, errors.RequestInvalid.
    """
    query = QueryParams(text)
    _parameters().check(query)
    named = dotted(query.multi_items())
    on_metadata = metadata.parse(named)
    return Filters(parse_filters(query), on_metadata, results.parse(named, len(on_metadata)))


def parse_named(filters: Mapping[str, Any]) -> Filters:
    """Parse the filters of a body, by name, as `parse` does."""
    return parse(as_query(filters))
