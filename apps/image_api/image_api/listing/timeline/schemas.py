"""Bodies of the timeline, as the OpenAPI document shows them."""

import re
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

_MONTH = r"^[0-9]{4}-(0[1-9]|1[0-2])$"
_month_schema = WithJsonSchema({"type": "string", "pattern": _MONTH, "examples": ["2026-03"]})


def _first_moment(text: Any) -> Any:
    if not isinstance(text, str) or not re.fullmatch(_MONTH, text, re.ASCII) or text.startswith("0000"):
        raise ValueError("send a month such as 2026-03")
    return datetime(int(text[:4]), int(text[5:]), 1)  # noqa: DTZ001 (local times have no zone)


Month = Annotated[str, _month_schema]
AskedMonth = Annotated[datetime, BeforeValidator(_first_moment), _month_schema]
"""A month in a request: its first moment, without a zone."""


class CountedMonth(BaseModel):
    """A month and the number of its images that match the filters."""

    month: Month
    count: int
    at_least: bool = Field(False, description="True if more may match, as the search for them was given up.")


class Timeline(BaseModel):
    """The months in which images were photographed or uploaded, latest first."""

    months: list[CountedMonth]
    next_before: Month | None = Field(
        description="Send this as `before` to get earlier months; null if there are none."
    )


class MonthOfImages(BaseModel):
    """Images of a month, latest first, in columns: the first of each belong to one image, and so on."""

    id: list[UUID]
    ratio: list[float | None] = Field(description="Width divided by height of each picture, once it is known.")
    placeholder: list[str | None] = Field(description="BlurHash to show while the picture loads.")
    status: list[str]
    next_after: str | None = Field(
        description="Send this as `after` to get the following images; null if there are none."
    )
    partial: bool = Field(
        False, description="True if the search for more images was given up, so that this answer may have few or none."
    )
