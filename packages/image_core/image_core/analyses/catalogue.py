"""The catalogue of analyzers, and the canonical form of their parameters and results.

Plain data for both services, without any codec: the API lists and prices analyzers, the processor runs them. A result
is stored under (sha256, analyzer, version, parameters), so both sides must serialize parameters and results to the same
bytes.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from image_core.analyses.results import (
    ColorsParameters,
    ColorsResult,
    LabelsParameters,
    LabelsResult,
    Parameters,
    QualityParameters,
    QualityResult,
    Result,
    SkinParameters,
    SkinResult,
)

RESULT_DECIMALS = 4

Need = Literal["pixels", "original-detail", "camera"]


@dataclass(frozen=True, slots=True)
class AnalyzerSpec:
    """One analyzer.

    Attributes:
        version: increases with every change that may change a result; results of older versions are kept.
        summary: one sentence for people.
        measures: a description of what it measures.
        price_credits: the price of a result that is not stored yet.
        parameters: the model of its parameters; every field has a default.
        result: the model of its result.
        needs: `pixels` at a reduced size, `original-detail` for a part at the size as stored, `camera` for EXIF.
    """

    name: str
    version: str
    summary: str
    measures: tuple[str, ...]
    price_credits: int
    parameters: type[Parameters]
    result: type[Result]
    needs: frozenset[Need]


CATALOGUE: dict[str, AnalyzerSpec] = {
    spec.name: spec
    for spec in (
        AnalyzerSpec(
            "quality",
            "1",
            "Measures the technical quality of an image.",
            ("sharpness", "exposure", "contrast", "noise", "colorfulness", "dynamic range", "blockiness"),
            1,
            QualityParameters,
            QualityResult,
            frozenset({"pixels", "original-detail"}),
        ),
        AnalyzerSpec(
            "colors",
            "1",
            "Finds the main colours of an image.",
            ("palette", "named colours", "transparency", "grey or colour", "warm or cool"),
            1,
            ColorsParameters,
            ColorsResult,
            frozenset({"pixels"}),
        ),
        AnalyzerSpec(
            "skin",
            "1",
            "Measures the appearance of skin in an image. Not medical advice.",
            ("skin share", "tone (ITA°)", "redness", "shine", "texture", "evenness"),
            2,
            SkinParameters,
            SkinResult,
            frozenset({"pixels"}),
        ),
        AnalyzerSpec(
            "labels",
            "1",
            "Labels what an image shows.",
            ("labels with scores",),
            1,
            LabelsParameters,
            LabelsResult,
            frozenset({"pixels", "original-detail", "camera"}),
        ),
    )
}

# A team may choose Cloud Vision for its labels. Its results are stored under a version of their own.
VISION_VERSION = f"{CATALOGUE['labels'].version}+vision"
VISION_MODEL = {"name": "Cloud Vision", "version": "builtin/stable", "sha256": None}
VISION_PRICE_CREDITS = 5


def price_credits(analyzer: str, version: str) -> int:
    """Return the price in credits of a result that is not stored yet."""
    return VISION_PRICE_CREDITS if version == VISION_VERSION else CATALOGUE[analyzer].price_credits


def canonical_parameters(spec: AnalyzerSpec, given: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Fill in the defaults; return the values and the SHA-256 under which a result with them is stored.

    Raises:
        pydantic.ValidationError: A parameter is unknown or out of its range.
    """
    values = spec.parameters.model_validate(dict(given)).model_dump(mode="json")
    return values, hashlib.sha256(_canonical_json(values)).digest()


def canonical_result(spec: AnalyzerSpec, result: Result | Mapping[str, Any]) -> bytes:
    """Serialize a result as canonical JSON: keys sorted, no spaces, floats rounded by `rounded`, UTF-8.

    Raises:
        pydantic.ValidationError: The result does not fit this analyzer.
    """
    values = result.model_dump() if isinstance(result, Result) else dict(result)
    return _canonical_json(spec.result.model_validate(rounded(values)).model_dump(mode="json"))


def rounded(value: Any) -> Any:
    """Round every float in a value to four decimals; negative zero becomes zero."""
    if isinstance(value, float):
        # Digits beyond the fourth decimal depend on the machine, not on the picture.
        return round(value, RESULT_DECIMALS) + 0.0
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def _canonical_json(values: dict[str, Any]) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
