"""Bodies and filters of the image operations, as the OpenAPI document shows them."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from image_api.field_types import LINE, QueryInteger
from image_api.images.facts import PictureFacts
from image_api.metadata_schemas.values import MAX_METADATA_KEYS, Metadata, MetadataKey, MetadataValue
from image_api.timestamps import UtcTime, check_period
from image_core.images import filenames
from image_core.states import ImageStatus

MAX_TAGS = 50
MAX_TAG_FILTERS = 10


def _clean(name: Any) -> Any:
    return filenames.clean(name) if isinstance(name, str) else name


def _clean_or_refused(name: Any) -> Any:
    if isinstance(name, str) and (name := filenames.clean(name)) is None:
        raise ValueError("the name has no characters to keep; send null to remove the name of an image")
    return name


def _without_blanks(tags: Any) -> Any:
    return [tag for tag in tags if not isinstance(tag, str) or tag.strip()] if isinstance(tags, list) else tags


def _lower(text: Any) -> Any:
    return text.lower() if isinstance(text, str) else text


def _normal(text: Any) -> Any:
    return filenames.normal(text) if isinstance(text, str) else text


_Shortened = Field(description=f"Cleaned, and shortened to {filenames.MAX_LENGTH} characters.")
Filename = Annotated[str | None, BeforeValidator(_clean), _Shortened]
ChangedFilename = Annotated[str | None, BeforeValidator(_clean_or_refused), _Shortened]
Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=64, pattern=LINE),
    # Stored composed, so that one tag is one however it was typed.
    BeforeValidator(_normal),
]
_Part = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=LINE), BeforeValidator(_normal)]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS)]
UploadTags = Annotated[Tags, BeforeValidator(_without_blanks)]


class Failure(BaseModel):
    """Why an image failed or expired."""

    code: str
    message: str | None


class Derivative(BaseModel):
    """A finished derivative; `url` asks for the same key."""

    preset: str
    url: str
    width: int
    height: int
    size_bytes: int
    content_type: str


class Image(BaseModel):
    """An image. Width and height are in pixels as shown, orientation applied; null until it has been processed."""

    id: UUID
    team_id: UUID
    uploaded_by: UUID | None
    status: ImageStatus
    failure: Failure | None
    duplicate_of: UUID | None
    filename: str | None
    content_type: str
    format: str
    size_bytes: int | None
    size: str | None
    sha256: str | None
    width: int | None
    height: int | None
    frames: int | None
    facts: PictureFacts
    tags: list[str]
    metadata: dict[str, str | int | float | bool]
    derivatives: list[Derivative]
    created_at: datetime
    updated_at: datetime
    ready_at: datetime | None
    deleted_at: datetime | None
    analyses: list[dict[str, Any]] | None = Field(None, description="Stored results, with `?include=analyses` only.")


class UploadedImage(Image):
    """The answer to an upload; for a duplicate it shows the image that was there, and `notice` what that means."""

    duplicate: bool
    notice: str | None


class ImagePage(BaseModel):
    """A page of images, newest first; `total` only where it was asked for."""

    items: list[Image]
    next_cursor: str | None
    total: int | None = None


class ImageSummary(BaseModel):
    """What tells an image apart from others; `thumbnail_url` asks for the same key and is null where there is none."""

    id: UUID
    filename: str | None
    content_type: str
    size_bytes: int
    width: int
    height: int
    created_at: datetime
    thumbnail_url: str | None


class DerivativeList(BaseModel):
    """All derivatives of an image."""

    items: list[Derivative]


class ImagePatch(BaseModel):
    """A merge patch: what is absent stays, `filename: null` removes the name, a metadata key set to null goes."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"filename": "oslo.jpg", "tags": ["fjord"]}]}
    )

    filename: ChangedFilename = None
    tags: Tags = Field(default_factory=list)
    metadata: Annotated[dict[MetadataKey, MetadataValue | None], Field(max_length=2 * MAX_METADATA_KEYS)] = Field(
        default_factory=dict
    )


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
                raise ValueError(f"`min_{name}` is greater than `max_{name}`, so no image passes both")
        check_period(self.created_after, self.created_before)
        return self
