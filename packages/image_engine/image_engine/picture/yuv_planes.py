"""Convert decoded luma and chroma planes to RGB: lazily, and only as much as needed.

Decoders that convert whole pictures hold planes and pixels at the same time, for which large pictures leave no memory.
"""

import ctypes
import math
from dataclasses import dataclass, field
from typing import Any

import pyvips

from image_engine.contract.rejections import unsupported
from image_engine.picture.color_coding import ColorCoding

_IDENTITY, _UNSPECIFIED, _YCGCO = 0, 2, 8
# A cast truncates the fraction.
_HALF = 0.5
# A larger picture is reduced afterwards, which smooths its chroma as well.
_SMOOTH_PIXELS = 2048 * 2048
# The weights of red and blue in luma by matrix coefficients. Source: ITU-T H.273, table 4.
_LUMA_SHARES = {
    1: (0.2126, 0.0722),
    _UNSPECIFIED: (0.299, 0.114),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}


@dataclass(frozen=True, slots=True)
class YuvPlanes:
    """A decoded picture before its colours are converted.

    Attributes:
        planes: luma and, but for grey, the two planes of chroma, which may be smaller; one band each.
        alpha: full range, of the size of luma.
        depth: bits of a sample.
        matrix: coefficients as ITU-T H.273 numbers them.
        full_range: black is 0 and white is the largest sample.
        premultiplied: colours are multiplied by alpha.
        coding: of the colours that the planes become.
    """

    planes: tuple[pyvips.Image, ...]
    alpha: pyvips.Image | None
    depth: int
    matrix: int
    full_range: bool
    premultiplied: bool = False
    coding: ColorCoding = field(default_factory=ColorCoding)


def plane_image(address: int, owner: Any, row_bytes: int, size: tuple[int, int], depth: int) -> pyvips.Image:
    """Return a view of a decoder's memory as an image, without a copy; `owner` lives as long as the image."""
    sample_bytes, (width_px, height_px) = (1 if depth <= 8 else 2), size
    memory = (ctypes.c_ubyte * (row_bytes * height_px)).from_address(address)
    memory.owner = owner  # type: ignore[attr-defined]
    kind = "uchar" if sample_bytes == 1 else "ushort"
    image = pyvips.Image.new_from_memory(memory, row_bytes // sample_bytes, height_px, 1, kind)
    return image.crop(0, 0, width_px, height_px)


def rgb_of_planes(picture: YuvPlanes, shrink: int = 1) -> pyvips.Image:
    """Convert to RGB or grey, with alpha if there is one: 8 bits, or 16 for planes of more than 8.

    `shrink` is a whole number by which the picture is reduced in the process.

    Raises:
        PictureRejected: The matrix is unknown.
    """
    luma = picture.planes[0]
    width_px, height_px = math.ceil(luma.width / shrink), math.ceil(luma.height / shrink)
    fitted = [_fit(plane, luma, shrink, width_px, height_px) for plane in picture.planes]
    kind, white = ("uchar", 255) if picture.depth <= 8 else ("ushort", 65_535)
    scales, offsets = _to_unit(picture)
    if len(fitted) == 1:
        color = fitted[0].linear(scales[0] * white, offsets[0] * white + _HALF)
        interpretation = "b-w" if kind == "uchar" else "grey16"
    else:
        matrix = _matrix(picture.matrix)
        steps = [[entry * scale * white for entry, scale in zip(row, scales, strict=True)] for row in matrix]
        starts = [sum(a * b for a, b in zip(row, offsets, strict=True)) * white + _HALF for row in matrix]
        color = fitted[0].bandjoin(fitted[1:]).recomb(steps).linear([1, 1, 1], starts)
        interpretation = "srgb" if kind == "uchar" else "rgb16"
    color = color.cast(kind).copy(interpretation=interpretation)
    if picture.alpha is None:
        return color
    alpha = _fit(picture.alpha, luma, shrink, width_px, height_px)
    alpha = (alpha.linear(white / (2**picture.depth - 1), 0).rint() if kind == "ushort" else alpha).cast(kind)
    joined = color.bandjoin(alpha).copy(interpretation=interpretation)
    if picture.premultiplied:
        joined = joined.unpremultiply(max_alpha=white).rint().cast(kind).copy(interpretation=interpretation)
    return joined


def _fit(plane: pyvips.Image, luma: pyvips.Image, shrink: int, width_px: int, height_px: int) -> pyvips.Image:
    """Scale a plane to the size of the result."""
    across, down = round(luma.width / plane.width), round(luma.height / plane.height)
    if shrink % across == 0 and shrink % down == 0:
        factors = (shrink // across, shrink // down)
        plane = plane.shrink(*factors, ceil=True) if factors != (1, 1) else plane
    else:
        plane = plane.shrink(shrink, shrink, ceil=True) if shrink > 1 else plane
        smooth = width_px * height_px <= _SMOOTH_PIXELS
        plane = plane.resize(across, vscale=down, kernel="linear") if smooth else plane.zoom(across, down)
    if (plane.width, plane.height) == (width_px, height_px):
        return plane
    # With an odd side, chroma has a sample more or one less.
    return plane.embed(0, 0, width_px, height_px, extend="copy")


def _to_unit(picture: YuvPlanes) -> tuple[list[float], list[float]]:
    """Return scale and offset that map luma to 0 to 1 and chroma to -0.5 to 0.5."""
    top, unit = 2**picture.depth - 1, 2 ** (picture.depth - 8)
    if picture.full_range:
        luma, chroma = (1 / top, 0.0), (1 / top, -(2 ** (picture.depth - 1)) / top)
    else:
        luma, chroma = (1 / (219 * unit), -16 / 219), (1 / (224 * unit), -128 / 224)
    if picture.matrix == _IDENTITY:
        chroma = luma
    return [luma[0], chroma[0], chroma[0]], [luma[1], chroma[1], chroma[1]]


def _matrix(coefficients: int) -> list[list[float]]:
    """Return the conversion from luma and chroma to red, green and blue. Source: ITU-T H.273, equations 38 to 50."""
    if coefficients == _IDENTITY:
        return [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    if coefficients == _YCGCO:
        return [[1, -1, 1], [1, 1, 0], [1, -1, -1]]
    if coefficients not in _LUMA_SHARES:
        raise unsupported(f"matrix coefficients {coefficients}")
    red, blue = _LUMA_SHARES[coefficients]
    green = 1 - red - blue
    of_red, of_blue = 2 - 2 * red, 2 - 2 * blue
    return [[1, 0, of_red], [1, -blue * of_blue / green, -red * of_red / green], [1, of_blue, 0]]
