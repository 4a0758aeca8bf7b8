"""Convert small pictures to arrays for the steps that calculate with pixels."""

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyvips

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

ANALYSIS_SIDE_PX = 32


def opaque_squares(image: pyvips.Image) -> Pixels:
    """Shrink to 32 by 32 regardless of proportions, on white: shape (32, 32, 3), sRGB."""
    flat = image.flatten(background=[255, 255, 255]) if image.hasalpha() else image
    square = flat.thumbnail_image(ANALYSIS_SIDE_PX, height=ANALYSIS_SIDE_PX, size="force", no_rotate=True)
    return cast("Pixels", square.numpy())


def all_pixels(image: pyvips.Image) -> Pixels:
    """Return the whole picture: shape (height, width, 3 or 4), sRGB."""
    return cast("Pixels", image.numpy())


def band_of(image: pyvips.Image) -> npt.NDArray[Any]:
    """Return the only band of an image, shape (height, width); pyvips returns a single pixel as a scalar."""
    return cast("npt.NDArray[Any]", image.numpy()).reshape(image.height, image.width)


def largest_channel(pixels: Pixels) -> Pixels:
    """Return the largest of three bands at each pixel, several times faster than NumPy along the last axis."""
    return np.maximum(np.maximum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])


def smallest_channel(pixels: Pixels) -> Pixels:
    """Return the smallest of three bands at each pixel."""
    return np.minimum(np.minimum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
