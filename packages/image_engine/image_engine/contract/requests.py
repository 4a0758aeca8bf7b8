"""What is asked of a worker process. Plain data, without any codec or NumPy."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from image_engine.contract.limits import PictureLimits
from image_engine.contract.presets import DEFAULT_PRESETS, Preset


@dataclass(frozen=True, slots=True)
class AnalysisOrder:
    """One analyzer to run.

    Attributes:
        analyzer: its name in `image_core.analyses.catalogue.CATALOGUE`.
        parameters: as `canonical_parameters` gives them; what is left out has its default.
    """

    analyzer: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProcessingRequest:
    """What to do with a picture.

    Attributes:
        presets: the derivatives to make, none of them twice.
        limits: what the picture may be.
        keep_location: False leaves the place that the camera wrote down out of the facts.
        analyses: what to find out about the picture once its derivatives are made.
        embed: False leaves out the vector of a model, where there is one.
    """

    presets: tuple[Preset, ...] = DEFAULT_PRESETS
    limits: PictureLimits = field(default_factory=PictureLimits)
    keep_location: bool = True
    analyses: tuple[AnalysisOrder, ...] = ()
    embed: bool = True

    def to_json(self) -> dict[str, Any]:
        """Give plain values for the way to a worker."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ProcessingRequest":
        """Rebuild what `to_json` gave."""
        return cls(
            presets=tuple(Preset(**preset) for preset in values["presets"]),
            limits=PictureLimits.from_json(values["limits"]),
            keep_location=values["keep_location"],
            analyses=orders_from_json(values["analyses"]),
            embed=values["embed"],
        )


@dataclass(frozen=True, slots=True)
class AnalysisRequest:
    """Which analyzers to run on one picture, which is decoded once for all of them."""

    analyses: tuple[AnalysisOrder, ...]
    limits: PictureLimits = field(default_factory=PictureLimits)

    def to_json(self) -> dict[str, Any]:
        """Give plain values for the way to a worker."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "AnalysisRequest":
        """Rebuild what `to_json` gave."""
        return cls(orders_from_json(values["analyses"]), PictureLimits.from_json(values["limits"]))


@dataclass(frozen=True, slots=True)
class AnalysisBatch:
    """What to run on several pictures, whose descriptors go down in the same order."""

    requests: tuple[AnalysisRequest, ...]

    def to_json(self) -> dict[str, Any]:
        """Give plain values for the way to a worker."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "AnalysisBatch":
        """Rebuild what `to_json` gave."""
        return cls(tuple(AnalysisRequest.from_json(request) for request in values["requests"]))


def orders_from_json(values: Iterable[dict[str, Any]]) -> tuple[AnalysisOrder, ...]:
    """Rebuild orders from plain values."""
    return tuple(AnalysisOrder(**order) for order in values)
