"""Facets: how often each value of a metadata field occurs among the images of a list."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel, Field

from image_api.actor import Actor
from image_api.listing import queries
from image_api.listing.filters.conditions import conditions, find_schemas
from image_api.listing.filters.metadata import MetadataFilter, ValueKind, find_meaning
from image_api.listing.filters.results import ResultCondition
from image_api.listing.schemas import ImageFilters
from image_core import errors
from image_core.db import Runner
from image_core.errors.nearest import nearest, nearest_hint

MAX_IMAGES = 100_000
"""The maximum number of images counted: more would occupy the database for seconds."""


class FacetValue(BaseModel):
    """A value and the number of images that have it."""

    value: Any
    count: int


class FacetNumbers(BaseModel):
    """Minimum, maximum and average of numeric values."""

    min: float
    max: float
    average: float


class Facet(BaseModel):
    """The most frequent values of a metadata field."""

    field: str
    values: list[FacetValue]
    numbers: FacetNumbers | None
    images: int = Field(description="Number of images counted.")
    without_value: int = Field(description="Number of counted images without this field.")
    complete: bool = Field(
        description=f"False if more images matched than the newest {MAX_IMAGES}, which were counted."
    )


async def _check_known(runner: Runner, team_id: UUID | None, name: str) -> None:
    """Check that the field is declared, or that one of the newest images has it.

    Raises:
        errors.FilterUnknown: The filter does not exist.
    """
    known = await queries.metadata_names(runner, team_id)
    if name not in known:
        raise errors.FilterUnknown(
            f"None of the newest {queries.WALKED_IMAGES} images has metadata {name!r}.{nearest_hint(name, known)}",
            field="field",
            nearest=nearest(name, known),
        )


async def count_values(
    runner: Runner,
    actor: Actor,
    name: str,
    top: int,
    filters: ImageFilters,
    on_metadata: Sequence[MetadataFilter],
    on_results: Sequence[ResultCondition],
) -> Facet:
    """Count the values of a field.

    Raises:
        errors.FilterUnknown: The filter does not exist.
        errors.FilterInvalid: The filter is not valid.
    """
    names, values = await conditions(runner, actor, filters, on_metadata, on_results)
    declared = await find_schemas(runner, values.get("team_id"))
    kind = find_meaning(name, declared).kind
    if not any(declared):
        await _check_known(runner, values.get("team_id"), name)
    rows = await queries.facet(runner, frozenset(names), values, name, MAX_IMAGES, top)
    totals = rows[0]
    numbers = None
    if kind is ValueKind.NUMBER and totals["min"] is not None:
        numbers = FacetNumbers(min=totals["min"], max=totals["max"], average=totals["average"])
    return Facet(
        field=name,
        values=[FacetValue(value=orjson.loads(row["value"]), count=row["occurs"]) for row in rows if row["occurs"]],
        numbers=numbers,
        images=totals["images"],
        without_value=totals["images"] - totals["with_value"],
        complete=totals["images"] < MAX_IMAGES,
    )
