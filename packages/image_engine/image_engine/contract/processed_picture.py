"""What is asked of a worker process and what comes back. Plain data, known to both sides, without any codec."""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from image_core.images.picture_header import PictureFormat
from image_engine.contract.analysis_request import AnalysisOrder, AnalysisOutcome, orders_from_json
from image_engine.contract.facts import CameraFacts, Flag, Line, Number, Seconds, Size, StepSeconds, Whole, Word
from image_engine.contract.limits import PictureLimits
from image_engine.contract.presets import DEFAULT_PRESETS, Preset

PERCEPTUAL_HASH_ALGORITHM = "phash-dct-1"


@dataclass(frozen=True, slots=True)
class ProcessingRequest:
    """What to do with a picture.

    Attributes:
        presets: the derivatives to make, none of them twice.
        limits: what the picture may be.
        keep_location: False leaves the place that the camera wrote down out of the facts.
        analyses: what to find out about the picture once its derivatives are made.
        embed: False leaves out the vector of a model, where there is one.
    """

    presets: tuple[Preset, ...] = DEFAULT_PRESETS
    limits: PictureLimits = field(default_factory=PictureLimits)
    keep_location: bool = True
    analyses: tuple[AnalysisOrder, ...] = ()
    embed: bool = True

    def to_json(self) -> dict[str, Any]:
        """Give plain values for the way to a worker."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ProcessingRequest":
        """Rebuild what `to_json` gave."""
        return cls(
            presets=tuple(Preset(**preset) for preset in values["presets"]),
            limits=PictureLimits.from_json(values["limits"]),
            keep_location=values["keep_location"],
            analyses=orders_from_json(values["analyses"]),
            embed=values["embed"],
        )


@dataclass(frozen=True, slots=True)
class Derivative:
    """One finished derivative.

    Attributes:
        preset: the name of its preset.
        content: the whole file, WebP in sRGB without metadata.
        frames: more than one for an animation.
    """

    preset: Word
    width_px: Size
    height_px: Size
    frames: Size
    content: bytes = field(repr=False)
    content_type: Literal["image/webp"] = "image/webp"


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What is known of a picture. The types bound what the parent takes from a worker.

    Attributes:
        width_px: as shown, orientation applied; of one frame.
        height_px: as `width_px`.
        frames: in the file, even if derivatives hold fewer; pages of a TIFF file do not count.
        duration_ms: of one run of an animation; None for a still picture.
        loop_count: runs of an animation, 0 for endless; None for a still picture.
        bit_depth: per sample, as stored.
        color_space: as stored: `rgb`, `gray`, `cmyk`, `lab` or `other`.
        icc_profile: the embedded profile's description, None where there is none.
        orientation: EXIF's 1 to 8, as stored and already applied to sizes and derivatives.
        exif: what the camera wrote, by name; units are mm, s and f-numbers.
        location: `latitude` and `longitude` in degrees, `altitude` in metres above the sea where known.
        colors: up to five, `hex` and `share` of the picture, the largest share first.
        perceptual_hash: 64 bits in 16 hexadecimal digits; comparable within one algorithm only.
    """

    format: PictureFormat
    content_type: Annotated[str, Field(pattern=r"^image/[a-z0-9.+-]{1,40}$")]
    width_px: Size
    height_px: Size
    frames: Size
    duration_ms: Whole | None
    loop_count: Whole | None
    bit_depth: Annotated[int, Field(strict=True, ge=1, le=64)]
    has_alpha: Flag
    color_space: Word
    icc_profile: Line | None
    orientation: Annotated[int, Field(strict=True, ge=1, le=8)]
    exif: CameraFacts
    location: Annotated[dict[Word, Number], Field(max_length=3)] | None
    colors: Annotated[list[dict[Word, Line | Number]], Field(max_length=16)]
    blurhash: Annotated[str, Field(pattern=r"^[0-9A-Za-z#$%*+,.:;=?@^_{|}~\[\]-]{6,100}$")]
    perceptual_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    perceptual_hash_algorithm: Word = PERCEPTUAL_HASH_ALGORITHM

    def to_json(self) -> dict[str, Any]:
        """Give the facts as they are stored: no value that JSON or PostgreSQL's jsonb refuses."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ProcessedPicture:
    """Everything one job gives.

    Attributes:
        derivatives: in the order of the request's presets.
        step_seconds: wall time by step, in the order in which the steps ran.
        vectors: by which the picture is compared with others, each under the name of its model.
        analyses: in the order of the request; a failure of one is no failure of the picture.
        trace: what went wrong without costing the picture, for the log.
        worker_rss_bytes: resident memory of the worker afterwards.
        worker_cpu_seconds: CPU time of the worker for this picture.
    """

    facts: PictureFacts
    derivatives: tuple[Derivative, ...]
    step_seconds: StepSeconds
    vectors: dict[str, list[float]] = field(default_factory=dict)
    analyses: tuple[AnalysisOutcome, ...] = ()
    trace: str | None = None
    worker_rss_bytes: Whole = 0
    worker_cpu_seconds: Seconds = 0.0
