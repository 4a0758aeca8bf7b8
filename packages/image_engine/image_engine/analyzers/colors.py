"""The colours of a picture."""

from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from image_core.analyses.catalogue import CATALOGUE
from image_core.analyses.results import ColorsParameters, ColorsResult, PaletteColor
from image_engine.analyzers.css_colors import CSS_COLORS
from image_engine.picture.analysis_picture import AnalysisPicture
from image_engine.picture.oklab import Colors as _Colors
from image_engine.picture.oklab import from_oklab, to_oklab
from image_engine.picture.pixels import Pixels

# In units of OKLab's L: nearer colours are one swatch. People can tell colours side by side from 0.02 on, half of this.
SAME_COLOR_DISTANCE = 0.08
# Differences in a and b count twice as much as in L. Source: CSS Color Module Level 4, the note on deltaEOK2.
_CHROMA_WEIGHT = 2.0
# A smaller share is an edge between two colours, not a colour of the picture.
LEAST_SHARE = 0.005
# In C*ab: below this chroma a surface looks uncoloured. Two percent may exceed it, for the noise of a grey photograph.
GREY_CHROMA, GREY_SHARE = 6.0, 0.98
TEMPERATURE_ABOVE = 0.2

_SMALL_PX = 256
_BITS = 5
_ROUNDS = 10
_WARM_HUE_DEGREES = 50.0


class Colors:
    """Palette with names and shares, transparency, grey or colour, warm or cool."""

    spec = CATALOGUE["colors"]
    version = spec.version
    needs = spec.needs

    def analyze(self, picture: AnalysisPicture, parameters: ColorsParameters) -> ColorsResult:
        """Measure what is visible; of a large picture, every third pixel of every third row."""
        step = 3 if min(picture.srgb.shape[:2]) > _SMALL_PX else 1
        visible = picture.visible[::step, ::step]
        lab = picture.lab[::step, ::step][visible]
        chroma = np.hypot(lab[:, 1], lab[:, 2])
        warmth = _warmth(lab[:, 1], lab[:, 2], chroma)
        grey = not chroma.size or bool((chroma < GREY_CHROMA).mean() >= GREY_SHARE)
        return ColorsResult(
            palette=palette(picture.srgb[::step, ::step][visible], parameters.colors),
            transparency=0.0 if picture.alpha is None else 1 - float(picture.alpha.mean()) / 255,
            grey=grey,
            mean_chroma=float(chroma.mean(dtype=np.float64)) if chroma.size else 0.0,
            warmth=warmth,
            temperature="neutral" if grey else _temperature(warmth),
        )


def _warmth(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], chroma: npt.NDArray[np.float32]) -> float:
    """Return the balance of the hues from warm (1) to cool (−1), weighted by chroma; 0 without any colour.

    Source: Ou et al. 2004, A study of colour emotion and colour preference, part I: warm–cool correlates with C* ·
    cos(h − 50°).
    """
    total = float(chroma.sum(dtype=np.float64))
    if total == 0:
        return 0.0
    angle = np.radians(_WARM_HUE_DEGREES)
    along = float(a.sum(dtype=np.float64)) * np.cos(angle) + float(b.sum(dtype=np.float64)) * np.sin(angle)
    return min(1.0, max(-1.0, float(along) / total))


def _temperature(warmth: float) -> Literal["warm", "cool", "neutral"]:
    if abs(warmth) <= TEMPERATURE_ABOVE:
        return "neutral"
    return "warm" if warmth > 0 else "cool"


def palette(pixels: Pixels, limit: int) -> list[PaletteColor]:
    """Group pixels of shape (count, 3) into at most `limit` colours, the largest share first. Deterministic.

    Weighted k-means in OKLab over the bins of a histogram, starting at the fullest bin and then at bins that are both
    frequent and far from the centres so far.
    """
    if not len(pixels):
        return []
    colors, weights = _histogram(pixels)
    points = to_oklab(colors)
    centers = _initial_centers(points, weights, limit)
    for _ in range(_ROUNDS):
        nearest = _nearest(points, centers)
        totals = np.bincount(nearest, weights=weights, minlength=len(centers))
        sums = [np.bincount(nearest, weights=weights * points[:, axis], minlength=len(centers)) for axis in range(3)]
        # A centre that is nearest to nothing any more is dropped.
        is_filled = totals > 0
        centers = (np.stack(sums, axis=1)[is_filled].T / totals[is_filled]).T
    totals = np.bincount(_nearest(points, centers), weights=weights, minlength=len(centers)) / weights.sum()
    order = [index for index in np.argsort(-totals, kind="stable") if totals[index] >= LEAST_SHARE]
    return [_swatch(centers[index], float(totals[index])) for index in order]


def _histogram(pixels: Pixels) -> tuple[_Colors, _Colors]:
    """Return mean colour and count of each non-empty bin."""
    levels = (pixels >> (8 - _BITS)).astype(np.int32)
    bins = levels[:, 0] << 2 * _BITS | levels[:, 1] << _BITS | levels[:, 2]
    counts = np.bincount(bins, minlength=8**_BITS)
    filled = np.flatnonzero(counts)
    sums = [np.bincount(bins, weights=pixels[:, band], minlength=8**_BITS)[filled] for band in range(3)]
    weights = counts[filled].astype(np.float64)
    return np.stack(sums, axis=1) / weights[:, np.newaxis], weights


def _initial_centers(points: _Colors, weights: _Colors, limit: int) -> _Colors:
    chosen = [int(weights.argmax())]
    distances = _squared_distances(points, points[chosen[0]])
    while len(chosen) < limit:
        pull = np.where(distances > SAME_COLOR_DISTANCE**2, distances * weights, 0)
        if pull.max() == 0:
            break
        chosen.append(int(pull.argmax()))
        distances = np.minimum(distances, _squared_distances(points, points[chosen[-1]]))
    return points[chosen]


def _squared_distances(points: _Colors, center: _Colors) -> _Colors:
    apart = points - center
    return np.asarray(apart[:, 0] ** 2 + _CHROMA_WEIGHT**2 * (apart[:, 1] ** 2 + apart[:, 2] ** 2), dtype=np.float64)


def _nearest(points: _Colors, centers: _Colors) -> npt.NDArray[np.intp]:
    nearest: npt.NDArray[np.intp] = np.stack([_squared_distances(points, center) for center in centers]).argmin(axis=0)
    return nearest


def _swatch(center: _Colors, share: float) -> PaletteColor:
    red, green, blue = (int(value) for value in np.clip(np.rint(from_oklab(center)), 0, 255))
    return PaletteColor(hex=f"#{red:02x}{green:02x}{blue:02x}", name=nearest_name(center), share=min(1.0, share))


def nearest_name(center: _Colors) -> str:
    """Return the CSS name of the nearest colour in OKLab."""
    names, points = _named_points()
    return names[int(_squared_distances(points, center).argmin())]


@cache
def _named_points() -> tuple[list[str], _Colors]:
    values = list(CSS_COLORS.values())
    channels = np.array([[value >> 16, value >> 8 & 255, value & 255] for value in values], dtype=np.float64)
    return list(CSS_COLORS), to_oklab(channels)
