"""A vector for comparing pictures by their colours, the places of the colours, and the directions of edges."""

from functools import cache

import numpy as np
import numpy.typing as npt

from image_core.images.similarity import DESCRIPTOR_DIMENSIONS
from image_engine.picture.oklab import to_oklab
from image_engine.picture.pixels import ANALYSIS_SIDE_PX, Pixels

_Floats = npt.NDArray[np.float64]

_GRID, _CELLS = 4, 2
_HUES, _GREYS, _DIRECTIONS = 16, 8, 6
# The weight of each part, and the strength from which it counts fully: in a flat picture the rest is noise.
_LAYOUT_WEIGHT, _COLORS_WEIGHT, _EDGES_WEIGHT = 1.0, 0.7, 0.6
_LAYOUT_FLOOR, _EDGES_FLOOR = 0.15, 0.25
# OKLab's a and b reach a third of the range of its lightness.
_CHROMA_SCALE = 2.5
_MIDDLE_LIGHTNESS = 0.6
# The chroma at which a pixel counts equally as a hue and as a grey.
_HALF_CHROMA = 0.05


def visual_descriptor(square: Pixels) -> list[float]:
    """Describe a picture of shape (32, 32, 3), sRGB, by 96 numbers whose squares add up to one.

    Vectors are compared by cosine. 48 of the numbers are the mean colours of a 4 × 4 grid, 24 the shares of hues and
    greys, and 24 the directions of edges in each quarter. A change to any constant here is a new model and needs a new
    name.
    """
    lab = to_oklab(square.reshape(-1, 3).astype(np.float64)).reshape(ANALYSIS_SIDE_PX, ANALYSIS_SIDE_PX, 3)
    parts = (
        _LAYOUT_WEIGHT * _normalized(_layout(lab), _LAYOUT_FLOOR),
        _COLORS_WEIGHT * _normalized(_colors(lab.reshape(-1, 3)), 0.0),
        _EDGES_WEIGHT * _normalized(_edges(lab[..., 0]), _EDGES_FLOOR),
    )
    whole = np.concatenate(parts)
    # Rounded, so that the last digits of a machine's arithmetic do not matter.
    return [round(float(value), 5) for value in whole / np.linalg.norm(whole)]


def _normalized(part: _Floats, floor: float) -> _Floats:
    """Return the part at length one, or shorter if it is weak."""
    return part / max(float(np.linalg.norm(part)), floor)


def _layout(lab: _Floats) -> _Floats:
    """Return the mean colour of each cell, relative to the middle of the colour space."""
    side = ANALYSIS_SIDE_PX // _GRID
    means = lab.reshape(_GRID, side, _GRID, side, 3).mean(axis=(1, 3))
    return np.asarray((means - (_MIDDLE_LIGHTNESS, 0, 0)) * (1, _CHROMA_SCALE, _CHROMA_SCALE)).ravel()


def _colors(lab: _Floats) -> _Floats:
    """Return square roots of the shares of 16 hues and 8 greys; each pixel is divided between neighbouring bins."""
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    colored = chroma / (chroma + _HALF_CHROMA)
    hue = np.arctan2(lab[:, 2], lab[:, 1]) / (2 * np.pi) * _HUES
    grey = np.clip(lab[:, 0], 0, 1) * (_GREYS - 1)
    hues = _soft_histogram(hue, colored, _HUES)
    # The bin after the last one only gets zero weight.
    greys = _soft_histogram(grey, 1 - colored, _GREYS)
    return np.sqrt(np.concatenate([hues, greys]) / len(lab))


def _edges(lightness: _Floats) -> _Floats:
    """Return square roots of the strength of edges by direction, for each quarter of the picture."""
    down, right = np.gradient(lightness)
    direction = np.arctan2(down, right) / np.pi * _DIRECTIONS
    strength = np.hypot(down, right)
    side = ANALYSIS_SIDE_PX // _CELLS
    quarters = [
        _soft_histogram(direction[rows, columns].ravel(), strength[rows, columns].ravel(), _DIRECTIONS)
        for rows in _slices(side)
        for columns in _slices(side)
    ]
    return np.sqrt(np.concatenate(quarters) / side**2)


@cache
def _slices(side: int) -> tuple[slice, ...]:
    return tuple(slice(start, start + side) for start in range(0, ANALYSIS_SIDE_PX, side))


def _soft_histogram(position: _Floats, weight: _Floats, bins: int) -> _Floats:
    """Sum weights by bin, circularly; a position between two bins counts for both."""
    below = np.floor(position)
    share = position - below
    first = below.astype(np.int64) % bins
    lower = np.bincount(first, weights=weight * (1 - share), minlength=bins)
    upper = np.bincount((first + 1) % bins, weights=weight * share, minlength=bins)
    return np.asarray(lower + upper, dtype=np.float64)


assert 3 * _GRID**2 + _HUES + _GREYS + _DIRECTIONS * _CELLS**2 == DESCRIPTOR_DIMENSIONS  # noqa: S101
