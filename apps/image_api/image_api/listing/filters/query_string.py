"""The filters of a list, parsed from the query string here, so that lists without filters do not pay for them."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import QueryParams

from image_api.http.validation import request_invalid
from image_api.listing.filters import metadata as metadata_filters
from image_api.listing.filters import names as filter_names
from image_api.listing.filters import results as result_filters
from image_api.listing.filters.metadata import MetadataFilter
from image_api.listing.filters.pairs import column_filters
from image_api.listing.filters.results import ResultCondition
from image_api.listing.schemas import ImageFilters
from image_api.metadata_schemas.values import MAX_VALUE_LENGTH

_NO_FILTERS = ImageFilters.model_validate({})
_OF_A_PAGE = frozenset({"order_by", "include_total", "limit", "cursor"})
_METADATA_PARAMETER = {
    "name": "meta",
    "in": "query",
    "required": False,
    "style": "deepObject",
    "explode": True,
    "schema": {
        "type": "object",
        "additionalProperties": {"type": ["string", "number", "boolean"], "maxLength": MAX_VALUE_LENGTH},
        "examples": [{"country": "NO", "age[gte]": 18}],
    },
    "description": (
        "Filters on metadata by field, or by field and operator: `meta[country]=NO`, `meta[age[gte]]=18`. The shorter"
        " forms `meta.country=NO` and `meta.age[gte]=18` are equivalent, and so is `meta[age][gte]=18`. At most"
        f" {metadata_filters.MAX_FILTERS}. The metadata schema determines how values are compared."
        f" Operators: {', '.join(metadata_filters.OPERATORS)}."
    ),
}
_RESULT_PARAMETER = {
    "name": "analysis",
    "in": "query",
    "required": False,
    "style": "deepObject",
    "explode": True,
    "schema": {
        "type": "object",
        "additionalProperties": {"type": ["string", "number", "boolean"], "maxLength": MAX_VALUE_LENGTH},
        "examples": [{"quality.sharpness[gte]": 0.5}],
    },
    "description": (
        "Filters on the newest result of an analyzer, with the same syntax as `meta`:"
        " `analysis[quality.sharpness[gte]]=0.5` or `analysis.quality.issues[contains]=blurred`. They count towards the"
        " same maximum."
        f" Operators: {', '.join(result_filters.OPERATORS)}."
    ),
}


def parse_filters(query: QueryParams, other_parameters: Sequence[str] = ()) -> ImageFilters:
    """Parse the filters of a query string, except those on metadata and results.

    `other_parameters` are the operation's other parameters. The names have been checked.

    Raises:
        errors.RequestInvalid: A field of the request is not valid.
    """
    if not query:
        return _NO_FILTERS
    pairs = [(name, value) for name, value in query.multi_items() if name not in other_parameters]
    try:
        return column_filters(pairs)
    except ValidationError as error:
        raise request_invalid([{**item, "loc": ("query", *item["loc"])} for item in error.errors()], skip=1) from error


def parse_all(
    query: QueryParams, other_parameters: Sequence[str] = ()
) -> tuple[ImageFilters, list[MetadataFilter], list[ResultCondition]]:
    """Parse all filters of a query string: those on columns, on metadata and on results.

    Raises:
        errors.FilterUnknown: The filter does not exist.
        errors.FilterInvalid: The filter is not valid.
        errors.RequestInvalid: A field of the request is not valid.
    """
    filters = parse_filters(query, other_parameters)
    named = filter_names.dotted(query.multi_items())
    on_metadata = metadata_filters.parse(named)
    return filters, on_metadata, result_filters.parse(named, len(on_metadata))


@cache
def _names(*, paged: bool) -> tuple[str, ...]:
    return tuple(name for name in ImageFilters.model_fields if paged or name not in _OF_A_PAGE)


def filter_parameters(*, paged: bool = True) -> list[dict[str, Any]]:
    """Return the filters as OpenAPI parameters, including those of pagination if the response is `paged`."""
    parameters, schemas = [], ImageFilters.model_json_schema()["properties"]
    for name in _names(paged=paged):
        described = dict(schemas[name])
        description = described.pop("description", None)
        parameter = {"name": name, "in": "query", "required": False, "schema": described}
        parameters.append(parameter | ({"description": description} if description else {}))
    return [*parameters, _METADATA_PARAMETER, _RESULT_PARAMETER]
