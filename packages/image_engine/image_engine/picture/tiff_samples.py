"""Convert the samples of a TIFF page to unsigned ones of 8 or 16 bits: colour first, then alpha, nothing else.

libvips passes some kinds of samples on as they are stored, with a colour space that does not fit them.
"""

import math
from collections.abc import Callable

import pyvips

from image_core.images import tiff_directory as tags
from image_core.images.tiff_directory import TiffPage, Values
from image_core.images.tiff_support import color_samples

_WHITE_IS_ZERO, _PALETTE, _YCBCR, _LAB, _ICC_LAB = 0, 3, 6, 8, 9
_CONVERTED = {_YCBCR, _LAB, _ICC_LAB}
_JPEG = 7
_ASSOCIATED_ALPHA, _UNASSOCIATED_ALPHA = 1, 2
_PLAIN_FORMATS = {"uchar", "ushort"}
# Source: TIFF 6.0, section 21; the defaults are those of ITU-R BT.601 and of full-range luma.
_REC601 = (0.299, 0.587, 0.114)
_FULL_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
_WHITES = {
    "char": (127.0,),
    "short": (255.0, 2.0**15 - 1),
    "int": (255.0, 2.0**16 - 1, 2.0**31 - 1),
    "uint": (255.0, 2.0**16 - 1, 2.0**32 - 1),
    "float": (1.0, 255.0, 2.0**16 - 1),
}
# A picture whose brightest sample is further below white than this has another range.
_DARKEST_WHITE = 1 / 16
# Samples beyond this are markers of absent values.
_MAX_PLAUSIBLE = 1e30


def alpha_index(page: TiffPage) -> int | None:
    """Return the index of a pixel's alpha sample; None if no extra sample is declared as alpha.

    Source: TIFF 6.0, ExtraSamples.
    """
    for index, meaning in enumerate(page.tags.get(tags.EXTRA_SAMPLES, ())):
        if meaning in {_ASSOCIATED_ALPHA, _UNASSOCIATED_ALPHA}:
            return index
    return None


def plain_samples(image: pyvips.Image, page: TiffPage, reopen: Callable[[], pyvips.Image]) -> pyvips.Image:
    """Return the page's pixels as unsigned colour, with alpha if there is one; Lab stays Lab.

    `image` is read lazily, once. Samples whose range is not their type's are scanned first, which reads the page
    returned by `reopen` to its end.

    Raises:
        pyvips.Error: The page cannot be decoded.
    """
    photometric = page.number(tags.PHOTOMETRIC, 1)
    if image.format not in _PLAIN_FORMATS and photometric not in {_LAB, _ICC_LAB}:
        image = _scaled(image, page, reopen)
        if photometric == _WHITE_IS_ZERO and page.number(tags.SAMPLE_FORMAT, 1) != 1:
            # libvips inverts unsigned samples only.
            image = image.linear([-1] + [1] * (image.bands - 1), [65_535] + [0] * (image.bands - 1)).cast("ushort")
    if photometric not in _CONVERTED and alpha_index(page) == 0 and image.bands == _color_bands(page) + 1:
        # Splitting and joining the bands costs a third of the decoding time.
        return image.copy(interpretation=_interpretation(_color_bands(page), image))
    alpha = _alpha(image, page)
    color = _color(image, page)
    if alpha is None:
        return color
    # Premultiplied colours have been divided by their alpha already.
    return color.bandjoin(alpha).copy(interpretation=color.interpretation)


# --- Colour and alpha ---------------------------------------------------------------------------------------------


def _color(image: pyvips.Image, page: TiffPage) -> pyvips.Image:
    photometric, count = page.number(tags.PHOTOMETRIC, 1), _color_bands(page)
    color = image if image.bands == count else image.extract_band(0, n=count)
    if photometric == _YCBCR and page.number(tags.COMPRESSION, 1) != _JPEG and image.bands == count:
        # If chroma is subsampled, libtiff has converted it already, which a fourth band shows.
        return _rgb_of_ycbcr(color, page)
    if photometric == _ICC_LAB:
        return _lab_of_icc_lab(color)
    if photometric == _LAB:
        return color
    return color.copy(interpretation=_interpretation(count, color))


def _color_bands(page: TiffPage) -> int:
    """Count the colour bands that libvips returns: it resolves a palette."""
    return 3 if page.number(tags.PHOTOMETRIC, 1) == _PALETTE else color_samples(page)


def _interpretation(color_bands: int, image: pyvips.Image) -> str:
    interpretations = {1: ("b-w", "grey16"), 3: ("srgb", "rgb16"), 4: ("cmyk", "cmyk")}
    return interpretations[color_bands][image.format != "uchar"]


def _alpha(image: pyvips.Image, page: TiffPage) -> pyvips.Image | None:
    index = alpha_index(page)
    first_extra = _color_bands(page)
    if index is None or first_extra + index >= image.bands:
        return None
    return image.extract_band(first_extra + index)


def _rgb_of_ycbcr(image: pyvips.Image, page: TiffPage) -> pyvips.Image:
    """Source: TIFF 6.0, section 21."""
    red, green, blue = _values(page, tags.YCBCR_COEFFICIENTS, _REC601)
    black_white = _values(page, tags.REFERENCE_BLACK_WHITE, _FULL_RANGE)
    blacks, whites = black_white[::2], black_white[1::2]
    scales = [
        full / (white - black) if white > black else 1.0
        for full, black, white in zip((255, 127, 127), blacks, whites, strict=True)
    ]
    plain = image.linear(scales, [-black * scale for black, scale in zip(blacks, scales, strict=True)])
    of_red, of_blue = 2 - 2 * red, 2 - 2 * blue
    matrix = [
        [1, 0, of_red],
        [1, -blue * of_blue / green, -red * of_red / green],
        [1, of_blue, 0],
    ]
    return plain.recomb(matrix).rint().cast("uchar").copy(interpretation="srgb")


def _lab_of_icc_lab(image: pyvips.Image) -> pyvips.Image:
    """Source: TIFF Technical Note "Adobe PageMaker 6.0", ICCLab: a and b with an offset instead of a sign."""
    unit = 1 if image.format == "uchar" else 256
    top = 255 if unit == 1 else 65_280
    lab = image.linear([100 / top, 1 / unit, 1 / unit], [0, -128, -128])
    return lab.cast("float").copy(interpretation="lab")


def _values(page: TiffPage, tag: int, default: Values) -> Values:
    values = page.tags.get(tag, ())
    return values if len(values) == len(default) and all(map(math.isfinite, values)) else default


# --- The range of samples -----------------------------------------------------------------------------------------


def _scaled(image: pyvips.Image, page: TiffPage, reopen: Callable[[], pyvips.Image]) -> pyvips.Image:
    """Convert signed, 32-bit and floating-point samples to 16 unsigned bits."""
    low, high = _range(reopen(), color_samples(page))
    factor = 65_535 / (high - low)
    scaled = image.linear(factor, -low * factor)
    if image.bands > color_samples(page):
        # Alpha spans the full range of its type, whatever the range of the colours.
        top = {"char": 127, "short": 32_767, "int": 2**31 - 1, "uint": 2**32 - 1}.get(image.format, 1)
        extra = image.extract_band(color_samples(page), n=image.bands - color_samples(page)).linear(65_535 / top, 0)
        scaled = scaled.extract_band(0, n=color_samples(page)).bandjoin(extra)
    return scaled.rint().cast("ushort")


def _range(image: pyvips.Image, color_count: int) -> tuple[float, float]:
    """Choose black and white for samples that may have any range.

    Samples that use their type's range keep it, and so do those widened from 8 or 16 bits, or from 0 to 1; the rest
    (heights, temperatures, light beyond white) ranges from its smallest to its largest value.
    """
    colors = image.extract_band(0, n=color_count) if image.bands > color_count else image
    if image.format == "float":
        # NaN is unequal to itself; it becomes black, like markers of absent values.
        colors = ((colors == colors) & (colors.abs() < _MAX_PLAUSIBLE)).ifthenelse(colors, 0)  # noqa: PLR0124
    measured = colors.stats()
    low, high = measured(0, 0)[0], measured(1, 0)[0]
    whites = _WHITES[image.format]
    if low < 0:
        lowest = -whites[-1] - 1
        uses_its_type = image.format != "float" and high - low >= (whites[-1] - lowest) / 8
        return (lowest, whites[-1]) if uses_its_type else (low, high)
    for white in whites:
        if high <= white and (white == whites[0] or high >= white * _DARKEST_WHITE):
            return 0.0, white
    return (low, high) if high > low else (low, low + 1)
