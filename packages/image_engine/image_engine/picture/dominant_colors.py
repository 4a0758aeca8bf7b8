"""The dominant colours of a picture."""

import numpy as np
import numpy.typing as npt

from image_engine.picture.pixels import Pixels

_MAX_COLORS = 5
_MAX_SAMPLES_PER_SIDE = 96
_MAX_BINS = 256
_OPAQUE_ALPHA = 128
# Colours nearer than this in 8-bit sRGB look the same at the size of a swatch.
_MERGE_DISTANCE = 48.0


def dominant_colors(pixels: Pixels) -> list[dict[str, str | float]]:
    """Return up to five colours and their share of the visible picture, the largest share first.

    Empty for a fully transparent picture. `pixels` has the shape (height, width, 3 or 4), in sRGB.
    """
    samples = _visible_samples(pixels)
    if len(samples) == 0:
        return []
    colors, counts = _histogram(samples)
    centers = _distinct(colors)
    distances = ((colors[:, np.newaxis, :] - centers[np.newaxis, :, :]) ** 2).sum(axis=2)
    nearest = distances.argmin(axis=1)
    weights = np.bincount(nearest, weights=counts, minlength=len(centers))
    sums = np.stack(
        [np.bincount(nearest, weights=counts * colors[:, band], minlength=len(centers)) for band in range(3)]
    )
    means = (sums / weights).T
    order = np.argsort(-weights, kind="stable")[:_MAX_COLORS]
    return [_swatch(means[index], float(weights[index] / counts.sum())) for index in order]


def _visible_samples(pixels: Pixels) -> Pixels:
    step_y, step_x = (max(1, side // _MAX_SAMPLES_PER_SIDE) for side in pixels.shape[:2])
    sampled = pixels[::step_y, ::step_x].reshape(-1, pixels.shape[2])
    return sampled[sampled[:, 3] >= _OPAQUE_ALPHA, :3] if pixels.shape[2] == 4 else sampled


def _histogram(samples: Pixels) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return mean colour and count of the fullest of 4,096 bins, the fullest first."""
    levels = samples.astype(np.int64) >> 4
    bins = levels[:, 0] << 8 | levels[:, 1] << 4 | levels[:, 2]
    counts = np.bincount(bins, minlength=4096)
    fullest = np.argsort(-counts, kind="stable")[:_MAX_BINS]
    fullest = fullest[counts[fullest] > 0]
    sums = [np.bincount(bins, weights=samples[:, band], minlength=4096)[fullest] for band in range(3)]
    weights = counts[fullest].astype(np.float64)
    return np.stack(sums, axis=1) / weights[:, np.newaxis], weights


def _distinct(colors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Select colours from the fullest bin down, skipping those near to an earlier one."""
    distinct = colors[:1]
    for color in colors[1:]:
        if len(distinct) > _MAX_COLORS:
            break
        if ((distinct - color) ** 2).sum(axis=1).min() > _MERGE_DISTANCE**2:
            distinct = np.vstack([distinct, color])
    return distinct


def _swatch(color: npt.NDArray[np.float64], share: float) -> dict[str, str | float]:
    red, green, blue = (int(value) for value in np.clip(np.rint(color), 0, 255))
    return {"hex": f"#{red:02x}{green:02x}{blue:02x}", "share": round(share, 4)}
