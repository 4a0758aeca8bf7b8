"""A picture's file before any of its pixels are decoded."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pyvips

from image_core.images.picture_header import PictureFormat
from image_engine.picture.color_coding import ColorCoding
from image_engine.picture.orient import swaps_sides


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """A picture that is open but not decoded.

    Attributes:
        width_px: of one frame as stored, before its orientation is applied.
        height_px: as `width_px`.
        frames: one for everything but animations.
        delays_ms: time for which each frame is shown; empty for a still picture.
        loop_count: 0 for endless; None for a still picture.
        bit_depth: per sample.
        bytes_per_pixel: of the decoded pixels, all bands together.
        orientation: EXIF's 1 to 8, still to be applied.
        icc_profile: the profile's bytes.
        exif_block: from its `Exif` mark or its TIFF header on; None also for TIFF, whose whole file is one.
        open_pixels: gives the first frame; what it costs to decode falls due there or when the pixels are used. They
            come at a reduced size where the format can do that while decoding; the longest side is no smaller than
            the number of pixels that is given.
        xmp_block: the packet; None also for GIF, PNG and TIFF, where the whole file is searched.
        iptc_block: records, or Photoshop's resources around them.
    """

    format: PictureFormat
    width_px: int
    height_px: int
    frames: int
    delays_ms: tuple[int, ...]
    loop_count: int | None
    bit_depth: int
    has_alpha: bool
    color_space: str
    bytes_per_pixel: int
    orientation: int
    icc_profile: bytes | None = field(repr=False)
    exif_block: bytes | None = field(repr=False)
    open_pixels: Callable[[int], pyvips.Image] = field(repr=False)
    xmp_block: bytes | None = field(default=None, repr=False)
    iptc_block: bytes | None = field(default=None, repr=False)

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height in pixels of one frame once its orientation is applied."""
        size = self.width_px, self.height_px
        return size[::-1] if swaps_sides(self.orientation) else size


def shrink_factor(width_px: int, height_px: int, longest_side_px: int) -> int:
    """Return the whole number by which to decode smaller, so that no side becomes smaller than needed."""
    return max(1, max(width_px, height_px) // longest_side_px)


def with_profile(image: pyvips.Image, profile: bytes) -> pyvips.Image:
    """Attach an ICC profile."""
    profiled = image.copy()
    profiled.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return profiled


def with_coding(image: pyvips.Image, coding: ColorCoding | None) -> pyvips.Image:
    """Replace any profile by the file's numeric colour coding."""
    if coding is None:
        return image
    profile = coding.profile(gray=image.bands < 3)
    return without_profile(image) if profile is None else with_profile(image, profile)


def without_profile(image: pyvips.Image) -> pyvips.Image:
    """Remove an ICC profile."""
    if image.get_typeof("icc-profile-data") == 0:
        return image
    bare = image.copy()
    bare.remove("icc-profile-data")
    return bare
