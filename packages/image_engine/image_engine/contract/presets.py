"""Which derivatives are made of every picture. They are data: a new one is a new row here."""

from dataclasses import dataclass

from image_core.delivery.spec import Recipe


@dataclass(frozen=True, slots=True)
class Preset:
    """One kind of derivative, always WebP in sRGB without metadata.

    Attributes:
        name: part of the derivative's address.
        longest_side_px: a picture that is smaller keeps its size.
        animated: of an animation all frames are kept; otherwise the first one is.
        quality: WebP's, 0 to 100.
        effort: WebP's, 0 to 6; 2 needs little more than half of the time of 4 for 4 % more bytes.
    """

    name: str
    longest_side_px: int
    animated: bool
    quality: int = 80
    effort: int = 2

    @property
    def recipe(self) -> Recipe:
        """The preset as addresses spell it."""
        side = self.longest_side_px
        return Recipe(width_px=side, height_px=side, quality=self.quality, animated=self.animated)


DEFAULT_PRESETS: tuple[Preset, ...] = (
    Preset("thumb", 256, animated=True),
    Preset("preview", 1024, animated=True),
    Preset("large", 2048, animated=False),
)
