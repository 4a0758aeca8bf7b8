"""Request bodies of imports of many images."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from image_api.http.field_types import LINE
from image_api.images.schemas import Filename, UploadTags
from image_api.metadata_schemas.values import Metadata


class NewImport(BaseModel):
    """Bucket, or a folder of it, to copy images from."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"source": "old-site", "prefix": "photos/2025/", "tags_from_folders": True}]},
    )

    source: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        description="Name of an import source of the team; see `GET /api/v1/import-sources`."
    )
    prefix: Annotated[str, StringConstraints(max_length=900, pattern=LINE)] = Field(
        "", description="Beginning of the names to copy, after the folder of the source. Empty copies everything."
    )
    tags: UploadTags = Field(default_factory=list, description="Tags of every image.")
    tags_from_folders: bool = Field(
        False, description="Whether each folder in an object's name, after that of the source, becomes a tag."
    )
    metadata: Metadata = Field(default_factory=dict, description="Metadata of every image.")
    metadata_from_objects: bool = Field(
        False, description="Whether the custom metadata of an object become metadata of its image."
    )
    include_resized: bool = Field(
        False,
        description="Whether to copy files such as `photo_200x200.jpg` too, although `photo` itself is there.",
    )


class ImportLine(BaseModel):
    """A line of an import by URL."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=LINE)]
    filename: Filename = None
    tags: UploadTags = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)
