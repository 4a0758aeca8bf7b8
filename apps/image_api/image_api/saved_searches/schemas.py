"""Request and response bodies of saved searches."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator

from image_api.http.field_types import LINE

_QUERY = (
    "Filters of `GET /api/v1/images` as they stand in its address after the question mark, at most 2,000 characters."
)
_EXAMPLE = "tag=fjord&has=location"
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120, pattern=LINE)]
QueryText = Annotated[
    str,
    BeforeValidator(lambda query: query.strip().removeprefix("?") if isinstance(query, str) else query),
    StringConstraints(min_length=1, max_length=2000, pattern=LINE),
]


class NewSavedSearch(BaseModel):
    """Search to save."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "Fjords with a place", "query": _EXAMPLE}]}
    )

    name: Name
    query: QueryText = Field(description=_QUERY)


class SavedSearchPatch(BaseModel):
    """JSON merge patch: absent fields stay as they are."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"query": "tag=fjord"}]})

    name: Name = ""
    query: QueryText = Field("", description=_QUERY)

    @field_validator("name", "query", mode="before")
    @classmethod
    def _not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("it cannot be removed")
        return value


class SavedSearch(BaseModel):
    """A saved search of a team."""

    id: UUID
    team_id: UUID
    name: str
    query: str = Field(description="Filters of `GET /api/v1/images`, as they stand in its address.")
    images_url: str = Field(
        description="URL of the list of images that match now. It needs the same authentication as this request."
    )
    created_at: datetime
    updated_at: datetime = Field(description="Time of the last change, in UTC.")


class SavedSearchPage(BaseModel):
    """A page of saved searches, newest first."""

    items: list[SavedSearch]
    next_cursor: str | None
