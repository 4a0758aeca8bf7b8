"""Parameters and results of each analyzer. Plain data: the API shows it, the processor's workers fill it in.

Measures are single numbers at the top level of a result, so that images can be filtered by them. Definitions, sources
and thresholds: docs/analyzers.md.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Plain(BaseModel):
    """A model that rejects unknown fields, so that a misspelt parameter is reported and not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


class Parameters(_Plain):
    """Parameters of an analyzer. Every field has a default, and values are not converted between types."""

    model_config = ConfigDict(strict=True)


class Result(_Plain):
    """Result of an analyzer. Floats are rounded by `catalogue.rounded`."""


# --- quality ------------------------------------------------------------------------------------------------------

QualityIssue = Literal["blurred", "underexposed", "overexposed", "low-contrast", "noisy", "blocky"]


class QualityParameters(Parameters):
    """Nothing to choose."""


class QualityResult(Result):
    """How well a picture is made, technically."""

    sharpness: float = Field(description="1 − perceptual blur, 0 (blurred) to 1, at 768 pixels.", ge=0, le=1)
    exposure: float = Field(description="Mean lightness L*, 0 to 100.", ge=0, le=100)
    clipped_dark: float = Field(description="Share of pixels without any light left.", ge=0, le=1)
    clipped_bright: float = Field(description="Share of pixels that are blown out.", ge=0, le=1)
    contrast: float = Field(description="RMS contrast of luma, 0 to 0.5.", ge=0, le=0.5)
    dynamic_range: float = Field(description="Stops between the darkest and the brightest percent.", ge=0)
    colorfulness: float = Field(description="Hasler and Süsstrunk's M, 0 (grey) to above 80.", ge=0)
    noise: float | None = Field(
        description="Standard deviation of the noise of the stored pixels, in 8-bit levels; null where too small.", ge=0
    )
    blockiness: float | None = Field(
        description="How much larger steps are across 8 × 8 blocks than within; 0 for none, null where too small.", ge=0
    )
    verdict: Literal["good", "fair", "poor"] = Field(description="good: no issue; fair: one; poor: more.")
    issues: list[QualityIssue] = Field(description="Which thresholds are crossed.")


# --- colors -------------------------------------------------------------------------------------------------------


class ColorsParameters(Parameters):
    """How many colours."""

    colors: int = Field(6, description="Most colours in the palette.", ge=1, le=16)


class PaletteColor(_Plain):
    """One colour of a palette."""

    hex: str = Field(description="The colour in sRGB.", pattern=r"^#[0-9a-f]{6}$")
    name: str = Field(description="The nearest named colour of CSS.")
    share: float = Field(description="Share of the visible picture.", ge=0, le=1)


class ColorsResult(Result):
    """Which colours a picture consists of."""

    palette: list[PaletteColor] = Field(description="The largest share first; empty for a transparent picture.")
    transparency: float = Field(description="Share of the picture that is see-through.", ge=0, le=1)
    grey: bool = Field(description="Whether there is no colour to be seen.")
    mean_chroma: float = Field(description="Mean chroma C*ab of what is visible.", ge=0)
    warmth: float = Field(description="Balance of warm (1) and cool (−1) hues, by chroma.", ge=-1, le=1)
    temperature: Literal["warm", "cool", "neutral"] = Field(description="Follows from warmth.")


# --- skin ---------------------------------------------------------------------------------------------------------

SkinType = Literal["dry", "normal", "combination", "oily"]
SkinIssue = Literal["redness", "shine", "texture", "uneven-tone"]
SkinTone = Literal["very-light", "light", "intermediate", "tan", "brown", "dark"]
SkinReason = Literal["little-skin", "bad-light", "blurred", "mixed-surface"]

SKIN_NOTICE = (
    "Measured from the colours of one picture, whose light and camera are unknown. This is no medical advice and no "
    "diagnosis."
)


class SkinParameters(Parameters):
    """Nothing to choose."""


class SkinResult(Result):
    """How the skin in a picture looks; where that cannot be told, only how much there is, and why not.

    Nothing is inferred about whose it is.
    """

    verdict: Literal["measured", "cannot-tell"] = Field(description="cannot-tell: the confidence is below 0.4.")
    skin_type: SkinType | None = Field(None, description="By shine and texture.")
    issues: list[SkinIssue] = Field([], description="Which thresholds are crossed.")
    confidence: float = Field(description="What amount of skin, light, sharpness and unity allow.", ge=0, le=1)
    reasons: list[SkinReason] = Field(description="What lowers the confidence.")
    skin_share: float = Field(
        description="Share of the picture in the largest patch of skin, the one measured.", ge=0, le=1
    )
    ita_degrees: float | None = Field(None, description="Individual typology angle of the median.", ge=-90, le=90)
    tone: SkinTone | None = Field(None, description="Chardon's class of that angle.")
    redness: float | None = Field(None, description="Median a* of the skin.")
    redness_share: float | None = Field(None, description="Share of skin that is redder than the rest.", ge=0, le=1)
    shine: float | None = Field(None, description="Share of skin with a specular highlight.", ge=0, le=1)
    texture: float | None = Field(None, description="Fine variation of L*, at 768 pixels.", ge=0)
    evenness: float | None = Field(None, description="1 for one colour all over, 0 for 12 ΔE apart.", ge=0, le=1)
    notice: str = Field(SKIN_NOTICE, description="What this is not.")


# --- labels -------------------------------------------------------------------------------------------------------


class LabelsParameters(Parameters):
    """Which labels are given."""

    max_labels: int = Field(10, description="Most labels.", ge=1, le=100)
    min_score: float = Field(0.1, description="Labels with a lower score are left out.", ge=0, le=1)


class Label(_Plain):
    """One label."""

    label: str = Field(description="What is seen.", max_length=200)
    score: float = Field(description="How certain that is.", ge=0, le=1)


class LabelModel(_Plain):
    """Which model gave the labels."""

    name: str = Field(description="The model's name.", max_length=200)
    version: str = Field(description="Its version.", max_length=200)
    sha256: str | None = Field(description="Of the model's file, where there is one.", pattern=r"^[0-9a-f]{64}$")


Likelihood = Literal["unknown", "very-unlikely", "unlikely", "possible", "likely", "very-likely"]


class SafeSearch(_Plain):
    """How likely a picture shows what not everybody should see."""

    adult: Likelihood = Field(description="Nudity and pornography.")
    spoof: Likelihood = Field(description="Changed to be funny or offensive.")
    medical: Likelihood = Field(description="A medical picture.")
    violence: Likelihood = Field(description="Violence.")
    racy: Likelihood = Field(description="Suggestive, though not adult.")


class Landmark(_Plain):
    """A place that is known by its looks."""

    name: str = Field(description="The place's name.", max_length=200)
    score: float = Field(description="How certain that is.", ge=0, le=1)
    latitude: float | None = Field(description="Degrees; null where not known.", ge=-90, le=90)
    longitude: float | None = Field(description="Degrees; null where not known.", ge=-180, le=180)


class LabelsResult(Result):
    """What is in a picture. Only Cloud Vision says more than labels."""

    labels: list[Label] = Field(description="The highest score first.")
    model: LabelModel = Field(description="Which model gave them.")
    source: Literal["onnx", "vision", "built-in"] = Field(description="Where the model runs.")
    notice: str | None = Field(None, description="What a reader should know of this source.")
    safe_search: SafeSearch | None = Field(None, description="Null where this source does not say.")
    text: str | None = Field(None, description="What is written in the picture, its first 20,000 characters.")
    landmarks: list[Landmark] | None = Field(None, description="Null where this source does not say.")
