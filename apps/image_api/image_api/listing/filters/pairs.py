"""The filters of a list, read from the names and values of an address that has been checked."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from image_api.listing.filters import metadata, names, results
from image_api.listing.filters.metadata import MetadataFilter
from image_api.listing.filters.results import ResultCondition
from image_api.listing.schemas import ImageFilters

_REPEATABLE = frozenset({"has", "tag", "status"})


class Filters(NamedTuple):
    """All filters of an address."""

    of_columns: ImageFilters
    on_metadata: list[MetadataFilter]
    on_results: list[ResultCondition]


def column_filters(pairs: Sequence[tuple[str, str]]) -> ImageFilters:
    """Return the filters that are neither on metadata nor on results.

    Raises:
        pydantic.ValidationError: A value is not valid.
    """
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in _REPEATABLE:
            values.setdefault(name, []).append(value)
        elif not name.startswith(names.PREFIXES):
            values[name] = value
    return ImageFilters.model_validate(values)


def read_filters(pairs: Sequence[tuple[str, str]]) -> Filters:
    """Return all filters.

    Raises:
        pydantic.ValidationError: A value is not valid.
        errors.FilterUnknown, errors.FilterInvalid.
    """
    named = names.dotted(pairs)
    on_metadata = metadata.parse(named)
    return Filters(column_filters(pairs), on_metadata, results.parse(named, len(on_metadata)))
