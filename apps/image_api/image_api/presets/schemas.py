"""Request and response bodies of presets."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from image_api.http.field_types import JsonBoolean, JsonInteger, describe_pattern
from image_core.delivery.spec import DEFAULT_QUALITY, FORMATS, MOST_SIDE_PX, Fit, Format

_GRAVITY = describe_pattern(
    r"^(ce|at|fo|x(0|[1-9][0-9]{0,2}|1000)y(0|[1-9][0-9]{0,2}|1000))$",
    "Send `ce` (center), `at` (attention), `fo` (focal point) or a point such as `x300y500` in thousandths.",
)
_BACKGROUND = describe_pattern(r"^[0-9a-f]{6}$", "Send six lowercase hexadecimal digits, for example `ffffff`.")
Side = Annotated[JsonInteger, Field(ge=1, le=MOST_SIDE_PX)]


class NewPreset(BaseModel):
    """A preset as it shall be. Absent fields have their defaults."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"width": 640, "height": 480, "fit": "cover", "gravity": "at", "open": True}]},
    )

    width: Side | None = Field(None, description="Width of the box in pixels, 1 to 4096. Null for no limit.")
    height: Side | None = Field(None, description="Height of the box in pixels, 1 to 4096. Null for no limit.")
    fit: Fit = Field(
        "inside",
        description="`inside` keeps the whole picture, `cover` fills the box and cuts off the rest, `pad` adds a"
        " border. Pictures are never enlarged. `cover` and `pad` need both sides.",
    )
    gravity: Annotated[str, Field(pattern=_GRAVITY)] = Field(
        "ce",
        description="What `cover` keeps: `ce` (center), `at` (attention), `fo` (focal point) or a point such as"
        " `x300y500` in thousandths.",
    )
    quality: Annotated[JsonInteger, Field(ge=1, le=100)] = Field(
        DEFAULT_QUALITY, description="Quality of the encoder, 1 to 100."
    )
    formats: Annotated[list[Format], Field(min_length=1, max_length=len(FORMATS))] = Field(
        default_factory=lambda: list[Format](("webp",)),
        description="Formats that addresses of the open preset can ask for.",
    )
    background: Annotated[str, Field(pattern=_BACKGROUND)] | None = Field(
        None,
        description="Color behind transparency and of the border, six hexadecimal digits. Null for white, or for"
        " transparency if the format supports it.",
    )
    animated: JsonBoolean = Field(True, description="Whether animations keep their frames; otherwise the first one.")
    metadata: Literal["none", "copyright"] = Field(
        "none", description="`copyright` keeps the creator and the copyright notice in the file."
    )
    open: JsonBoolean = Field(
        False,
        description="Whether the addresses in an image's `delivery`, and those of public images, include the preset.",
    )
    eager: JsonBoolean = Field(
        False,
        description="Whether the preset is made of every image before the first request: the derivative in WebP by"
        " processing, further formats in the background. After a change, existing images follow.",
    )

    @field_validator("formats")
    @classmethod
    def _named_once(cls, formats: list[Format]) -> list[Format]:
        if len(set(formats)) < len(formats):
            raise ValueError("a format is listed twice")
        return formats

    @model_validator(mode="after")
    def _fits_its_sides(self) -> Self:
        sides = (self.width is not None) + (self.height is not None)
        if sides == 0:
            raise ValueError("give `width`, `height` or both")
        if self.fit != "inside" and sides < 2:
            raise ValueError(f"`{self.fit}` needs both `width` and `height`")
        if self.fit != "cover" and self.gravity != "ce":
            raise ValueError("only `cover` cuts something off, so only it can have a `gravity`")
        return self


class Preset(BaseModel):
    """A preset of a team."""

    name: str = Field(description="Name of the preset, as in addresses.")
    spec: str = Field(description="The preset in an address: its name and the short hash of what changes its pixels.")
    built_in: bool = Field(description="True for the presets of every team, which cannot be removed.")
    width: int | None = Field(description="Width of the box in pixels. Null for no limit.")
    height: int | None = Field(description="Height of the box in pixels. Null for no limit.")
    fit: Fit = Field(description="`inside`, `cover` or `pad`.")
    gravity: str = Field(description="What `cover` keeps.")
    quality: int = Field(description="Quality of the encoder, 1 to 100.")
    formats: list[Format] = Field(description="Formats that addresses of the open preset can ask for.")
    background: str | None = Field(
        description="Color behind transparency and of the border. Null for white, or for transparency if the format"
        " supports it."
    )
    animated: bool = Field(description="Whether animations keep their frames.")
    metadata: Literal["none", "copyright"] = Field(description="What is kept of the file's metadata.")
    open: bool = Field(description="Whether addresses in `delivery` and of public images include the preset.")
    eager: bool = Field(description="Whether the preset is made of every image before the first request.")
    updated_at: datetime | None = Field(
        description="Time of the last change, in UTC. Null for a built-in preset that was never changed."
    )


class PresetList(BaseModel):
    """The presets of a team, by name."""

    items: list[Preset]


class ChangedPreset(Preset):
    """A preset after a change."""

    public_images: int | None = Field(
        description="Number of public images that the change concerns. Null if the preset is not open, or neither its"
        " pixels nor `open` changed."
    )
