"""What lists of images are narrowed by, and what they answer, as the OpenAPI document shows it."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints, model_validator

from image_api.http.field_types import LINE, QueryInteger
from image_api.http.timestamps import UtcTime, check_period
from image_api.images.schemas import Image, Tag, normal

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
    """What a list of images can be narrowed by. Anything else is refused, with the nearest name."""

    status: list[ListedStatus] = Field(
        default_factory=list, max_length=16, description="Images in one of these states; `trashed` is the trash."
    )
    tag: list[Tag] = Field(
        default_factory=list, max_length=MAX_TAG_FILTERS, description="Images that have every one of these tags."
    )
    content_type: ListedType | None = Field(None, description="`image/*` is every type.")
    uploaded_by: UUID | None = None
    created_after: UtcTime | None = Field(None, description="At this time or later.")
    created_before: UtcTime | None = Field(None, description="Before this time.")
    min_size: QueryInteger | None = Field(None, ge=0, le=2**53, description="Bytes.")
    max_size: QueryInteger | None = Field(None, ge=0, le=2**53, description="Bytes.")
    min_width: QueryInteger | None = Field(None, ge=0, le=2**31 - 1)
    max_width: QueryInteger | None = Field(None, ge=0, le=2**31 - 1)
    min_height: QueryInteger | None = Field(None, ge=0, le=2**31 - 1)
    max_height: QueryInteger | None = Field(None, ge=0, le=2**31 - 1)
    q: _Part | None = Field(None, description="Part of the filename, in any case.")
    team_id: UUID | None = Field(None, description="For an admin: the images of one team.")
    include_total: bool = Field(False, description="Count all matches, which costs more than the page.")
    limit: QueryInteger = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, max_length=100)

    @model_validator(mode="after")
    def _can_match(self) -> Self:
        for name in ("size", "width", "height"):
            least, most = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if least is not None and most is not None and least > most:
                raise ValueError(f"`min_{name}` is greater than `max_{name}`, so no image can match both")
        check_period(self.created_after, self.created_before)
        return self


class ImagePage(BaseModel):
    """A page of images, newest first; `total` only where it was asked for."""

    items: list[Image]
    next_cursor: str | None
    total: int | None = None
