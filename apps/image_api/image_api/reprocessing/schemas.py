"""Body of the request to process failed images again."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from image_api.http.field_types import describe_pattern

_CODE = describe_pattern(r"^[a-z][a-z0-9-]*$", "Send the code of a failure, such as processing-timeout.")


class NewReprocessing(BaseModel):
    """Which images to process again."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"failed": True, "code": "processing-timeout"}]}
    )

    failed: Literal[True] = Field(description="Must be true: images that have failed, outside of the trash.")
    code: Annotated[str, StringConstraints(max_length=64, pattern=_CODE)] | None = Field(
        None, description="Only images that failed with this code. Null or absent for all codes."
    )
    team_id: UUID | None = Field(None, description="Only images of this team. Null or absent for all teams.")
