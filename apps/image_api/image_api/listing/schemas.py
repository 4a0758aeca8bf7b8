"""Filters and bodies of lists of images, as the OpenAPI document shows them."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints, WithJsonSchema, model_validator

from image_api.http.field_types import LINE, QueryInteger
from image_api.http.timestamps import UtcTime, check_period
from image_api.images.schemas import ListedImage, Tag, normal
from image_api.listing.orders import MAX_CURSOR_LENGTH, ORDERS
from image_core.capture.areas import Area, Circle, parse_area, parse_circle
from image_core.models.images import MAX_RATING
from image_core.states import Visibility

MAX_TAG_FILTERS = 10


def _lower(text: Any) -> Any:
    return text.lower() if isinstance(text, str) else text


_Part = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=LINE), BeforeValidator(normal)]
_Circle = Annotated[
    Circle,
    BeforeValidator(parse_circle),
    WithJsonSchema({"type": "string", "maxLength": 100, "examples": ["59.91,10.75,1000"]}),
]
_Area = Annotated[
    Area,
    BeforeValidator(parse_area),
    WithJsonSchema({"type": "string", "maxLength": 100, "examples": ["4.5,57.9,31.2,71.2"]}),
]
ListedStatus = Literal["pending", "stored", "processing", "ready", "failed", "expired", "trashed"]
ListedType = Annotated[
    Literal["image/*", "image/jpeg", "image/png", "image/webp", "image/gif", "image/avif", "image/heic", "image/tiff"],
    BeforeValidator(_lower),
]
ListedVisibility = Annotated[Visibility, WithJsonSchema({"type": "string", "enum": list(Visibility)})]
Orientation = Literal["landscape", "portrait", "square"]


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
    taken_after: UtcTime | None = Field(
        None,
        description="Only images photographed at this time or later; the time of upload counts if it is not known when."
        " A date alone means midnight in UTC.",
    )
    taken_before: UtcTime | None = Field(
        None,
        description="Only images photographed before this time; the time of upload counts if it is not known when. A"
        " date alone means midnight in UTC.",
    )
    has: list[Literal["location", "taken_at", "description", "alt_text"]] = Field(
        default_factory=list, max_length=4, description="Only images that have all of these."
    )
    near: _Circle | None = Field(
        None,
        description="Only images photographed within a distance: `latitude,longitude,metres`, at most 20100000 metres.",
    )
    bbox: _Area | None = Field(
        None,
        description="Only images photographed in an area: `west,south,east,north` in degrees (RFC 7946). It crosses the"
        " date line if west is greater than east.",
    )
    camera: _Part | None = Field(None, description="Only images of this model of camera, its whole name in any case.")
    lens: _Part | None = Field(None, description="Only images of this model of lens, its whole name in any case.")
    min_rating: QueryInteger | None = Field(None, ge=0, le=MAX_RATING, description="Only images rated at least this.")
    max_rating: QueryInteger | None = Field(None, ge=0, le=MAX_RATING, description="Only images rated at most this.")
    min_size: QueryInteger | None = Field(None, ge=0, le=2**53, description="Minimum file size in bytes.")
    max_size: QueryInteger | None = Field(None, ge=0, le=2**53, description="Maximum file size in bytes.")
    min_width: QueryInteger | None = Field(None, ge=0, le=2**31 - 1, description="Minimum width in pixels.")
    max_width: QueryInteger | None = Field(None, ge=0, le=2**31 - 1, description="Maximum width in pixels.")
    min_height: QueryInteger | None = Field(None, ge=0, le=2**31 - 1, description="Minimum height in pixels.")
    max_height: QueryInteger | None = Field(None, ge=0, le=2**31 - 1, description="Maximum height in pixels.")
    orientation: Orientation | None = Field(
        None,
        description="Only images that are wider than high, higher than wide, or as wide as high, after the EXIF"
        " orientation has been applied. Those whose size is not known match none.",
    )
    visibility: ListedVisibility | None = Field(
        None,
        description="Only images that are public, or private: by their own `visibility`, and if that is null by the"
        " `default_visibility` of their team.",
    )
    q: _Part | None = Field(
        None,
        description="Only images with all of these words in filename, description and tags, in any case and with or"
        " without accents. Parts of words are found too; a word of one or two letters has to begin one.",
    )
    team_id: UUID | None = Field(None, description="Only images of this team. For platform admins.")
    order_by: Annotated[str, WithJsonSchema({"type": "string", "enum": list(ORDERS)})] | None = Field(
        None,
        description="The order of the list; without it `created_at desc`, newest uploads first. `taken_at` is the time"
        " of the photograph, and that of the upload if it is not known. Filenames are compared by their characters'"
        " code points; images without one come last in both directions. Orders other than by `created_at` need a team.",
    )
    include_total: bool = Field(
        False,
        description="Also return `total`, the number of all matching images. It is exact to 10000; if more may match,"
        " `at_least` is true. This is slower.",
    )
    limit: QueryInteger = Field(50, ge=1, le=200, description="Maximum number of items on the page.")
    cursor: str | None = Field(None, max_length=MAX_CURSOR_LENGTH, description="`next_cursor` of the previous page.")

    @model_validator(mode="after")
    def _can_match(self) -> Self:
        for name in ("size", "width", "height", "rating"):
            minimum, maximum = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if minimum is not None and maximum is not None and minimum > maximum:
                raise ValueError(f"`min_{name}` is greater than `max_{name}`, so no image can match both")
        check_period(self.created_after, self.created_before)
        check_period(self.taken_after, self.taken_before, "taken")
        self._check_orientation()
        return self

    def _check_orientation(self) -> None:
        for long, short, longer in (("width", "height", "landscape"), ("height", "width", "portrait")):
            most, least = getattr(self, f"max_{long}"), getattr(self, f"min_{short}")
            if self.orientation not in (longer, "square") or most is None or least is None:
                continue
            if most < least or (most == least and self.orientation == longer):
                raise ValueError(f"no `{self.orientation}` image matches both `max_{long}` and `min_{short}`")


class ImagePage(BaseModel):
    """A page of images in the order of the list."""

    items: list[ListedImage]
    next_cursor: str | None
    partial: bool = False
    total: int | None = None
    at_least: bool = False
