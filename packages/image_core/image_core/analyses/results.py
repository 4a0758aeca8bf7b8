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
    """No parameters."""


class QualityResult(Result):
    """Technical quality of an image."""

    sharpness: float = Field(
        description="One minus perceptual blur: 0 (blurred) to 1 (sharp), measured at 768 pixels.", ge=0, le=1
    )
    exposure: float = Field(description="Mean lightness L*, 0 (black) to 100 (white).", ge=0, le=100)
    clipped_dark: float = Field(description="Share of pixels that are completely black, 0 to 1.", ge=0, le=1)
    clipped_bright: float = Field(description="Share of pixels that are blown out, 0 to 1.", ge=0, le=1)
    contrast: float = Field(description="RMS contrast of luma, 0 to 0.5.", ge=0, le=0.5)
    dynamic_range: float = Field(description="Stops between the darkest and the brightest percent of the pixels.", ge=0)
    colorfulness: float = Field(description="Colourfulness M by Hasler and Süsstrunk: 0 (grey) to above 80.", ge=0)
    noise: float | None = Field(
        description="Standard deviation of noise in the original pixels, in 8-bit levels. Null for small images.",
        ge=0,
    )
    blockiness: float | None = Field(
        description="Excess of steps across borders of 8 × 8 blocks over steps within. Null for small images.",
        ge=0,
    )
    verdict: Literal["good", "fair", "poor"] = Field(
        description="`good` without issues, `fair` with one, `poor` with more."
    )
    issues: list[QualityIssue] = Field(description="Issues found: the measurements that cross their thresholds.")


# --- colors -------------------------------------------------------------------------------------------------------


class ColorsParameters(Parameters):
    """Size of the palette."""

    colors: int = Field(6, description="Maximum number of colours in the palette.", ge=1, le=16)


class PaletteColor(_Plain):
    """One colour of a palette."""

    hex: str = Field(description="Colour in sRGB, as `#rrggbb`.", pattern=r"^#[0-9a-f]{6}$")
    name: str = Field(description="Nearest named CSS colour.")
    share: float = Field(description="Share of the visible pixels, 0 to 1.", ge=0, le=1)


class ColorsResult(Result):
    """Colours of an image."""

    palette: list[PaletteColor] = Field(
        description="Colours, largest share first. Empty for a fully transparent image."
    )
    transparency: float = Field(description="Share of the image that is transparent, 0 to 1.", ge=0, le=1)
    grey: bool = Field(description="True if the image has no visible colour.")
    mean_chroma: float = Field(description="Mean chroma C*ab of the visible pixels.", ge=0)
    warmth: float = Field(description="Balance of hues weighted by chroma: −1 (cool) to 1 (warm).", ge=-1, le=1)
    temperature: Literal["warm", "cool", "neutral"] = Field(description="Class of `warmth`.")


# --- skin ---------------------------------------------------------------------------------------------------------

SkinType = Literal["dry", "normal", "combination", "oily"]
SkinIssue = Literal["redness", "shine", "texture", "uneven-tone"]
SkinTone = Literal["very-light", "light", "intermediate", "tan", "brown", "dark"]
SkinReason = Literal["little-skin", "bad-light", "blurred", "mixed-surface"]

SKIN_NOTICE = (
    "Measured from the colours of one image with unknown light and camera. This is not medical advice or a diagnosis."
)


class SkinParameters(Parameters):
    """No parameters."""


class SkinResult(Result):
    """Appearance of the skin in an image. Nothing is inferred about the person.

    If the image does not allow measurements, the result contains only the amount of skin and the reasons.
    """

    verdict: Literal["measured", "cannot-tell"] = Field(description="`cannot-tell` if the confidence is below 0.4.")
    skin_type: SkinType | None = Field(
        None, description="Skin type, from shine and texture. Null if it cannot be measured."
    )
    issues: list[SkinIssue] = Field([], description="Issues found: the measurements that cross their thresholds.")
    confidence: float = Field(
        description="Confidence, 0 to 1, from the amount of skin, the light, the sharpness and the uniformity.",
        ge=0,
        le=1,
    )
    reasons: list[SkinReason] = Field(description="What lowers the confidence.")
    skin_share: float = Field(
        description="Share of the image that the measured patch of skin, the largest, covers: 0 to 1.", ge=0, le=1
    )
    ita_degrees: float | None = Field(
        None,
        description="Individual typology angle of the median colour, in degrees. Null if it cannot be measured.",
        ge=-90,
        le=90,
    )
    tone: SkinTone | None = Field(None, description="Class of the angle by Chardon. Null if it cannot be measured.")
    redness: float | None = Field(None, description="Median a* of the skin. Null if it cannot be measured.")
    redness_share: float | None = Field(
        None,
        description="Share of the skin that is redder than the rest, 0 to 1. Null if it cannot be measured.",
        ge=0,
        le=1,
    )
    shine: float | None = Field(
        None,
        description="Share of the skin with specular highlights, 0 to 1. Null if it cannot be measured.",
        ge=0,
        le=1,
    )
    texture: float | None = Field(
        None, description="Fine variation of L*, measured at 768 pixels. Null if it cannot be measured.", ge=0
    )
    evenness: float | None = Field(
        None,
        description="Evenness of colour: 1 for a single colour, 0 for 12 ΔE. Null if it cannot be measured.",
        ge=0,
        le=1,
    )
    notice: str = Field(SKIN_NOTICE, description="Disclaimer.")


# --- labels -------------------------------------------------------------------------------------------------------


class LabelsParameters(Parameters):
    """Limits of the returned labels."""

    max_labels: int = Field(10, description="Maximum number of labels.", ge=1, le=100)
    min_score: float = Field(0.1, description="Minimum score of a label.", ge=0, le=1)


class Label(_Plain):
    """A label and its score."""

    label: str = Field(description="What the image shows, in words.", max_length=200)
    score: float = Field(description="Confidence, 0 to 1.", ge=0, le=1)


class LabelModel(_Plain):
    """The model that produced the labels."""

    name: str = Field(description="Name of the model.", max_length=200)
    version: str = Field(description="Version of the model.", max_length=200)
    sha256: str | None = Field(
        description="SHA-256 of the model file, in hexadecimal. Null if there is no file.", pattern=r"^[0-9a-f]{64}$"
    )


Likelihood = Literal["unknown", "very-unlikely", "unlikely", "possible", "likely", "very-likely"]


class SafeSearch(_Plain):
    """Likelihood of content that is not suitable for everybody."""

    adult: Likelihood = Field(description="Likelihood of nudity or pornography.")
    spoof: Likelihood = Field(description="Likelihood that the image was altered to be funny or offensive.")
    medical: Likelihood = Field(description="Likelihood of medical content.")
    violence: Likelihood = Field(description="Likelihood of violence.")
    racy: Likelihood = Field(description="Likelihood of suggestive content that is not adult.")


class Landmark(_Plain):
    """A landmark in the image."""

    name: str = Field(description="Name of the landmark.", max_length=200)
    score: float = Field(description="Confidence, 0 to 1.", ge=0, le=1)
    latitude: float | None = Field(description="Latitude in degrees. Null if unknown.", ge=-90, le=90)
    longitude: float | None = Field(description="Longitude in degrees. Null if unknown.", ge=-180, le=180)


class LabelsResult(Result):
    """What an image shows. Only Cloud Vision returns more than labels."""

    labels: list[Label] = Field(description="Labels, highest score first.")
    model: LabelModel = Field(description="Model that produced the labels.")
    source: Literal["onnx", "vision", "built-in"] = Field(
        description="Where the labels come from: `onnx` (own model), `vision` (Cloud Vision) or `built-in`."
    )
    notice: str | None = Field(None, description="Limitations of the source. Null if there are none.")
    safe_search: SafeSearch | None = Field(
        None, description="Likelihood of unsuitable content. Null if the source does not provide it."
    )
    text: str | None = Field(
        None, description="Text in the image, at most 20,000 characters. Null if the source does not provide it."
    )
    landmarks: list[Landmark] | None = Field(
        None, description="Landmarks in the image. Null if the source does not provide them."
    )
