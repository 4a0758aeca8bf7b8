"""Bodies of the team operations."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from image_api.http.field_types import LINE, JsonBoolean, JsonInteger
from image_core.analyses.catalogue import CATALOGUE
from image_core.states import LabelSource, Visibility

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120, pattern=LINE)]
Quota = Annotated[JsonInteger, Field(ge=0, le=2**53)]


def _known(name: str) -> str:
    if name not in CATALOGUE:
        raise ValueError(f"unknown analyzer; the known ones are: {', '.join(sorted(CATALOGUE))}")
    return name


AnalyzerNames = Annotated[list[Annotated[str, AfterValidator(_known)]], Field(max_length=16)]


class NewTeam(BaseModel):
    """Team to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Field team"}]})

    name: Name
    keep_location: JsonBoolean = Field(True, description="Whether to keep the location stored in photographs.")
    analyze_on_arrival: AnalyzerNames = Field(
        default_factory=list,
        description="Analyzers that run on every new image, at most 16. Each run is charged to the team.",
    )
    label_source: LabelSource = Field(
        LabelSource.OWN,
        description="Where labels come from: `own` is this deployment, `vision` sends the images to Cloud Vision.",
    )
    default_visibility: Visibility = Field(
        Visibility.PRIVATE,
        description="Visibility of images that have none of their own: `private`, or `public` for delivery addresses"
        " without a signature.",
    )


class TeamPatch(BaseModel):
    """JSON merge patch: absent fields stay as they are."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Field team north"}]})

    name: Name = Field(default_factory=str)
    keep_location: JsonBoolean = Field(default_factory=bool)
    analyze_on_arrival: AnalyzerNames = Field(default_factory=list)
    label_source: LabelSource = Field(default=LabelSource.OWN)
    default_visibility: Visibility = Field(
        Visibility.PRIVATE, description="Visibility of images that have none of their own: `private` or `public`."
    )
    quota_bytes: Quota | None = Field(
        None, description="Maximum storage in bytes, 0 to 2^53. Null for the default of the deployment."
    )
    quota_images: Quota | None = Field(
        None, description="Maximum number of images, 0 to 2^53. Null for the default of the deployment."
    )


class Team(BaseModel):
    """A team."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    keep_location: bool
    analyze_on_arrival: list[str]
    label_source: LabelSource
    default_visibility: Visibility = Field(
        description="Visibility of images that have none of their own: `private` or `public`."
    )
    quota_bytes: int | None
    quota_images: int | None
    deleting_at: datetime | None = Field(
        description="Time at which the removal of the team started, in UTC. Null if it is not being removed."
    )
    created_at: datetime
    updated_at: datetime


class RemovedTeam(Team):
    """A team that is being removed."""

    operation_id: UUID = Field(
        description="Operation that removes the team, of `GET /api/v1/operations/{operation_id}`."
    )


class TeamPage(BaseModel):
    """A page of teams, newest first."""

    items: list[Team]
    next_cursor: str | None
