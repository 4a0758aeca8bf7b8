"""Request and response bodies of collections."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from image_api.http.field_types import LINE
from image_api.images.schemas import ListedImage

MOST_IDS = 1000
_IMAGE_ID = "0199c0de-0000-7000-8000-000000000004"
_OTHER_IMAGE_ID = "0199c0de-0000-7000-8000-000000000009"
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120, pattern=LINE)]
ImageIds = Annotated[list[UUID], Field(min_length=1, max_length=MOST_IDS)]
_CHOSEN = "ID of the image that was chosen as the cover. Null for the first image."


class NewCollection(BaseModel):
    """Collection to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Norway 2026"}]})

    name: Name


class CollectionPatch(BaseModel):
    """JSON merge patch: absent fields stay as they are."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"cover_image_id": _IMAGE_ID}]})

    name: Name = ""
    cover_image_id: UUID | None = Field(None, description=f"{_CHOSEN} It has to be in the collection.")

    @field_validator("name", mode="before")
    @classmethod
    def _not_null(cls, name: object) -> object:
        if name is None:
            raise ValueError("a collection has a name")
        return name


class AddedIds(BaseModel):
    """Images to add."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"image_ids": [_IMAGE_ID], "after": _OTHER_IMAGE_ID}]}
    )

    image_ids: ImageIds = Field(description="IDs of the images, at most 1,000, in the order in which they are added.")
    after: UUID | None = Field(
        None,
        description="ID of the image in the collection after which to put them; null puts them first. Images that are"
        " in the collection already are moved there. If `after` is absent, new images are put last, and others stay"
        " where they are.",
    )


class RemovedIds(BaseModel):
    """Images to remove."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"image_ids": [_IMAGE_ID]}]})

    image_ids: ImageIds = Field(
        description="IDs of the images, at most 1,000. Those that are not in the collection are ignored."
    )


class OrderedIds(BaseModel):
    """Images in a new order."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"image_ids": [_OTHER_IMAGE_ID, _IMAGE_ID]}]}
    )

    image_ids: ImageIds = Field(
        description="IDs of images in the collection, at most 1,000, in the new order. They share out the places that"
        " they have now; all other images stay where they are."
    )


class Cover(BaseModel):
    """The image that stands for a collection."""

    image_id: UUID
    thumbnail_url: str | None
    placeholder: str | None = Field(
        description="BlurHash of the picture (https://blurha.sh). Null for pictures with transparency and until the"
        " image has been processed."
    )


class ListedCollection(BaseModel):
    """A collection within a list."""

    id: UUID
    team_id: UUID
    name: str
    cover_image_id: UUID | None = Field(description=_CHOSEN)
    cover: Cover | None = Field(
        description="The image to show for the collection: the chosen one, or the first if none was chosen or the"
        " chosen one is in the trash. Null if the collection has no image outside the trash among its first 100."
    )
    created_at: datetime
    updated_at: datetime = Field(description="Time of the last change of the collection or of its images, in UTC.")


class CollectionPage(BaseModel):
    """A page of collections, newest first."""

    items: list[ListedCollection]
    next_cursor: str | None


class Collection(ListedCollection):
    """A collection."""

    image_count: int = Field(description="Number of images, without those in the trash.")


class GrownCollection(Collection):
    """A collection to which images were added."""

    added: int = Field(description="Number of images that were not in the collection before.")
    open_links: int = Field(description="Number of open share links that show the collection, and so these images.")


class ShrunkCollection(Collection):
    """A collection from which images were removed."""

    removed: int = Field(description="Number of images that were in the collection before.")


class CollectionImages(BaseModel):
    """A page of the images of a collection, in their order."""

    items: list[ListedImage]
    next_cursor: str | None
