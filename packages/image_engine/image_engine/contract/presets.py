"""Which derivatives are made of a picture when it is processed."""

from dataclasses import dataclass

from image_core.delivery.spec import DEFAULT_QUALITY, FOCAL_GRAVITY, Recipe


@dataclass(frozen=True, slots=True)
class Preset:
    """One derivative to make, always WebP in sRGB.

    Attributes:
        name: part of the derivative's address.
        recipe: size, fit, gravity, quality, background, animation and metadata. A focal point must have been put in the
            place of `fo` (`Recipe.focused`).
        effort: WebP's, 0 to 6; 2 needs little more than half of the time of 4 for 4 % more bytes.

    Raises:
        ValueError: The gravity is `fo`.
    """

    name: str
    recipe: Recipe
    effort: int = 2

    def __post_init__(self) -> None:
        """Refuse what no worker can make."""
        if self.recipe.gravity == FOCAL_GRAVITY:
            raise ValueError("the focal point of the image is missing: use Recipe.focused")


def bounded(name: str, longest_side_px: int, *, animated: bool, quality: int = DEFAULT_QUALITY) -> Preset:
    """Return the preset of a whole picture with a longest side; a smaller picture keeps its size."""
    recipe = Recipe(width_px=longest_side_px, height_px=longest_side_px, quality=quality, animated=animated)
    return Preset(name, recipe)


DEFAULT_PRESETS: tuple[Preset, ...] = (
    bounded("thumb", 256, animated=True),
    bounded("preview", 1024, animated=True),
    bounded("large", 2048, animated=False),
)
"""What is made for a team that has no presets of its own, and what every worker can make of every picture."""
