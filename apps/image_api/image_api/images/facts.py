"""The facts of a picture, as the OpenAPI document names them. The processor finds them; docs/facts.md explains them."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict


class CameraFacts(TypedDict, total=False):
    """What the camera wrote, as far as it is plausible."""

    taken_at: Annotated[
        str,
        Field(
            description="RFC 3339; with a fraction and an offset only where the file says them, a date alone where it"
            " tells no time of day.",
            examples=["2021-07-15T10:20:30.25+02:00", "2021-07-15T10:20:30", "2021-07-15"],
        ),
    ]
    camera_make: Annotated[str, Field(description="Who made the camera.")]
    camera_model: Annotated[str, Field(description="The camera's model.")]
    lens_make: Annotated[str, Field(description="Who made the lens.")]
    lens: Annotated[str, Field(description="The lens's model.")]
    software: Annotated[str, Field(description="What wrote the file.")]
    artist: Annotated[str, Field(description="Who took the photograph.")]
    copyright: Annotated[str, Field(description="The copyright notice.")]
    description: Annotated[str, Field(description="What the picture shows, by whoever wrote it down.")]
    exposure_time: Annotated[float, Field(description="Seconds.")]
    f_number: Annotated[float, Field(description="The aperture: focal length by its diameter.")]
    iso: Annotated[int, Field(description="Sensitivity.")]
    exposure_bias: Annotated[float, Field(description="EV.")]
    focal_length: Annotated[float, Field(description="Millimetres.")]
    focal_length_35mm: Annotated[int, Field(description="Millimetres on 35 mm film with the same angle of view.")]
    flash_fired: Annotated[bool, Field(description="Whether the flash fired.")]


class _Coordinates(TypedDict):
    latitude: Annotated[float, Field(ge=-90, le=90, description="Degrees; south is negative.")]
    longitude: Annotated[float, Field(ge=-180, le=180, description="Degrees; west is negative.")]


class Place(_Coordinates, total=False):
    """Where the photograph was taken, for teams that keep places."""

    altitude: Annotated[float, Field(description="Metres above the sea; below it is negative.")]


class DominantColor(TypedDict):
    """One of the colours that a picture mostly consists of."""

    hex: Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$", description="The colour in sRGB.")]
    share: Annotated[float, Field(ge=0, le=1, description="Its share of the picture.")]


class PictureFacts(TypedDict, total=False):
    """What the file holds; empty until the image has been processed, and more may be found later."""

    format: Annotated[str, Field(description="The format, by the file's bytes.", examples=["jpeg"])]
    content_type: Annotated[str, Field(description="The format's media type.")]
    width_px: Annotated[int, Field(description="Width of one frame as shown, orientation applied.")]
    height_px: Annotated[int, Field(description="Height of one frame as shown, orientation applied.")]
    frames: Annotated[int, Field(description="More than one for an animation; pages of a TIFF file do not count.")]
    duration_ms: Annotated[int | None, Field(description="Of one run of an animation; null for a still picture.")]
    loop_count: Annotated[int | None, Field(description="Its runs, 0 for endless; null for a still picture.")]
    bit_depth: Annotated[int, Field(description="Bits a sample, as stored.")]
    has_alpha: Annotated[bool, Field(description="Whether the file can be transparent.")]
    color_space: Annotated[
        Literal["rgb", "gray", "cmyk", "lab", "other"], Field(description="The colour space of the samples as stored.")
    ]
    icc_profile: Annotated[str | None, Field(description="What the embedded profile calls itself; null without.")]
    orientation: Annotated[int, Field(ge=1, le=8, description="EXIF's orientation as stored; it is applied already.")]
    exif: CameraFacts
    location: Annotated[Place | None, Field(description="Null where the file tells none, or the team keeps none.")]
    colors: Annotated[list[DominantColor], Field(description="Up to five, the largest share first.")]
    blurhash: Annotated[str, Field(description="A blurred placeholder, see blurha.sh.")]
    perceptual_hash: Annotated[str, Field(description="Differs in few of its 64 bits from alike pictures' hashes.")]
    perceptual_hash_algorithm: Annotated[str, Field(description="Hashes compare within one algorithm only.")]
