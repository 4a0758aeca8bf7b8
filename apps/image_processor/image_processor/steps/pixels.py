"""Hand the pixels of a small picture to the steps that calculate with them."""

from typing import cast

import numpy as np
import numpy.typing as npt
import pyvips

Pixels = npt.NDArray[np.uint8]

ANALYSIS_SIDE_PX = 32


def opaque_squares(image: pyvips.Image) -> Pixels:
    """Shrink to 32 by 32 whatever the proportions, on white: shape (32, 32, 3), sRGB."""
    flat = image.flatten(background=[255, 255, 255]) if image.hasalpha() else image
    square = flat.thumbnail_image(ANALYSIS_SIDE_PX, height=ANALYSIS_SIDE_PX, size="force", no_rotate=True)
    return cast("Pixels", square.numpy())


def all_pixels(image: pyvips.Image) -> Pixels:
    """The picture itself: shape (height, width, 3 or 4), sRGB."""
    return cast("Pixels", image.numpy())
