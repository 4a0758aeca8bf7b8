"""Specs: what an address asks to be made of an image, in one spelling each.

A spec is a preset's name with `@` and four hex digits of its recipe's hash, or `t-` and transforms:
`t-w640-h480-cover-at-q75`.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

Fit = Literal["inside", "cover", "pad"]
Format = Literal["webp", "avif", "jpeg", "png"]
FORMATS: tuple[Format, ...] = get_args(Format)
FITS: tuple[Fit, ...] = get_args(Fit)
FOCAL_GRAVITY = "fo"
GRAVITIES = ("ce", "at", FOCAL_GRAVITY)
WIDTHS_PX = (
    16, 32, 48, 64, 96, 128, 160, 192, 256, 320, 384, 480, 512, 640, 750, 768, 828, 1024, 1080, 1200, 1280, 1440,
    1600, 1920, 2048, 2560, 3072, 3840, 4096,
)  # fmt: skip
MOST_SIDE_PX = 4096
MOST_UNBOUNDED_SIDE_PX = 16_383
"""What WebP can hold. It bounds the side that a spec leaves open."""
DEFAULT_QUALITY = 80
THOUSANDTHS = 1000
"""The unit of points: they lie between 0 and this on both axes."""
TRANSFORM_PREFIX = "t-"
RESERVED_NAMES = frozenset({"original", "full", "source", "public"})
ENCODER_VERSION = 1
"""Raised when the same recipe gives other pixels, so that addresses and caches tell them apart."""

PRESET_NAME = r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
MOST_NAME_LENGTH = 32
_PRESET = re.compile(rf"(?P<name>{PRESET_NAME})(?:@(?P<short_hash>[0-9a-f]{{4}}))?", re.ASCII)
_POINT = re.compile(r"x([0-9]+)y([0-9]+)", re.ASCII)
_NUMBER = re.compile(r"(w|h|q|blur)([0-9]+)", re.ASCII)
_BACKGROUND = re.compile(r"bg([0-9a-f]{6})", re.ASCII)


class FocalPoint(NamedTuple):
    """The point that a cut keeps, in thousandths of the width and height of the picture as shown."""

    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that changes the pixels of what is made, whatever its format.

    Attributes:
        width_px: of the box; None where only the height bounds.
        height_px: of the box; None where only the width bounds.
        fit: `inside` keeps everything, `cover` fills the box, `pad` adds a border. Nothing is enlarged.
        gravity: what `cover` keeps: `ce`, `at`, `fo`, or a point `x300y500` in thousandths.
        quality: 1 to 100.
        background: six lower-case hex digits; None for white, and for transparency where the format has it.
        blur_tenths: sigma in tenths of a pixel; None for none.
        animated: whether the frames of an animation are kept.
        metadata: `none`, or `copyright` to keep who made the picture.
    """

    width_px: int | None = None
    height_px: int | None = None
    fit: Fit = "inside"
    gravity: str = "ce"
    quality: int = DEFAULT_QUALITY
    background: str | None = None
    blur_tenths: int | None = None
    animated: bool = True
    metadata: Literal["none", "copyright"] = "none"

    def hash(self) -> bytes:
        """Return the 16 bytes by which what was made of this recipe is found again."""
        return _hash_of(self)

    def focused(self, point: FocalPoint | None) -> "Recipe":
        """Return the recipe for an image: its focal point takes the place of `fo`, or the center if it has none."""
        if self.gravity != FOCAL_GRAVITY:
            return self
        # Otherwise nothing is cut off, and what has the same pixels has the same hash.
        if point is None or self.fit != "cover":
            return replace(self, gravity="ce")
        return replace(self, gravity=f"x{point.x}y{point.y}")

    def short_hash(self) -> str:
        """Return the four hex digits that follow a preset's name."""
        return self.hash().hex()[:4]


@lru_cache(maxsize=4096)
def _hash_of(recipe: Recipe) -> bytes:
    # A page of addresses asks for the same few hashes hundreds of times.
    text = json.dumps([ENCODER_VERSION, asdict(recipe)], separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).digest()[:16]


class SpecInvalid(Exception):
    """A spec that cannot be made. `canonical` is its right spelling, where it has one."""

    def __init__(self, detail: str, canonical: str | None = None) -> None:
        super().__init__(detail)
        self.detail, self.canonical = detail, canonical


@dataclass(frozen=True, slots=True)
class PresetSpec:
    """A preset's name as an address spells it, with the four hex digits that it carried, if any."""

    name: str
    short_hash: str | None

    @property
    def is_reserved(self) -> bool:
        """Tell whether the name is one of the service's own: the original, the full size, the internal source."""
        return self.name in RESERVED_NAMES


def parse(spec: str) -> PresetSpec | Recipe:
    """Return what a spec asks for.

    Raises:
        SpecInvalid: it is no preset's name and no transforms, or not in their one spelling.
    """
    if spec.startswith(TRANSFORM_PREFIX):
        return parse_transforms(spec)
    match = _PRESET.fullmatch(spec)
    if match is None or len(match["name"]) > MOST_NAME_LENGTH:
        raise SpecInvalid("Neither a preset's name nor transforms, which begin with `t-`.")
    return PresetSpec(match["name"], match["short_hash"])


def parse_transforms(spec: str) -> Recipe:
    """Return the recipe of transforms such as `t-w640-h480-cover`.

    Raises:
        SpecInvalid: a transform is unknown, repeated or out of range, or the spelling is not the canonical one.
    """
    values: dict[str, int | str] = {}
    for part in spec.removeprefix(TRANSFORM_PREFIX).split("-"):
        name, value = _read(part.lower())
        if name in values:
            raise SpecInvalid(f"Transform `{part[:20]}` repeats {name}: each may occur once.")
        values[name] = value
    recipe = _recipe_of(values)
    canonical = spell(recipe)
    if canonical != spec:
        raise SpecInvalid(f"Not the canonical spelling of these transforms, which is {canonical}.", canonical)
    return recipe


def _read(part: str) -> tuple[str, int | str]:
    if part in FITS:
        return "fit", part
    if part in GRAVITIES:
        return "gravity", part
    if match := _POINT.fullmatch(part):
        x, y = int(match[1]), int(match[2])
        if max(x, y) > THOUSANDTHS:
            raise SpecInvalid(f"Point `{part[:20]}` is out of range: 0 to {THOUSANDTHS} thousandths.")
        return "gravity", f"x{x}y{y}"
    if match := _BACKGROUND.fullmatch(part):
        return "background", match[1]
    if match := _NUMBER.fullmatch(part):
        return match[1], int(match[2])
    if not part:
        raise SpecInvalid("A transform is empty: write for example `t-w640-h480`, with single hyphens.")
    raise SpecInvalid(
        f"Unknown transform `{part[:20]}`: known are w, h, inside, cover, pad, ce, at, fo, x…y…, q, bg and blur."
    )


def _recipe_of(values: dict[str, int | str]) -> Recipe:
    width, height = _number(values, "w"), _number(values, "h")
    fit, gravity = str(values.get("fit", "inside")), str(values.get("gravity", "ce"))
    quality, blur = _number(values, "q"), _number(values, "blur")
    if width is None and height is None:
        raise SpecInvalid("No size: give w, h or both.")
    if width is not None and width not in WIDTHS_PX:
        raise SpecInvalid(f"Width {width} is not offered: use one of {', '.join(map(str, WIDTHS_PX))}.")
    if height is not None and not 1 <= height <= MOST_SIDE_PX:
        raise SpecInvalid(f"Height {height} is out of range: 1 to {MOST_SIDE_PX}.")
    if fit != "inside" and (width is None or height is None):
        raise SpecInvalid(f"`{fit}` needs both w and h.")
    for name, number in (("q", quality), ("blur", blur)):
        if number is not None and not 1 <= number <= 100:
            raise SpecInvalid(f"`{name}{number}` is out of range: 1 to 100.")
    return Recipe(
        width_px=width,
        height_px=height,
        fit="cover" if fit == "cover" else "pad" if fit == "pad" else "inside",
        # Nothing is cut off otherwise, so that nothing could be kept.
        gravity=gravity if fit == "cover" else "ce",
        quality=DEFAULT_QUALITY if quality is None else quality,
        background=None if values.get("background") is None else str(values["background"]),
        blur_tenths=blur,
    )


def _number(values: dict[str, int | str], name: str) -> int | None:
    value = values.get(name)
    return value if isinstance(value, int) else None


def spell(recipe: Recipe) -> str:
    """Return the one spelling of a recipe's transforms. What is at its default is left out."""
    parts = [
        f"w{recipe.width_px}" if recipe.width_px is not None else "",
        f"h{recipe.height_px}" if recipe.height_px is not None else "",
        recipe.fit if recipe.fit != "inside" else "",
        recipe.gravity if recipe.gravity != "ce" else "",
        f"q{recipe.quality}" if recipe.quality != DEFAULT_QUALITY else "",
        f"bg{recipe.background}" if recipe.background is not None else "",
        f"blur{recipe.blur_tenths}" if recipe.blur_tenths is not None else "",
    ]
    return TRANSFORM_PREFIX + "-".join(part for part in parts if part)


def output_size(recipe: Recipe, width_px: int, height_px: int) -> tuple[int, int]:
    """Return width and height in pixels of what a recipe makes of a picture as shown.

    `inside` and `cover` never enlarge: on a picture that is smaller than its box, `cover` keeps the box's ratio at
    the largest size within the picture. `pad` gives exactly the box. Without sides the picture keeps its size.
    """
    box_width, box_height = recipe.width_px, recipe.height_px
    if recipe.fit == "pad" and box_width is not None and box_height is not None:
        return box_width, box_height
    if recipe.fit == "cover" and box_width is not None and box_height is not None:
        scale = min(1.0, width_px / box_width, height_px / box_height)
        return max(1, round(box_width * scale)), max(1, round(box_height * scale))
    return _size_inside(recipe, width_px, height_px)


def scaled_size(recipe: Recipe, width_px: int, height_px: int) -> tuple[int, int]:
    """Return the size to which a picture as shown is scaled, before `cover` cuts it or `pad` adds a border."""
    if recipe.fit != "cover":
        return _size_inside(recipe, width_px, height_px)
    width, height = output_size(recipe, width_px, height_px)
    scale = max(width / width_px, height / height_px)
    return max(width, round(width_px * scale)), max(height, round(height_px * scale))


def _size_inside(recipe: Recipe, width_px: int, height_px: int) -> tuple[int, int]:
    if recipe.width_px is None and recipe.height_px is None:
        return width_px, height_px
    scale = min(
        1.0,
        (recipe.width_px or MOST_UNBOUNDED_SIDE_PX) / width_px,
        (recipe.height_px or MOST_UNBOUNDED_SIDE_PX) / height_px,
    )
    return max(1, round(width_px * scale)), max(1, round(height_px * scale))
