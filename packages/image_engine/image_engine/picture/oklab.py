"""Conversion between sRGB and OKLab, where distances approximate perceived differences."""

import numpy as np
import numpy.typing as npt

Colors = npt.NDArray[np.float64]

_TO_CONES = np.array([
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
])  # fmt: skip
_TO_OKLAB = np.array([
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
])  # fmt: skip


def to_oklab(srgb: Colors) -> Colors:
    """Convert sRGB of 0 to 255, shape (count, 3).

    Source: Ottosson 2020, A perceptual color space for image processing.
    """
    value = srgb / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ _TO_CONES.T) @ _TO_OKLAB.T, dtype=np.float64)


def from_oklab(color: Colors) -> Colors:
    """Invert `to_oklab` for one colour, without rounding or clipping."""
    linear = np.linalg.solve(_TO_CONES, np.linalg.solve(_TO_OKLAB, color) ** 3)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)
    return np.asarray(encoded * 255, dtype=np.float64)
