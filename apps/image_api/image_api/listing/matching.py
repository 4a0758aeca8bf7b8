"""All images that filters match: named in a body, kept with an operation, and found page by page by image-tasks."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from pydantic import Field, PlainValidator, WithJsonSchema

from image_api.actor import Actor
from image_api.listing.filters.conditions import conditions
from image_api.listing.filters.pairs import Filters, read_filters
from image_api.listing.orders import NEWEST_FIRST
from image_api.listing.service import Page, find_page
from image_api.metadata_schemas.values import MAX_VALUE_LENGTH
from image_core import errors
from image_core.db import Runner
from image_core.models import image

MOST_FILTERS, MOST_FILTER_VALUES = 50, 100
_PAGE = 1000
_COLUMNS = (image.c.id, image.c.size_bytes, image.c.sha256, image.c.status)
_NO_FILTERS = ("order_by",)


def _filter_value(value: Any) -> Any:
    values = value if isinstance(value, list) else [value]
    if not 1 <= len(values) <= MOST_FILTER_VALUES:
        raise ValueError(f"send 1 to {MOST_FILTER_VALUES} values")
    for each in values:
        if not isinstance(each, str | int | float):
            raise ValueError("send text, a number, true or false, or a list of those")  # noqa: TRY004 (pydantic takes only this)
        if isinstance(each, str) and len(each) > MAX_VALUE_LENGTH:
            raise ValueError(f"text too long: the limit is {MAX_VALUE_LENGTH} characters")
    return value


_FILTER_VALUE = [{"type": "string", "maxLength": MAX_VALUE_LENGTH}, {"type": "number"}, {"type": "boolean"}]
_FilterValue = str | bool | int | float
_FilterValues = Annotated[
    _FilterValue | list[_FilterValue],
    # One error for all types together; a union would report one for each.
    PlainValidator(_filter_value),
    WithJsonSchema(
        {
            "anyOf": [
                *_FILTER_VALUE,
                {"type": "array", "items": {"anyOf": _FILTER_VALUE}, "minItems": 1, "maxItems": MOST_FILTER_VALUES},
            ]
        }
    ),
]
NamedFilters = Annotated[dict[str, _FilterValues], Field(max_length=MOST_FILTERS)]
"""Filters of a list by name, as a body has them."""


def as_query(filters: Mapping[str, Any]) -> str:
    """Return filters as they stand in the address of a list."""
    pairs = [
        (name, each) for name, value in filters.items() for each in (value if isinstance(value, list) else [value])
    ]
    return urlencode([(name, str(value).lower() if isinstance(value, bool) else str(value)) for name, value in pairs])


def pairs_of(filters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the names and values of filters, to be kept with an operation for `find_matching`."""
    return parse_qsl(as_query(filters), keep_blank_values=True)


async def check(runner: Runner, actor: Actor, named: Mapping[str, Any], filters: Filters, team_id: UUID) -> Filters:
    """Return the filters of a body, whose names and values have been checked, limited to a team.

    Raises:
        errors.FilterInvalid: There is none, or the team has no such field.
        errors.CollectionNotFound.
    """
    if all(name in _NO_FILTERS for name in named):
        raise errors.FilterInvalid("An empty filter would match every image. Send at least one.", field="filter")
    limited = _of_team(filters, team_id)
    await conditions(runner, actor, *limited)
    return limited


def _of_team(filters: Filters, team_id: UUID) -> Filters:
    return filters._replace(of_columns=filters.of_columns.model_copy(update={"team_id": team_id}))


async def find_matching(
    runner: Runner, actor: Actor, team_id: UUID, pairs: Sequence[Sequence[str]], cursor: str | None
) -> Page:
    """Return the next images of a team that kept filters match, newest first.

    Rows have `id`, `size_bytes`, `sha256` and `status`.

    Raises:
        errors.AppError: The filters have become wrong, for example as the collection is gone.
    """
    filters = _of_team(read_filters([(name, value) for name, value in pairs]), team_id)
    names, values = await conditions(runner, actor, *filters)
    return await find_page(runner, names, values, NEWEST_FIRST, _PAGE, _COLUMNS, cursor)
