"""The technical quality of a picture. Definitions, units and thresholds are also in docs/analyzers.md."""

from typing import Any

import numpy as np

from image_core.analyses.catalogue import CATALOGUE
from image_core.analyses.results import QualityIssue, QualityResult
from image_engine.analyzers.filters import block_means
from image_engine.picture.analysis_picture import BLOCK_PX, AnalysisPicture
from image_engine.picture.pixels import Floats, Pixels, largest_channel, smallest_channel

# Thresholds beyond which a photographer would have retaken the picture.
BLURRED_BELOW = 0.3
UNDEREXPOSED_BELOW, OVEREXPOSED_ABOVE = 25.0, 88.0
BLOWN_OUT_ABOVE = 0.25
LOW_CONTRAST_BELOW = 0.08
NOISY_ABOVE = 8.0
BLOCKY_ABOVE = 0.5

# Below this size there are too few blocks for a reliable measure.
_LEAST_DETAIL_PX = 64
_NOISE_BLOCK_PX = 32
# Where sensors and formats clip, noise is cut off and would seem small.
_UNCLIPPED_LUMA = (8.0, 247.0)


class Quality:
    """Sharpness, exposure, contrast, noise, colourfulness, dynamic range and blockiness."""

    spec = CATALOGUE["quality"]
    version = spec.version
    needs = spec.needs

    def analyze(self, picture: AnalysisPicture, _parameters: Any) -> QualityResult:
        """Measure the picture as it is seen on white."""
        luma, detail = picture.luma, picture.detail
        measures: dict[str, Any] = {
            "sharpness": picture.sharpness,
            "exposure": min(100.0, max(0.0, float(picture.lab[:, :, 0].mean()))),
            "clipped_dark": float((largest_channel(picture.srgb) <= 3).mean()),
            "clipped_bright": float((smallest_channel(picture.srgb) >= 252).mean()),
            "contrast": min(0.5, float(luma.std()) / 255),
            "dynamic_range": dynamic_range(luma),
            "colorfulness": colorfulness(picture.srgb),
            "noise": None if detail is None else noise(detail),
            "blockiness": None if detail is None else blockiness(detail),
        }
        issues = _issues(measures)
        verdict = ("good", "fair", "poor")[min(2, len(issues))]
        return QualityResult(**measures, verdict=verdict, issues=issues)


def _issues(measures: dict[str, Any]) -> list[QualityIssue]:
    crossed: dict[QualityIssue, bool] = {
        "blurred": measures["sharpness"] < BLURRED_BELOW,
        "underexposed": measures["exposure"] < UNDEREXPOSED_BELOW,
        "overexposed": measures["exposure"] > OVEREXPOSED_ABOVE or measures["clipped_bright"] > BLOWN_OUT_ABOVE,
        "low-contrast": measures["contrast"] < LOW_CONTRAST_BELOW,
        "noisy": (measures["noise"] or 0) > NOISY_ABOVE,
        "blocky": (measures["blockiness"] or 0) > BLOCKY_ABOVE,
    }
    return [issue for issue, is_crossed in crossed.items() if is_crossed]


def dynamic_range(luma: Floats) -> float:
    """Count the stops between the 1st and the 99th percentile of luma, in linear light; at most 11.7.

    Source: IEC 61966-2-1 for the linear light of a grey of that luma.
    """
    counts = np.bincount(np.rint(luma).astype(np.uint8).ravel(), minlength=256).cumsum()
    low, high = (int(np.searchsorted(counts, share * counts[-1])) for share in (0.01, 0.99))
    # One level is the least light that eight bits can distinguish from none.
    return float(np.log2(_linear(max(high, 1)) / _linear(max(low, 1))))


def _linear(level: int) -> float:
    value = level / 255
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


def colorfulness(srgb: Pixels) -> float:
    """Return M: 0 for grey, 15 slightly, 33 moderately, 45 fairly, 59 quite, 82 highly, 109 extremely colourful.

    Source: Hasler and Süsstrunk 2003, Measuring colourfulness in natural images, M⁽³⁾ and table 2.
    """
    red, green, blue = (srgb[::2, ::2, band].astype(np.float32) for band in range(3))
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = np.hypot(red_green.std(dtype=np.float64), yellow_blue.std(dtype=np.float64))
    distance = np.hypot(red_green.mean(dtype=np.float64), yellow_blue.mean(dtype=np.float64))
    return float(spread + 0.3 * distance)


def noise(detail: Floats) -> float | None:
    """Estimate the standard deviation of the noise in luma, in levels of 8 bits; None if too few blocks are usable.

    Immerkær's estimate is computed per block of 32 by 32; the quietest quarter decides, because texture resembles
    noise.

    Source: Immerkær 1996, Fast noise variance estimation.
    """
    if min(detail.shape) < _LEAST_DETAIL_PX:
        return None
    curvature = np.diff(detail, n=2, axis=0)
    curvature = np.abs(np.diff(curvature, n=2, axis=1))
    deviations = np.sqrt(np.pi / 2) / 6 * block_means(curvature, _NOISE_BLOCK_PX)
    means = block_means(detail[1:-1, 1:-1], _NOISE_BLOCK_PX)
    unclipped = deviations[(means >= _UNCLIPPED_LUMA[0]) & (means <= _UNCLIPPED_LUMA[1])]
    return float(np.percentile(unclipped, 25)) if unclipped.size else None


def blockiness(detail: Floats) -> float | None:
    """Measure how much larger steps across the borders of 8 by 8 blocks are than those within; 0 for none.

    Half of a level is added to the steps within, so that invisible steps in a flat area count for little.

    Source: Wang, Sheikh and Bovik 2002, No-reference perceptual quality assessment of JPEG compressed images, whose B
    and A these steps are.
    """
    if min(detail.shape) < _LEAST_DETAIL_PX:
        return None
    return max(0.0, (_border_excess(detail) + _border_excess(detail.T)) / 2)


def _border_excess(detail: Floats) -> float:
    rows = np.abs(np.diff(detail, axis=0)).mean(axis=1, dtype=np.float64)
    is_border = np.arange(len(rows)) % BLOCK_PX == BLOCK_PX - 1
    within = float(rows[~is_border].mean())
    return (float(rows[is_border].mean()) - within) / (within + 0.5)
