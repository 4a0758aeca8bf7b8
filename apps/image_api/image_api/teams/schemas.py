"""Bodies of the team operations."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120, pattern=r"^[^\x00-\x1f]*$")
]


class NewTeam(BaseModel):
    """A team to be created."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Field team"}]})

    name: Name
    keep_location: bool = Field(True, description="Keep the place that a camera wrote into a picture.")


class TeamPatch(BaseModel):
    """A merge patch: what is absent stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Field team north"}]})

    name: Name = Field(default_factory=str)
    keep_location: bool = Field(default_factory=bool)


class Team(BaseModel):
    """A team."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    keep_location: bool
    created_at: datetime
    updated_at: datetime


class TeamPage(BaseModel):
    """A page of teams, newest first."""

    items: list[Team]
    next_cursor: str | None
