"""One picture made for delivery: what is asked of a worker, and what it answers. Plain data, without any codec."""

from dataclasses import asdict, dataclass, field
from typing import Any

from image_core.delivery.spec import MOST_UNBOUNDED_SIDE_PX, Format, Recipe
from image_engine.contract.facts import Seconds, Size, StepSeconds, Whole
from image_engine.contract.limits import PictureLimits

DEFAULT_EFFORT: dict[Format, int] = {"webp": 2, "avif": 0, "jpeg": 0, "png": 0}
"""For somebody who waits. WebP's goes to 6, AVIF's to 9; the others have none."""
CONTENT_TYPES: dict[Format, str] = {
    "webp": "image/webp",
    "avif": "image/avif",
    "jpeg": "image/jpeg",
    "png": "image/png",
}
BACKGROUND_EFFORT = DEFAULT_EFFORT | {"avif": 2}
"""For a picture that nobody waits for."""
MOST_EFFORT = 9
FULL_SIZE_QUALITY = 92
COPIED_FORMATS: dict[str, Format] = {"image/jpeg": "jpeg", "image/png": "png", "image/webp": "webp"}
"""Media types of which the compressed data can be copied without metadata."""


@dataclass(frozen=True, slots=True)
class RenditionRequest:
    """What to make of a picture.

    Attributes:
        recipe: size, fit, gravity, quality, background, blur, animation and metadata. Without sides the picture keeps
            its size. A focal point must have been put in the place of `fo` (`Recipe.focused`).
        format: of the answer. Frames of an animation are kept in WebP only, other formats get the first one.
        effort: the encoder's; None for `DEFAULT_EFFORT`.
        limits: what the picture may be.

    Raises:
        ValueError: the gravity is `fo`, or the effort is out of range.
    """

    recipe: Recipe
    format: Format
    effort: int | None = None
    limits: PictureLimits = field(default_factory=PictureLimits)

    def __post_init__(self) -> None:
        """Refuse what no worker can make."""
        if self.recipe.gravity == "fo":
            raise ValueError("the focal point of the image is missing: use Recipe.focused")
        if self.effort is not None and not 0 <= self.effort <= MOST_EFFORT:
            raise ValueError(f"effort {self.effort} is out of range: 0 to {MOST_EFFORT}")

    def to_json(self) -> dict[str, Any]:
        """Give plain values for the way to a worker."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "RenditionRequest":
        """Rebuild what `to_json` gave."""
        return cls(
            recipe=Recipe(**values["recipe"]),
            format=values["format"],
            effort=values["effort"],
            limits=PictureLimits.from_json(values["limits"]),
        )


def full_size_request(
    width_px: int, height_px: int, *, has_alpha: bool, is_animated: bool, limits: PictureLimits | None = None
) -> RenditionRequest:
    """Return the request for a picture at full size whose file cannot be copied without its metadata.

    What moves becomes WebP where WebP can hold it, what is transparent PNG, everything else JPEG.
    """
    image_format: Format = "png" if has_alpha else "jpeg"
    if is_animated and max(width_px, height_px) <= MOST_UNBOUNDED_SIDE_PX:
        image_format = "webp"
    return RenditionRequest(Recipe(quality=FULL_SIZE_QUALITY), image_format, limits=limits or PictureLimits())


def full_size_format(content_type: str, width_px: int, height_px: int, *, has_alpha: bool, is_animated: bool) -> Format:
    """Return the format of the whole picture: that of the file where its data can be copied, else of the request."""
    copied = COPIED_FORMATS.get(content_type)
    if copied is not None:
        return copied
    return full_size_request(width_px, height_px, has_alpha=has_alpha, is_animated=is_animated).format


@dataclass(frozen=True, slots=True)
class Rendition:
    """One picture made for delivery.

    Attributes:
        content: the whole file, upright, in 8-bit sRGB, without metadata but for what the recipe keeps.
        width_px: of one frame; `image_core.delivery.spec.output_size` gives the same.
        height_px: as `width_px`.
        frames: more than one for an animation.
        step_seconds: wall time by step, in the order in which the steps ran.
        worker_rss_bytes: resident memory of the worker afterwards.
        worker_cpu_seconds: CPU time of the worker for this picture.
    """

    format: Format
    width_px: Size
    height_px: Size
    frames: Size
    content: bytes = field(repr=False)
    step_seconds: StepSeconds = field(default_factory=dict)
    worker_rss_bytes: Whole = 0
    worker_cpu_seconds: Seconds = 0.0

    @property
    def content_type(self) -> str:
        """The media type of the content."""
        return CONTENT_TYPES[self.format]
