"""Request and response bodies of share links."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from image_api.http.field_types import LINE
from image_api.http.shown_once import ShownOnce
from image_api.http.timestamps import UtcTime
from image_api.people.schemas import Password
from image_core.delivery.spec import MOST_NAME_LENGTH
from image_core.states import LinkDownload

MOST_IMAGES, MOST_PRESETS = 1000, 64
DEFAULT_PRESETS = ("thumb", "preview", "large")
_IMAGE_ID = "0199c0de-0000-7000-8000-000000000004"

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=LINE)]
PresetNames = Annotated[
    list[Annotated[str, Field(max_length=MOST_NAME_LENGTH)]], Field(min_length=1, max_length=MOST_PRESETS)
]
_TITLE = "Title of the pages, 1 to 200 characters. Null for none."
_PRESETS = "Names of the presets in which visitors see the images, open ones or not, at most 64."
_DOWNLOAD = (
    "What visitors may download: `none`; `stripped`, the picture at full size without metadata; `original`, the file as"
    " it was uploaded, whose metadata may tell where it was taken."
)
_EXPIRES_AT = "Time at which the link ends, in UTC. Null for never."
_PASSWORD = "Password that visitors have to enter, 8 to 128 characters."  # noqa: S105 (a description)


class LinkState(StrEnum):
    """Whether the address of a link is answered."""

    OPEN = "open"
    EXPIRED = "expired"


class NewShareLink(BaseModel):
    """Share link to create: to images, or to a collection."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"image_ids": [_IMAGE_ID], "title": "Norway 2026", "expires_at": "2030-01-01T00:00:00Z"}]
        },
    )

    image_ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_IMAGES)] | None = Field(
        None,
        description="IDs of the images to show, at most 1,000, in their order. Null or absent if `collection_id` is"
        " sent.",
    )
    collection_id: UUID | None = Field(
        None,
        description="ID of the collection whose images are shown, as it is at that time. Null or absent if `image_ids`"
        " is sent.",
    )
    title: Title | None = Field(None, description=_TITLE)
    presets: PresetNames = Field(list(DEFAULT_PRESETS), description=_PRESETS)
    download: LinkDownload = Field(LinkDownload.NONE, description=_DOWNLOAD)
    expires_at: UtcTime | None = Field(None, description=_EXPIRES_AT)
    password: Password | None = Field(None, description=f"{_PASSWORD} Null for none.")

    @model_validator(mode="after")
    def _shows_one_thing(self) -> Self:
        if (self.image_ids is None) == (self.collection_id is None):
            raise ValueError("send either `image_ids` or `collection_id`")
        return self


class ShareLinkPatch(BaseModel):
    """JSON merge patch: absent fields stay as they are."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"title": "Norway", "expires_at": "2030-06-01T00:00:00Z"}]},
    )

    title: Title | None = Field(None, description=_TITLE)
    presets: PresetNames = Field(list(DEFAULT_PRESETS), description=_PRESETS)
    download: LinkDownload = Field(LinkDownload.NONE, description=_DOWNLOAD)
    expires_at: UtcTime | None = Field(None, description=_EXPIRES_AT)
    password: Password | None = Field(None, description=f"{_PASSWORD} Null removes it.")

    @field_validator("presets", "download", mode="before")
    @classmethod
    def _not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("send a value, or leave the field out")
        return value


class ListedShareLink(BaseModel):
    """A share link within a list."""

    id: UUID
    team_id: UUID
    title: str | None = Field(description="Title of the pages. Null for none.")
    collection_id: UUID | None = Field(
        description="ID of the collection whose images are shown. Null for a link to images of its own."
    )
    presets: list[str] = Field(description="Names of the presets in which visitors see the images.")
    download: LinkDownload = Field(description=_DOWNLOAD)
    notice: str | None = Field(description="What to consider about what visitors may download. Null for nothing.")
    has_password: bool = Field(description="Whether visitors have to enter a password.")
    expires_at: datetime | None = Field(description=_EXPIRES_AT)
    state: LinkState = Field(description="`open`, or `expired` for good.")
    views: int = Field(description="Number of views. A visitor counts once an hour.")
    last_viewed_at: datetime | None = Field(description="Time of the latest view, in UTC. Null if there was none.")
    created_at: datetime
    updated_at: datetime = Field(description="Time of the last change of the link itself, in UTC.")


class ShareLinkPage(BaseModel):
    """A page of share links, newest first."""

    items: list[ListedShareLink]
    next_cursor: str | None


class ShareLink(ListedShareLink):
    """A share link, without its address."""

    image_count: int = Field(description="Number of images that visitors see now, without those in the trash.")


class AddressedShareLink(ShareLink):
    """A share link with its new address."""

    token: ShownOnce = Field(
        description="Secret with which the address ends. Shown only in the first response; null in a repeated one"
        " (`Idempotency-Replayed: true`)."
    )
    url: ShownOnce = Field(
        description="Address to share. Shown only in the first response; null in a repeated one"
        " (`Idempotency-Replayed: true`)."
    )
