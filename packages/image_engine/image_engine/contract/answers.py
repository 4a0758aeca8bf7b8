"""The responses of a worker process. Plain data with bounds, without codecs or NumPy; the parent checks all of it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from image_core.analyses.catalogue import CATALOGUE, rounded
from image_core.images.picture_header import PictureFormat
from image_engine.contract.facts import (
    CameraFacts,
    Flag,
    Line,
    Number,
    Seconds,
    Size,
    StepSeconds,
    Whole,
    Word,
    is_storable,
)
from image_engine.contract.rejections import REJECTION_MESSAGES, PictureRejected
from image_engine.contract.requests import AnalysisOrder
from image_engine.models.description import MODEL_FAILURES

ANALYZER_FAILED = "analyzer-failed"
PERCEPTUAL_HASH_ALGORITHM = "phash-dct-1"
_FAILURES = {ANALYZER_FAILED, *MODEL_FAILURES, *REJECTION_MESSAGES}


@dataclass(frozen=True, slots=True)
class AnalysisOutcome:
    """The outcome of one order: a result or a failure.

    Attributes:
        result: valid for the analyzer, floats rounded; None for a failure.
        failure: `analyzer-failed`, or the code with which a picture is rejected or a model cannot be used; None for a
            result.
        place: where in our code an analyzer failed, or what is wrong with its model, for the log.
    """

    analyzer: str
    version: str
    parameters: dict[str, Any]
    result: dict[str, Any] | None
    failure: str | None = None
    place: str | None = None

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "AnalysisOutcome":
        """Rebuild the output of `asdict`, in a process that trusts none of it.

        Raises:
            ValueError, TypeError, KeyError: A worker may not send this.
        """
        outcome = cls(**values)
        if not is_storable(values):
            raise ValueError("a worker sent what cannot be stored")
        if (outcome.result is None) == (outcome.failure is None):
            raise ValueError("a worker sent neither a result nor a failure")
        if outcome.failure is not None and outcome.failure not in _FAILURES:
            raise ValueError("a worker named a failure that there is not")
        model = CATALOGUE[outcome.analyzer].result
        if outcome.result is not None and rounded(model.model_validate(outcome.result).model_dump()) != outcome.result:
            raise ValueError("a worker sent a result that is not rounded")
        return outcome


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
    """The facts of a picture. The types limit what the parent accepts from a worker.

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
        """Return the facts as stored, without values that JSON or PostgreSQL's jsonb rejects."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ProcessedPicture:
    """The complete output of a job.

    Attributes:
        derivatives: in the order of the request's presets; without the optional ones if the first attempt failed.
        step_seconds: wall time by step, in the order in which the steps ran.
        vectors: for comparison with other pictures, each under the name of its model.
        analyses: in the order of the request; a failure of one does not fail the picture.
        trace: errors that did not fail the picture, for the log.
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


@dataclass(frozen=True, slots=True)
class AnalyzedPicture:
    """The complete output of a request for analyses.

    Attributes:
        outcomes: in the order of the request.
        step_seconds: wall time by step, in the order in which the steps ran.
        worker_rss_bytes: resident memory of the worker afterwards.
        worker_cpu_seconds: CPU time of the worker for this picture.
    """

    outcomes: tuple[AnalysisOutcome, ...]
    step_seconds: StepSeconds
    worker_rss_bytes: Whole = 0
    worker_cpu_seconds: Seconds = 0.0


@dataclass(frozen=True, slots=True)
class AnalyzedBatch:
    """One answer for each picture of a batch, in order; the worker's figures are those of the whole batch."""

    answers: tuple[AnalyzedPicture | PictureRejected, ...]
    worker_rss_bytes: Whole = 0
    worker_cpu_seconds: Seconds = 0.0


def failed(orders: Iterable[AnalysisOrder], code: str) -> tuple[AnalysisOutcome, ...]:
    """Return the same failure for each order."""
    return tuple(
        AnalysisOutcome(order.analyzer, CATALOGUE[order.analyzer].version, order.parameters, None, code)
        for order in orders
    )
