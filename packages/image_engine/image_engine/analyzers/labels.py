"""Labels without a model: derived from measurements of the picture."""

from typing import NamedTuple

import numpy as np

from image_core.analyses.catalogue import CATALOGUE
from image_core.analyses.results import Label, LabelModel, LabelsParameters, LabelsResult
from image_engine.analyzers import quality
from image_engine.analyzers.filters import ramp
from image_engine.picture.analysis_picture import AnalysisPicture

NOTICE = "From measurements only: no model is configured, so that nothing is recognised in the picture."
MODEL = LabelModel(name="built-in measurements", version=CATALOGUE["labels"].version, sha256=None)

# A colour in 12 bits; drawn pictures have a few of them, photographs hundreds.
_COMMON_COLORS = 4
_EDGE_STEP = 24.0
_CAMERA_FIELDS = {"camera_make", "camera_model", "exposure_time", "f_number"}


class Layout(NamedTuple):
    """Measures of a picture's composition, each a share from 0 to 1.

    Attributes:
        common: pixels in the four most common colours.
        flat: pixels that are as light as their neighbour.
        paper: pixels that are nearly white.
        ink: dark pixels without colour.
        straight: edges that run parallel to the picture's sides.
    """

    common: float
    flat: float
    paper: float
    ink: float
    straight: float


class Labels:
    """Photograph, graphic, screenshot or document; dark, bright, blurred, grey and the like."""

    spec = CATALOGUE["labels"]
    version = spec.version
    needs = spec.needs

    def analyze(self, picture: AnalysisPicture, parameters: LabelsParameters) -> LabelsResult:
        """Score each label by how far its measure is beyond a threshold."""
        scores = kind_scores(layout_of(picture), has_camera=bool(_CAMERA_FIELDS & picture.exif.keys()))
        scores |= look_scores(picture)
        found = [Label(label=name, score=score) for name, score in scores.items() if score >= parameters.min_score]
        found.sort(key=lambda label: (-label.score, label.label))
        return LabelsResult(labels=found[: parameters.max_labels], model=MODEL, source="built-in", notice=NOTICE)


def layout_of(picture: AnalysisPicture) -> Layout:
    """Measure at the working size, with every second row and column for colours."""
    levels = (picture.srgb[::2, ::2] >> 4).astype(np.int32)
    counts = np.bincount((levels[:, :, 0] << 8 | levels[:, :, 1] << 4 | levels[:, :, 2]).ravel(), minlength=4096)
    lab = picture.lab[::2, ::2]
    achromatic = np.hypot(lab[:, :, 1], lab[:, :, 2]) < 10
    down, across = (np.abs(np.diff(picture.luma, axis=axis)) for axis in (0, 1))
    down, across = down[:, : across.shape[1]], across[: down.shape[0]]
    edges = np.maximum(down, across) > _EDGE_STEP
    straight = edges & (np.minimum(down, across) * 4 < np.maximum(down, across))
    return Layout(
        common=float(np.sort(counts)[-_COMMON_COLORS:].sum() / counts.sum()),
        flat=float((np.maximum(down, across) < 1.5).mean()) if down.size else 1.0,
        paper=float(((lab[:, :, 0] > 88) & achromatic).mean()),
        ink=float(((lab[:, :, 0] < 55) & achromatic).mean()),
        straight=float(straight.sum() / edges.sum()) if edges.any() else 0.0,
    )


def kind_scores(layout: Layout, *, has_camera: bool) -> dict[str, float]:
    """Distribute a total score of 1 among the four kinds."""
    drawn = ramp(layout.common, 0.3, 0.7) * ramp(layout.flat, 0.25, 0.6)
    drawn *= 0.25 if has_camera else 1.0
    document = drawn * ramp(layout.paper, 0.5, 0.75) * ramp(layout.ink, 0.0, 0.01) * ramp(layout.ink, 0.45, 0.3)
    screenshot = (drawn - document) * ramp(layout.straight, 0.6, 0.85)
    return {
        "photograph": 1 - drawn,
        "document": document,
        "screenshot": screenshot,
        "graphic": drawn - document - screenshot,
    }


def look_scores(picture: AnalysisPicture) -> dict[str, float]:
    """Score how a picture looks; these labels do not exclude one another."""
    lightness = float(picture.lab[:, :, 0].mean())
    colors = quality.colorfulness(picture.srgb)
    noise = quality.noise(picture.detail) if picture.detail is not None else None
    transparent = 0.0 if picture.alpha is None else 1 - float(picture.alpha.mean()) / 255
    return {
        "dark": ramp(lightness, 40, 15),
        "bright": ramp(lightness, 70, 95),
        "blurred": ramp(picture.sharpness, 0.4, 0.15),
        "grey": ramp(colors, 8, 2),
        "colorful": ramp(colors, 33, 82),
        "noisy": ramp(noise or 0, 4, 16),
        "transparent": ramp(transparent, 0, 0.5),
        "animated": float(picture.frames > 1),
    }
