"""Bodies of the image operations, as the OpenAPI document shows them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, StringConstraints

from image_api.http.field_types import LINE, TEXT, JsonInteger
from image_api.http.language_tags import LanguageTag
from image_api.images.facts import PictureFacts
from image_api.metadata_schemas.values import MAX_METADATA_KEYS, MetadataKey, MetadataValue
from image_core.images import filenames
from image_core.models.images import MAX_DESCRIPTION_LENGTH, MAX_RATING
from image_core.states import ImageStatus, Visibility

MAX_TAGS = 50
RATINGS = range(MAX_RATING + 1)
_DELIVERY_TAG = (
    "Tag in the image's delivery addresses. It changes with the file and when addresses are revoked. Null until the"
    " file is stored."
)


def _clean(name: Any) -> Any:
    return filenames.clean(name) if isinstance(name, str) else name


def _clean_or_refused(name: Any) -> Any:
    if isinstance(name, str) and (name := filenames.clean(name)) is None:
        raise ValueError("the filename has no usable characters; send null to remove it")
    return name


def _without_blanks(tags: Any) -> Any:
    return [tag for tag in tags if not isinstance(tag, str) or tag.strip()] if isinstance(tags, list) else tags


def normal(text: Any) -> Any:
    """Return a text in its composed form, and any other value unchanged."""
    return filenames.normalize(text) if isinstance(text, str) else text


_Shortened = Field(
    description=f"Filename, sanitized and shortened to {filenames.MAX_LENGTH} characters. Null for none."
)
Filename = Annotated[str | None, BeforeValidator(_clean), _Shortened]
ChangedFilename = Annotated[str | None, BeforeValidator(_clean_or_refused), _Shortened]
Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=64, pattern=LINE),
    # Stored composed, so that a tag is the same however it was typed.
    BeforeValidator(normal),
]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS)]
UploadTags = Annotated[Tags, BeforeValidator(_without_blanks)]


Description = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_DESCRIPTION_LENGTH, pattern=TEXT),
    BeforeValidator(normal),
]
Share = Annotated[float, Strict(), Field(ge=0, le=1)]


class AltText(BaseModel):
    """A text in place of the picture, for people who cannot see it."""

    text: str = Field(description="The text.")
    language: str = Field(description="Language of the text, as a BCP 47 tag.", examples=["en", "pt-BR"])


class FocalPoint(BaseModel):
    """The point of a picture that matters most, in the picture as it is shown."""

    x: float = Field(description="Share of the width, from 0 at the left to 1 at the right, with three decimals.")
    y: float = Field(description="Share of the height, from 0 at the top to 1 at the bottom, with three decimals.")


class Failure(BaseModel):
    """Why an image failed or expired."""

    code: str
    message: str | None


class Derivative(BaseModel):
    """A derivative: a WebP file made from an image at a preset size."""

    preset: str
    url: str
    width: int
    height: int
    size_bytes: int
    content_type: str
    spec_hash: str | None = Field(
        description="Hash of the preset as it was when the derivative was made, 32 hexadecimal digits; a preset's"
        " `spec` has its first four, unless its gravity is `fo` and the image has a focal point, or it was changed and"
        " the derivative has yet to be made again. Null for"
        " derivatives of earlier releases."
    )


class PresetAddress(BaseModel):
    """The delivery address of an image in one preset."""

    url: str = Field(description="Address of the picture, in the format that suits the browser best.")
    srcset: str | None = Field(
        description="Value for `srcset`: this and the other presets that show the same part of the picture, with their"
        " widths. Null until the image's size is known."
    )
    width: int | None = Field(description="Width in pixels of the picture. Null until the image's size is known.")
    height: int | None = Field(description="Height in pixels of the picture. Null until the image's size is known.")


class Delivery(BaseModel):
    """Delivery addresses of an image, for pages."""

    template: str = Field(
        description="Address of any open preset: replace `{spec}` by a preset's name and `{ext}` by a format of that"
        " preset or `auto`."
    )
    presets: dict[str, PresetAddress] = Field(description="The open presets of the team, by name.")
    placeholder: str | None = Field(
        description="A few blurred pixels as a `data:` URI, to show while the picture loads. Null for pictures with"
        " transparency and until the image has been processed."
    )
    expires_at: datetime | None = Field(
        description="Time at which the addresses expire, in UTC. Null for public images, whose addresses do not."
    )


class ImageCore(BaseModel):
    """What every body of an image has."""

    id: UUID
    team_id: UUID
    uploaded_by: UUID | None
    status: ImageStatus = Field(description="Status of the image. The trash is not a status; see `deleted_at`.")
    failure: Failure | None = Field(description="Why the image failed or expired. Null if it did not.")
    filename: str | None
    content_type: str
    size_bytes: int | None
    size: str | None
    width: int | None
    height: int | None
    frames: int | None
    tags: list[str]
    description: str | None = Field(description="What the picture shows. Null for none.")
    alt_text: AltText | None = Field(
        description="Text in place of the picture, for people who cannot see it. Null for none."
    )
    rating: int | None = Field(description=f"Rating from 0 to {MAX_RATING}. Null for none.")
    focal_point: FocalPoint | None = Field(
        description="What presets and transforms with the gravity `fo` keep. Null for the center."
    )
    visibility: Visibility | None = Field(
        description="Who can see the image by a delivery address: `private`, only holders of a signed one; `public`,"
        " everybody. Null for the default of the team."
    )
    placeholder: str | None = Field(
        description="BlurHash of the picture (https://blurha.sh), to show while it loads. Null for pictures with"
        " transparency and until the image has been processed."
    )
    taken_at: datetime | None = Field(
        description="Time at which the photograph was taken, in UTC. Null if the file has none."
    )
    taken_at_source: Literal["exif", "gps", "camera-clock"] | None = Field(
        description="Where `taken_at` comes from: `exif`, a time with its offset; `gps`, the satellites' time;"
        " `camera-clock`, the camera's clock read as UTC, because its offset is unknown. Null without `taken_at`."
    )
    taken_local: str | None = Field(
        description="Time that the camera's clock showed, without an offset, otherwise `taken_at` in UTC. Null without"
        " `taken_at`.",
        examples=["2021-07-15T10:20:30.250000"],
    )
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class Image(ImageCore):
    """An image."""

    format: str
    sha256: str | None
    duplicate_of: UUID | None
    ready_at: datetime | None
    facts: PictureFacts
    metadata: dict[str, str | int | float | bool]
    derivatives: list[Derivative]
    delivery_tag: str | None = Field(description=_DELIVERY_TAG)
    analyses: list[dict[str, Any]] | None = Field(
        None, description="Stored results, with `include=analyses`. Null or absent otherwise."
    )
    delivery: Delivery | None = Field(
        None,
        description="Delivery addresses, for public images and with `include=delivery`. Null or absent otherwise, and"
        " for an image that cannot be delivered.",
    )


class ListedImage(ImageCore):
    """An image within a list. What `include` does not name is absent."""

    format: str | None = Field(
        None,
        description="Image format detected from the file's content, with `include=facts`. Null or absent otherwise.",
    )
    sha256: str | None = Field(
        None,
        description="SHA-256 of the file in hexadecimal, with `include=facts`. Null or absent otherwise, and until the"
        " file is stored.",
    )
    duplicate_of: UUID | None = Field(
        None,
        description="ID of the existing image with the same bytes, if this upload was discarded as a duplicate, with"
        " `include=facts`. Null or absent otherwise.",
    )
    ready_at: datetime | None = Field(
        None,
        description="Time at which the image was processed, in UTC, with `include=facts`. Null or absent otherwise.",
    )
    facts: PictureFacts | None = Field(
        None, description="Properties read from the file, with `include=facts`. Null or absent otherwise."
    )
    metadata: dict[str, str | int | float | bool] | None = Field(
        None, description="Metadata, with `include=metadata`. Null or absent otherwise."
    )
    derivatives: list[Derivative] | None = Field(
        None, description="Derivatives, with `include=derivatives`. Null or absent otherwise."
    )
    analyses: list[dict[str, Any]] | None = Field(
        None,
        description="The newest stored results, at most 20, with `include=analyses`. Null or absent otherwise.",
    )
    delivery_tag: str | None = Field(None, description=f"{_DELIVERY_TAG} With `include=delivery`; absent otherwise.")
    delivery: Delivery | None = Field(
        None,
        description="Delivery addresses, with `include=delivery`. Null or absent otherwise, and for an image that"
        " cannot be delivered.",
    )


class ImageSummary(BaseModel):
    """The main properties of an image."""

    id: UUID
    filename: str | None
    content_type: str
    size_bytes: int
    width: int
    height: int
    created_at: datetime
    thumbnail_url: str | None


class DerivativeList(BaseModel):
    """The derivatives of an image."""

    items: list[Derivative]


class AltTextPatch(BaseModel):
    """Alternative text. A member that is absent stays as it is; both are needed in the end."""

    model_config = ConfigDict(extra="forbid")

    text: Description = Field(
        default_factory=str, description=f"The text, at most {MAX_DESCRIPTION_LENGTH} characters."
    )
    language: LanguageTag = Field(
        default_factory=str, description="Language of the text, as a BCP 47 tag.", examples=["en", "pt-BR"]
    )


class FocalPointPatch(BaseModel):
    """Focal point. A member that is absent stays as it is; both are needed in the end."""

    model_config = ConfigDict(extra="forbid")

    x: Share = Field(
        default_factory=float, description="Share of the width of the picture as shown, from 0 at the left to 1."
    )
    y: Share = Field(
        default_factory=float, description="Share of the height of the picture as shown, from 0 at the top to 1."
    )


class ImagePatch(BaseModel):
    """JSON merge patch: absent fields stay as they are. A metadata key set to null is removed."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"filename": "oslo.jpg", "tags": ["fjord"]}]}
    )

    filename: ChangedFilename = None
    tags: Tags = Field(default_factory=list)
    description: Description | None = Field(
        None, description=f"What the picture shows, at most {MAX_DESCRIPTION_LENGTH} characters. Null for none."
    )
    alt_text: AltTextPatch | None = Field(
        None, description="Text in place of the picture, for people who cannot see it. Null for none."
    )
    rating: Annotated[JsonInteger, Field(ge=0, le=MAX_RATING)] | None = Field(
        None, description=f"Rating from 0 to {MAX_RATING}. Null for none."
    )
    focal_point: FocalPointPatch | None = Field(
        None,
        description="What presets and transforms with the gravity `fo` keep, rounded to three decimals. Null for the"
        " center.",
    )
    visibility: Visibility | None = Field(
        None, description="`private` or `public`. Null for the default of the team. Requires `delivery:manage`."
    )
    metadata: Annotated[dict[MetadataKey, MetadataValue | None], Field(max_length=2 * MAX_METADATA_KEYS)] = Field(
        default_factory=dict
    )
