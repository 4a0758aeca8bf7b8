"""The appearance of the skin in a picture: measured colours and surfaces, without inference about the person.

Every rule compares a pixel with the skin around it or with its own brightness, so that light and dark skin are treated
alike. Definitions, thresholds and figures: docs/analyzers.md.
"""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pyvips

from image_core.analyses.catalogue import CATALOGUE
from image_core.analyses.results import SkinIssue, SkinReason, SkinResult, SkinTone, SkinType
from image_engine.analyzers.filters import block_means, box_mean, ramp
from image_engine.picture.analysis_picture import AnalysisPicture
from image_engine.picture.pixels import Floats, Mask, Pixels, band_of, largest_channel

# Bounds of R/Y and B/Y, as (minimum, maximum): Cr of 133 to 173 and Cb of 77 to 127 at a luma of 140. Applied at each
# pixel's own luma, the same bounds would lose dark skin, whose chrominance is small because its luma is. Source: Chai
# and Ngan 1999, Face segmentation using skin-color map in videophone applications, for Cb and Cr; ITU-R BT.601 for
# their definition.
RED_TO_LUMA = (1 + 5 / (0.713 * 140), 1 + 45 / (0.713 * 140))
BLUE_TO_LUMA = (1 - 51 / (0.564 * 140), 1 - 1 / (0.564 * 140))
# Below this luma, one level changes the ratios by a tenth.
DARKEST_LUMA = 10.0

# A reflection adds the lamp's light to that of the skin: L* rises by more than relief causes, and chroma falls. The
# lightest skin leaves less than 12 for such a rise.
SHINE_LIGHTER, SHINE_LIGHTEST, SHINE_CHROMA = 12.0, 93.0, 0.75
# In a*, above the noise and the relief of a matt face.
REDDER = 5.0

# Boundaries between labels. They are our own: no standard defines any for pictures.
OILY_ABOVE, COMBINATION_ABOVE, DRY_SHINE_BELOW, ROUGH_ABOVE = 0.1, 0.04, 0.01, 1.6
RED_ABOVE, RED_SHARE_ABOVE = 24.0, 0.12
UNEVEN_BELOW = 0.3
LEAST_CONFIDENCE = 0.4
# Wood, sand and leather have the colour of skin, too, so colour alone is never certain.
MOST_CONFIDENCE = 0.9

# Bounds of a cell's b*/a*: hue angles of 20° to 77°, between pink and the olive of leaves and stone.
LEAST_HUE, MOST_HUE = 0.36, 4.3
# Bounds of C* and of C*/L*: grey hair, cloth and walls are below, the fairest skin is slightly above.
LEAST_CHROMA, LEAST_SATURATION = 5.0, 0.13
# Bound of a cell's mean fine step of L*.
ROUGHEST = 3.0

CELL_PX = 4
_EVEN_DELTA_E = 12.0
_TONES: tuple[tuple[float, SkinTone], ...] = (
    (55, "very-light"), (41, "light"), (28, "intermediate"), (10, "tan"), (-30, "brown"),
)  # fmt: skip


class Cells(NamedTuple):
    """Means over squares of 4 by 4 pixels, each of shape (rows, columns).

    Attributes:
        colored: share of pixels with the colour of skin.
        lightness: L*; a and b are also CIELAB's.
        rough: mean of the fine steps of L*.
        brightest: mean of the largest channel, 0 to 255.
    """

    colored: Floats
    lightness: Floats
    a: Floats
    b: Floats
    rough: Floats
    brightest: Floats


@dataclass(frozen=True, slots=True)
class _Surface:
    """The measures of the skin; the names are those of `SkinResult`."""

    ita_degrees: float
    redness: float
    redness_share: float
    shine: float
    texture: float
    evenness: float


class Skin:
    """Tone, redness, shine, texture and evenness of areas with the colour of skin."""

    spec = CATALOGUE["skin"]
    version = spec.version
    needs = spec.needs

    def analyze(self, picture: AnalysisPicture, _parameters: Any) -> SkinResult:
        """Find the skin, measure it, and rate the confidence."""
        cells = cells_of(picture)
        everywhere = skin_cells(cells)
        skin = largest_region(everywhere)
        surface = _measure(cells, skin) if skin.any() else None
        unity = ramp(skin.sum() / max(everywhere.sum(), 1), 0.25, 0.65)
        confidence, reasons = _confidence(picture, cells, skin, surface, unity)
        if surface is None or confidence < LEAST_CONFIDENCE:
            return SkinResult(verdict="cannot-tell", confidence=confidence, reasons=reasons, skin_share=_share(skin))
        return SkinResult(
            verdict="measured",
            skin_type=_skin_type(surface),
            issues=_issues(surface),
            confidence=confidence,
            reasons=reasons,
            skin_share=_share(skin),
            tone=tone_of(surface.ita_degrees),
            **asdict(surface),
        )


# --- Where the skin is --------------------------------------------------------------------------------------------


def skin_colored(srgb: Pixels, luma: Floats) -> Mask:
    """Find the pixels with the colour of skin, by the ratios of red and of blue to luma."""
    red, blue = srgb[:, :, 0], srgb[:, :, 2]
    is_skin = (red >= luma * RED_TO_LUMA[0]) & (red <= luma * RED_TO_LUMA[1])
    is_skin &= (blue >= luma * BLUE_TO_LUMA[0]) & (blue <= luma * BLUE_TO_LUMA[1])
    return np.asarray(is_skin & (luma >= DARKEST_LUMA), dtype=np.bool_)


def cells_of(picture: AnalysisPicture) -> Cells:
    """Summarize the picture in cells of 4 by 4 pixels; a smaller picture has no cells."""
    colored = skin_colored(picture.srgb, picture.luma) & picture.visible
    lightness, a, b = (block_means(picture.lab[:, :, axis], CELL_PX) for axis in range(3))
    rough = block_means(_fine_steps(picture.lab[:, :, 0]), CELL_PX)
    brightest = block_means(largest_channel(picture.srgb).astype(np.float32), CELL_PX)
    return Cells(block_means(colored.astype(np.float32), CELL_PX), lightness, a, b, rough, brightest)


def _fine_steps(lightness: Floats) -> Floats:
    """Measure each pixel's L* against the mean of the four pixels two away; 0 within two pixels of the border."""
    steps = np.zeros_like(lightness)
    if min(lightness.shape) > 4:
        around = lightness[:-4, 2:-2] + lightness[4:, 2:-2] + lightness[2:-2, :-4] + lightness[2:-2, 4:]
        steps[2:-2, 2:-2] = np.abs(lightness[2:-2, 2:-2] - around / 4)
    return steps


def skin_cells(cells: Cells) -> Mask:
    """Find the cells that are skin: with its colour, smooth, and with neighbours that are.

    Source: Forsyth and Fleck 1996, Finding naked people, for smoothness as a property of skin besides its colour.
    """
    is_skin = (cells.colored > 0.5) & (cells.rough < ROUGHEST)
    is_skin &= np.hypot(cells.a, cells.b) >= np.maximum(LEAST_CHROMA, LEAST_SATURATION * cells.lightness)
    is_skin &= (cells.a > 0) & (cells.b >= LEAST_HUE * cells.a) & (cells.b <= MOST_HUE * cells.a)
    if not is_skin.any():
        return is_skin
    return is_skin & (box_mean(is_skin.astype(np.float32), 5) > 0.5)


def largest_region(cells: Mask) -> Mask:
    """Find the largest patch of connected cells: the nearest face, without wood and cloth that look like skin."""
    region = band_of(pyvips.Image.new_from_array(cells.astype(np.uint8)).labelregions()) if cells.any() else cells
    sizes = np.bincount(region[cells], minlength=1)
    is_largest: Mask = cells & (region == int(sizes.argmax()))
    return is_largest


def _share(mask: Mask) -> float:
    return float(mask.mean()) if mask.size else 0.0


# --- How it looks -------------------------------------------------------------------------------------------------


def _measure(cells: Cells, skin: Mask) -> _Surface:
    lightness, a, b = (float(np.median(plane[skin])) for plane in (cells.lightness, cells.a, cells.b))
    shiny = cells.lightness >= min(lightness + SHINE_LIGHTER, SHINE_LIGHTEST)
    shiny &= np.hypot(cells.a, cells.b) <= SHINE_CHROMA * np.hypot(a, b)
    # Cells on the edge of a highlight are neither: what is within two cells of skin counts.
    shiny &= skin | _surrounded(shiny, box_mean(skin.astype(np.float32), 5) > 0)
    matt = skin & ~shiny
    matt = matt if matt.any() else skin
    return _Surface(
        ita_degrees=ita_degrees(lightness, b),
        redness=a,
        redness_share=_share(cells.a[skin] >= a + REDDER),
        shine=float(shiny.sum() / (shiny | skin).sum()),
        # For normally distributed values the mean distance is √(2/π) of the deviation; the four pixels' mean adds a
        # quarter.
        texture=float(np.median(cells.rough[matt])) * float(np.sqrt(np.pi / 2 / 1.25)),
        evenness=_evenness(cells.lightness, cells.a - a, cells.b - b, matt),
    )


def _surrounded(patches: Mask, skin: Mask) -> Mask:
    """Find connected patches that are bordered mostly by skin; the picture's own border does not count.

    A highlight lacks the colour of skin, and so does a white wall: only the surroundings tell them apart.
    """
    region = band_of(pyvips.Image.new_from_array(patches.astype(np.uint8)).labelregions())
    regions_around, skin_around = np.pad(region, 1, constant_values=-1), np.pad(skin, 1)
    border, on_skin = np.zeros((2, int(region.max()) + 1))
    for down, right in ((0, 1), (2, 1), (1, 0), (1, 2)):
        window = (slice(down, down + region.shape[0]), slice(right, right + region.shape[1]))
        at_border = patches & (regions_around[window] != region)
        border += np.bincount(region[at_border], minlength=len(border))
        on_skin += np.bincount(region[at_border], weights=skin_around[window][at_border], minlength=len(border))
    is_surrounded: Mask = patches & (on_skin > border / 2)[region]
    return is_surrounded


def ita_degrees(lightness: float, b: float) -> float:
    """Return the individual typology angle. Source: Chardon et al. 1991, Skin colour typology and suntanning pathways.

    It is −90 to 90 for skin, whose b* is positive; the bluish light of a picture must not turn it further.
    """
    return float(np.degrees(np.arctan2(lightness - 50, max(b, 0.01))))


def tone_of(angle_degrees: float) -> SkinTone:
    """Return Chardon's class.

    Source: Del Bino and Bernerd 2013, Variations in skin colour and the biological consequences.
    """
    return next((name for above, name in _TONES if angle_degrees > above), "dark")


def _evenness(lightness: Floats, a: Floats, b: Floats, skin: Mask) -> float:
    """Return 1 − mean ΔE*ab from the skin's median over 12; slow changes of L* (over 60 pixels) count as lighting."""
    weight = np.maximum(box_mean(skin.astype(np.float32), 15), 1e-3)
    around = box_mean(np.where(skin, lightness, 0).astype(np.float32), 15) / weight
    delta_e = np.sqrt((lightness - around) ** 2 + a**2 + b**2)[skin]
    return max(0.0, 1 - float(delta_e.mean(dtype=np.float64)) / _EVEN_DELTA_E)


# --- What follows -------------------------------------------------------------------------------------------------


def _confidence(
    picture: AnalysisPicture, cells: Cells, skin: Mask, surface: _Surface | None, unity: float
) -> tuple[float, list[SkinReason]]:
    """Combine amount of skin, light, sharpness, evenness and unity, independently of how light or dark the skin is."""
    brightest = cells.brightest[skin]
    # A picture without anything bright is considered underexposed: dark skin is seldom the only content.
    lightest = float(np.percentile(picture.luma[::4, ::4], 99))
    factors: dict[SkinReason, float] = {
        "little-skin": ramp(_share(skin), 0.02, 0.06),
        "bad-light": ramp(_share((brightest >= 252) | (brightest <= 16)), 0.4, 0.05) * ramp(lightest, 40, 75),
        "blurred": ramp(picture.sharpness, 0.12, 0.25),
        "mixed-surface": unity * ramp(surface.evenness, 0.05, 0.3) if surface else 1.0,
    }
    confidence = MOST_CONFIDENCE * float(np.prod(list(factors.values())))
    return confidence, [reason for reason, factor in factors.items() if factor < 0.8]


def _skin_type(surface: _Surface) -> SkinType:
    if surface.shine > OILY_ABOVE:
        return "oily"
    if surface.shine > COMBINATION_ABOVE:
        return "combination"
    return "dry" if surface.shine < DRY_SHINE_BELOW and surface.texture > ROUGH_ABOVE else "normal"


def _issues(surface: _Surface) -> list[SkinIssue]:
    crossed: dict[SkinIssue, bool] = {
        "redness": surface.redness > RED_ABOVE or surface.redness_share > RED_SHARE_ABOVE,
        "shine": surface.shine > OILY_ABOVE,
        "texture": surface.texture > ROUGH_ABOVE,
        "uneven-tone": surface.evenness < UNEVEN_BELOW,
    }
    return [issue for issue, is_crossed in crossed.items() if is_crossed]
