"""Filters and bodies of lists of images, as the OpenAPI document shows them."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints, model_validator

from image_api.http.field_types import LINE, QueryInteger
from image_api.http.timestamps import UtcTime, check_period
from image_api.images.schemas import ListedImage, Tag, normal

MAX_TAG_FILTERS = 10


def _lower(text: Any) -> Any:
    return text.lower() if isinstance(text, str) else text


_Part = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=LINE), BeforeValidator(normal)]
ListedStatus = Literal["pending", "stored", "processing", "ready", "failed", "expired", "trashed"]
ListedType = Annotated[
    Literal["image/*", "image/jpeg", "image/png", "image/webp", "image/gif", "image/avif", "image/heic", "image/tiff"],
    BeforeValidator(_lower),
]


class ImageFilters(BaseModel):
    """Filters and page of a list of images. An unknown name is refused, with the nearest known one."""

    status: list[ListedStatus] = Field(
        default_factory=list,
        max_length=16,
        description="Only images with one of these statuses. `trashed` lists the trash.",
    )
    tag: list[Tag] = Field(
        default_factory=list, max_length=MAX_TAG_FILTERS, description="Only images that have all of these tags."
    )
    content_type: ListedType | None = Field(
        None, description="Only images with this media type. `image/*` matches all."
    )
    uploaded_by: UUID | None = Field(None, description="Only images uploaded by this user.")
    created_after: UtcTime | None = Field(
        None, description="Only images created at this time or later. A date alone means midnight in UTC."
    )
    created_before: UtcTime | None = Field(
        None, description="Only images created before this time. A date alone means midnight in UTC."
    )
    min_size: QueryInteger | None = Field(None, ge=0, le=2**53, description="Minimum file size in bytes.")
    max_size: QueryInteger | None = Field(None, ge=0, le=2**53, description="Maximum file size in bytes.")
    min_width: QueryInteger | None = Field(None, ge=0, le=2**31 - 1, description="Minimum width in pixels.")
    max_width: QueryInteger | None = Field(None, ge=0, le=2**31 - 1, description="Maximum width in pixels.")
    min_height: QueryInteger | None = Field(None, ge=0, le=2**31 - 1, description="Minimum height in pixels.")
    max_height: QueryInteger | None = Field(None, ge=0, le=2**31 - 1, description="Maximum height in pixels.")
    q: _Part | None = Field(None, description="Only images whose filename contains this text, ignoring case.")
    team_id: UUID | None = Field(None, description="Only images of this team. For platform admins.")
    include_total: bool = Field(
        False, description="Also return `total`, the number of all matching images. This is slower."
    )
    limit: QueryInteger = Field(50, ge=1, le=200, description="Maximum number of items on the page.")
    cursor: str | None = Field(None, max_length=100, description="`next_cursor` of the previous page.")

    @model_validator(mode="after")
    def _can_match(self) -> Self:
        for name in ("size", "width", "height"):
            minimum, maximum = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if minimum is not None and maximum is not None and minimum > maximum:
                raise ValueError(f"`min_{name}` is greater than `max_{name}`, so no image can match both")
        check_period(self.created_after, self.created_before)
        return self


class ImagePage(BaseModel):
    """A page of images, newest first."""

    items: list[ListedImage]
    next_cursor: str | None
    total: int | None = None
