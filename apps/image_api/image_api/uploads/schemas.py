"""Bodies of uploads and imports, as the OpenAPI document shows them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from image_api.images.schemas import Filename, Image, UploadTags
from image_api.metadata_schemas.values import Metadata


class UploadedImage(Image):
    """Response to an upload: the new image, or the existing one if the team already had the file."""

    duplicate: bool
    notice: str | None


class ImageImport(BaseModel):
    """Image to import. Without `filename`, the name comes from the source's response, or from the URL's path."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"url": "https://example.org/photos/fjord.jpg", "tags": ["fjord"]}]},
    )

    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    filename: Filename = None
    tags: UploadTags = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)
