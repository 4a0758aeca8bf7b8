"""Scale pixels to the size and the colour space of a derivative."""

import pyvips

from image_engine.picture.icc_profile import is_srgb, profile_color_space
from image_engine.picture.stored_picture import with_profile, without_profile

_BANDS_OF_SPACE = {"GRAY": (1, 2), "RGB ": (3, 4), "CMYK": (4, 5)}


def render_srgb(image: pyvips.Image, longest_side_px: int) -> pyvips.Image:
    """Shrink the decoded picture to a longest side, never enlarging it, as `render_srgb_at` does."""
    return _render(image, longest_side_px, longest_side_px, "down")


def render_srgb_at(image: pyvips.Image, width_px: int, height_px: int) -> pyvips.Image:
    """Shrink the decoded picture to an exact size of each frame, and convert it to 8-bit sRGB with 3 or 4 bands.

    A lazily opened picture is decoded here, row by row: only the result is held in memory. Orientation is left alone,
    because a rotation would need all rows of the original at once.

    Raises:
        pyvips.Error: The picture cannot be decoded to its end.
    """
    return _render(image, width_px, height_px, "force")


def shrink(image: pyvips.Image, width_px: int, height_px: int) -> pyvips.Image:
    """Return a smaller picture, in memory, of one that `render_srgb` returned; the size is that of each frame."""
    return image.thumbnail_image(width_px, height=height_px, size="force", no_rotate=True).copy_memory()


def _render(image: pyvips.Image, width_px: int, height_px: int, size: str) -> pyvips.Image:
    image = _without_broken_profile(image)
    options = {"output_profile": "srgb", "intent": "relative"} if _needs_conversion(image) else {}
    shrunk = image.thumbnail_image(width_px, height=height_px, size=size, no_rotate=True, **options)
    if shrunk.interpretation != "srgb":
        shrunk = shrunk.colourspace("srgb")
    if shrunk.bands > 4:
        shrunk = shrunk.extract_band(0, n=3)
    if shrunk.format != "uchar":
        shrunk = shrunk.cast("uchar")
    return shrunk.copy_memory()


def _profile(image: pyvips.Image) -> bytes | None:
    if image.get_typeof("icc-profile-data") == 0:
        return None
    profile: bytes = image.get("icc-profile-data")
    return profile


def _needs_conversion(image: pyvips.Image) -> bool:
    if image.interpretation == "cmyk":
        return True
    profile = _profile(image)
    # Most profiles are sRGB itself, and a conversion costs as much as the scaling.
    return profile is not None and not is_srgb(profile)


def _without_broken_profile(image: pyvips.Image) -> pyvips.Image:
    profile = _profile(image)
    return image if profile is None or _is_usable(profile, image) else without_profile(image)


def _is_usable(profile: bytes, image: pyvips.Image) -> bool:
    if image.bands not in _BANDS_OF_SPACE.get(profile_color_space(profile) or "", ()):
        return False
    if is_srgb(profile):
        return True
    # Only the library that reads a profile can tell whether it is valid beyond its header.
    pixel = pyvips.Image.black(1, 1, bands=image.bands).copy(interpretation=image.interpretation)
    try:
        with_profile(pixel, profile).icc_import(embedded=True).avg()
    except pyvips.Error:
        return False
    return True
