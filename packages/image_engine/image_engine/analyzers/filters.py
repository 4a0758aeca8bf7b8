"""Small calculations on planes of pixels that several analyzers share."""

from typing import cast

import numpy as np
import pyvips

from image_engine.picture.pixels import Floats, band_of


def box_mean(plane: Floats, side_px: int) -> Floats:
    """Return the mean over squares of an odd side around each pixel; the border is extended by its last pixel."""
    image = pyvips.Image.new_from_array(plane)
    kernel = pyvips.Image.new_from_array([[1.0] * side_px], scale=side_px)
    return cast("Floats", band_of(image.convsep(kernel, precision="float")))


def block_means(plane: Floats, side_px: int) -> Floats:
    """Return the mean of each whole square block of a plane that has at least one block."""
    rows, columns = plane.shape[0] // side_px, plane.shape[1] // side_px
    whole = np.ascontiguousarray(plane[: rows * side_px, : columns * side_px])
    # Rows first: NumPy adds those several times faster than along both axes at once.
    strips = whole.reshape(rows, side_px, columns * side_px).sum(axis=1)
    means: Floats = strips.reshape(rows, columns, side_px).sum(axis=2) / np.float32(side_px**2)
    return means


def ramp(value: float, nothing_at: float, full_at: float) -> float:
    """Return 0 up to `nothing_at`, 1 from `full_at` on, and linear in between; either may be the larger."""
    return min(1.0, max(0.0, (value - nothing_at) / (full_at - nothing_at)))
