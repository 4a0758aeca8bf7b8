"""Bodies of upload tokens, as the OpenAPI document shows them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from image_api.http.field_types import JsonInteger
from image_api.http.shown_once import ShownOnce
from image_api.images.schemas import UploadTags
from image_api.metadata_schemas.values import Metadata

MOST_SECONDS, MOST_UPLOADS = 3600, 1000


class NewUploadToken(BaseModel):
    """What a page may upload."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"expires_in": 900, "max_uploads": 10, "tags": ["from-the-website"]}]},
    )

    expires_in: Annotated[JsonInteger, Field(ge=10, le=MOST_SECONDS)] = Field(
        900, description="Seconds until the token expires, at most 3,600."
    )
    max_uploads: Annotated[JsonInteger, Field(ge=1, le=MOST_UPLOADS)] = Field(
        1, description="Number of uploads that the token may open, at most 1,000. Uploads that fail count, too."
    )
    max_bytes: Annotated[JsonInteger, Field(ge=1)] | None = Field(
        None, description="Maximum size of each file in bytes. Null for the limit of all direct uploads."
    )
    tags: UploadTags = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)


class CreatedUploadToken(BaseModel):
    """New upload token."""

    upload_token_id: UUID = Field(description="ID of the token.")
    token: ShownOnce
    expires_at: datetime = Field(description="Time at which the token expires, in UTC.")
    max_uploads: int = Field(description="Number of uploads that the token may open.")
    max_bytes: int = Field(description="Maximum size of each file in bytes.")
