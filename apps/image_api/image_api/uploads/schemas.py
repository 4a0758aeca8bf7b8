"""Bodies of uploads and imports, as the OpenAPI document shows them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from image_api.images.schemas import Filename, Image, UploadTags
from image_api.metadata_schemas.values import Metadata


class UploadedImage(Image):
    """The answer to an upload; for a duplicate it shows the image that was there, and `notice` what that means."""

    duplicate: bool
    notice: str | None


class ImageImport(BaseModel):
    """A picture to fetch. Without a filename it gets the last part of the URL's path."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"url": "https://example.org/photos/fjord.jpg", "tags": ["fjord"]}]},
    )

    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    filename: Filename = None
    tags: UploadTags = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)
