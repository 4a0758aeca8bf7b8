"""Request and response bodies of delivery addresses."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from image_api.http.field_types import JsonInteger, describe_pattern
from image_api.images.delivery import DEFAULT_EXPIRES_IN_SECONDS

MOST_ITEMS = 1000
MOST_LINES = 10_000
_SPEC = describe_pattern(
    r"^[A-Za-z0-9@_.-]{1,80}$", "Send a preset's name, transforms such as `t-w640`, `original` or `full`."
)
Spec = Annotated[str, Field(pattern=_SPEC)]
_IMAGE_ID = "0199c0de-0000-7000-8000-000000000004"


class AddressItem(BaseModel):
    """What an address shows."""

    model_config = ConfigDict(extra="forbid")

    image_id: UUID
    spec: Spec = Field(description="Preset's name, transforms such as `t-w640-h480-cover`, `original` or `full`.")
    format: Literal["webp", "avif", "jpeg", "png", "auto", "file"] = Field(
        description="Format of the picture; `auto` chooses what the browser accepts. `file` for `original` and `full`."
    )


class AddressOrder(BaseModel):
    """Addresses to sign."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"items": [{"image_id": _IMAGE_ID, "spec": "thumb", "format": "auto"}]}]},
    )

    items: Annotated[list[AddressItem], Field(min_length=1, max_length=MOST_ITEMS)] = Field(
        description="What to sign, at most 1,000 items."
    )
    expires_in: Annotated[JsonInteger, Field(ge=60, le=DEFAULT_EXPIRES_IN_SECONDS)] | None = Field(
        DEFAULT_EXPIRES_IN_SECONDS,
        description="Least lifetime of the addresses in seconds, 60 to 604800. Null for addresses that do not expire.",
    )


class AddressError(BaseModel):
    """Why no address was signed."""

    code: str
    detail: str = Field(description="What is wrong with the item, and what to do.")
    canonical: str | None = Field(description="Right spelling of the spec. Null if there is none.")
    nearest: str | None = Field(description="Name of the most similar preset. Null if no name is similar.")


class SignedAddress(BaseModel):
    """A signed address, or an error."""

    url: str | None = Field(None, description="Delivery address. Null or absent if there is an error.")
    expires_at: datetime | None = Field(
        None, description="Time at which the address expires, in UTC. Null if it does not. Absent if there is an error."
    )
    error: AddressError | None = Field(
        None, description="Why no address was signed. Null or absent if there is an address."
    )


class SignedAddresses(BaseModel):
    """Signed addresses, in the order of the request."""

    items: list[SignedAddress] = Field(description="One address or error for each item of the request, in order.")


class NewPreview(BaseModel):
    """Transforms to try on an image."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"image_id": _IMAGE_ID, "spec": "t-w640-h480-cover"}]},
    )

    image_id: UUID
    spec: Spec = Field(description="Transforms, for example `t-w640-h480-cover-at-q75`.")


class Preview(BaseModel):
    """What transforms make of an image."""

    spec: str = Field(description="The transforms.")
    width: int | None = Field(description="Width of the result in pixels. Null until the image's size is known.")
    height: int | None = Field(description="Height of the result in pixels. Null until the image's size is known.")
    urls: dict[str, str] = Field(description="Signed address of the result in each format.")
    expires_at: datetime | None = Field(description="Time at which the addresses expire, in UTC. Never null.")
