"""The perceived sharpness of a picture."""

import numpy as np

from image_engine.picture.pixels import Floats

_BLUR_TAPS = 9
# In levels: a smooth gradient in eight bits consists of steps of one level, each perfectly sharp.
_ROUNDING = 1.5
_LEAST_SHARE = 0.002


def sharpness(luma: Floats) -> float:
    """Return 1 − perceptual blur: the share of steps between neighbours that a blur removes, 0 (blurred) to 1.

    Source: Crete et al. 2007, The blur effect: perception and estimation with a new no-reference perceptual blur
    metric; with its nine taps; the blurrier direction counts.
    """
    return min(_steps_taken_away(luma), _steps_taken_away(luma.T))


def _steps_taken_away(luma: Floats) -> float:
    """Measure along the first axis; 0 if there is nothing to remove."""
    if luma.shape[0] <= _BLUR_TAPS:
        return 0.0
    # The difference of two neighbouring means of nine is that of the two pixels that they do not share.
    half = _BLUR_TAPS // 2
    steps = np.abs(np.diff(luma, axis=0))[half : len(luma) - half - 1]
    blurred_steps = np.abs(luma[_BLUR_TAPS:] - luma[:-_BLUR_TAPS]) / _BLUR_TAPS
    counted = steps > _ROUNDING
    if counted.mean() < _LEAST_SHARE:
        return 0.0
    taken_away = np.maximum(steps - blurred_steps, 0)
    return float(taken_away.sum(where=counted, dtype=np.float64) / steps.sum(where=counted, dtype=np.float64))
