"""Requests to a worker process. Plain data, without any codec or NumPy."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from image_core.delivery.spec import Recipe
from image_engine.contract.limits import PictureLimits
from image_engine.contract.presets import DEFAULT_PRESETS, Preset


@dataclass(frozen=True, slots=True)
class AnalysisOrder:
    """One analyzer to run.

    Attributes:
        analyzer: its name in `image_core.analyses.catalogue.CATALOGUE`.
        parameters: as `canonical_parameters` returns them; absent ones have their default.
    """

    analyzer: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProcessingRequest:
    """What to do with a picture.

    Attributes:
        presets: the derivatives to make, without duplicates.
        optional_presets: more derivatives, which are left out if the worker fails; together the names are unique.
        limits: the limits of the picture.
        keep_location: if False, the facts omit the location that the camera recorded.
        analyses: the analyses to run once the derivatives are made.
        embed: if False, the vector of a model is omitted.
    """

    presets: tuple[Preset, ...] = DEFAULT_PRESETS
    limits: PictureLimits = field(default_factory=PictureLimits)
    keep_location: bool = True
    analyses: tuple[AnalysisOrder, ...] = ()
    embed: bool = True
    optional_presets: tuple[Preset, ...] = ()

    @property
    def all_presets(self) -> tuple[Preset, ...]:
        """Every derivative to make, in order."""
        return (*self.presets, *self.optional_presets)

    def to_json(self) -> dict[str, Any]:
        """Return plain values to send to a worker."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ProcessingRequest":
        """Rebuild a request from the output of `to_json`."""
        return cls(
            presets=tuple(_preset_from_json(preset) for preset in values["presets"]),
            limits=PictureLimits.from_json(values["limits"]),
            keep_location=values["keep_location"],
            analyses=orders_from_json(values["analyses"]),
            embed=values["embed"],
            optional_presets=tuple(_preset_from_json(preset) for preset in values["optional_presets"]),
        )


def _preset_from_json(values: dict[str, Any]) -> Preset:
    return Preset(values["name"], Recipe(**values["recipe"]), values["effort"])


@dataclass(frozen=True, slots=True)
class AnalysisRequest:
    """Analyzers to run on one picture, which is decoded once for all of them."""

    analyses: tuple[AnalysisOrder, ...]
    limits: PictureLimits = field(default_factory=PictureLimits)

    def to_json(self) -> dict[str, Any]:
        """Return plain values to send to a worker."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "AnalysisRequest":
        """Rebuild a request from the output of `to_json`."""
        return cls(orders_from_json(values["analyses"]), PictureLimits.from_json(values["limits"]))


@dataclass(frozen=True, slots=True)
class AnalysisBatch:
    """Analyzers to run on several pictures, whose descriptors are sent in the same order."""

    requests: tuple[AnalysisRequest, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values to send to a worker."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "AnalysisBatch":
        """Rebuild a batch from the output of `to_json`."""
        return cls(tuple(AnalysisRequest.from_json(request) for request in values["requests"]))


def orders_from_json(values: Iterable[dict[str, Any]]) -> tuple[AnalysisOrder, ...]:
    """Rebuild orders from plain values."""
    return tuple(AnalysisOrder(**order) for order in values)
