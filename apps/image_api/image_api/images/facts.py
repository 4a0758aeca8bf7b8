"""The facts of a picture, as the OpenAPI document shows them. The processor reads them; docs/facts.md explains them."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict


class CameraFacts(TypedDict, total=False):
    """Plausible data that the camera or an editor wrote into the file."""

    taken_at: Annotated[
        str,
        Field(
            description="Time of the photograph in RFC 3339. It has a fraction and an offset only if the file contains"
            " them, and is a date alone if the file contains no time of day.",
            examples=["2021-07-15T10:20:30.25+02:00", "2021-07-15T10:20:30", "2021-07-15"],
        ),
    ]
    gps_time: Annotated[
        str,
        Field(
            description="Time of the location, from satellites, in UTC. Absent if the team does not keep locations.",
            examples=["2021-07-15T08:20:28+00:00"],
        ),
    ]
    camera_make: Annotated[str, Field(description="Manufacturer of the camera.")]
    camera_model: Annotated[str, Field(description="Model of the camera.")]
    lens_make: Annotated[str, Field(description="Manufacturer of the lens.")]
    lens: Annotated[str, Field(description="Model of the lens.")]
    software: Annotated[str, Field(description="Software that wrote the file.")]
    artist: Annotated[str, Field(description="Author of the photograph.")]
    copyright: Annotated[str, Field(description="Copyright notice.")]
    description: Annotated[str, Field(description="Description of the content, as stored in the file.")]
    exposure_time: Annotated[float, Field(description="Exposure time in seconds.")]
    f_number: Annotated[float, Field(description="Aperture as an f-number, for example 2.8.")]
    iso: Annotated[int, Field(description="ISO sensitivity.")]
    exposure_bias: Annotated[float, Field(description="Exposure compensation in EV.")]
    focal_length: Annotated[float, Field(description="Focal length in mm.")]
    focal_length_35mm: Annotated[int, Field(description="Equivalent focal length for 35 mm film, in mm.")]
    flash_fired: Annotated[bool, Field(description="Whether the flash fired.")]


class _Coordinates(TypedDict):
    latitude: Annotated[float, Field(ge=-90, le=90, description="Latitude in degrees; negative in the south.")]
    longitude: Annotated[float, Field(ge=-180, le=180, description="Longitude in degrees; negative in the west.")]


class Place(_Coordinates, total=False):
    """Where the photograph was taken."""

    altitude: Annotated[float, Field(description="Altitude in metres above sea level; negative below it.")]


class DominantColor(TypedDict):
    """One of the main colours of an image."""

    hex: Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$", description="Colour in sRGB, as `#rrggbb`.")]
    share: Annotated[float, Field(ge=0, le=1, description="Share of the image, 0 to 1.")]


class PictureFacts(TypedDict, total=False):
    """Properties read from the file. They are absent until the image has been processed; new ones may be added."""

    format: Annotated[str, Field(description="Image format detected from the file's content.", examples=["jpeg"])]
    content_type: Annotated[str, Field(description="Media type of the format.")]
    width_px: Annotated[int, Field(description="Width of a frame in pixels, after the orientation has been applied.")]
    height_px: Annotated[int, Field(description="Height of a frame in pixels, after the orientation has been applied.")]
    frames: Annotated[
        int, Field(description="Number of frames; 1 for a still image. Pages of a TIFF file do not count.")
    ]
    duration_ms: Annotated[
        int | None, Field(description="Duration of one loop in milliseconds. Null for a still image.")
    ]
    loop_count: Annotated[int | None, Field(description="Number of loops; 0 for endless. Null for a still image.")]
    bit_depth: Annotated[int, Field(description="Bits per sample in the file.")]
    has_alpha: Annotated[bool, Field(description="Whether the file has an alpha channel.")]
    color_space: Annotated[
        Literal["rgb", "gray", "cmyk", "lab", "other"], Field(description="Colour space of the samples in the file.")
    ]
    icc_profile: Annotated[str | None, Field(description="Name of the embedded colour profile. Null if there is none.")]
    orientation: Annotated[
        int,
        Field(
            ge=1, le=8, description="EXIF orientation in the file, 1 to 8. Sizes and derivatives already reflect it."
        ),
    ]
    exif: CameraFacts
    location: Annotated[
        Place | None, Field(description="Location. Null if the file has none, or the team does not keep locations.")
    ]
    colors: Annotated[list[DominantColor], Field(description="Main colours, at most 5, largest share first.")]
    blurhash: Annotated[str, Field(description="BlurHash: a blurred placeholder as text (https://blurha.sh).")]
    perceptual_hash: Annotated[
        str, Field(description="64-bit perceptual hash. Hashes of near-identical images differ in few bits.")
    ]
    perceptual_hash_algorithm: Annotated[
        str, Field(description="Algorithm of the hash. Only hashes of the same algorithm can be compared.")
    ]
