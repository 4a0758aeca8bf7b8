"""What is asked of a worker process about a picture, and its answer. Plain data, without any codec or NumPy."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from image_core.analyses.catalogue import CATALOGUE, rounded
from image_engine.contract.facts import Seconds, StepSeconds, Whole, is_storable
from image_engine.contract.limits import PictureLimits
from image_engine.contract.rejections import REJECTION_MESSAGES, PictureRejected
from image_engine.models.description import MODEL_FAILURES

ANALYZER_FAILED = "analyzer-failed"
_FAILURES = {ANALYZER_FAILED, *MODEL_FAILURES, *REJECTION_MESSAGES}


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
class AnalysisOutcome:
    """What became of one order: a result or a failure.

    Attributes:
        result: valid for the analyzer, floats rounded; None for a failure.
        failure: `analyzer-failed`, the code for which a picture is rejected or a model cannot be used; None for a
            result.
        place: where in our code an analyzer failed, or what is wrong with its model, for the log.
    """

    analyzer: str
    version: str
    parameters: dict[str, Any]
    result: dict[str, Any] | None
    failure: str | None = None
    place: str | None = None

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "AnalysisOutcome":
        """Rebuild what `asdict` gave, in a process that trusts nothing of it.

        Raises:
            ValueError, TypeError, KeyError: it is not what a worker may send.
        """
        outcome = cls(**values)
        if not is_storable(values):
            raise ValueError("a worker sent what cannot be stored")
        if (outcome.result is None) == (outcome.failure is None):
            raise ValueError("a worker sent neither a result nor a failure")
        if outcome.failure is not None and outcome.failure not in _FAILURES:
            raise ValueError("a worker named a failure that there is not")
        model = CATALOGUE[outcome.analyzer].result
        if outcome.result is not None and rounded(model.model_validate(outcome.result).model_dump()) != outcome.result:
            raise ValueError("a worker sent a result that is not rounded")
        return outcome


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


@dataclass(frozen=True, slots=True)
class AnalyzedPicture:
    """Everything one request for analyses gives.

    Attributes:
        outcomes: in the order of the request.
        step_seconds: wall time by step, in the order in which the steps ran.
        worker_rss_bytes: resident memory of the worker afterwards.
        worker_cpu_seconds: CPU time of the worker for this picture.
    """

    outcomes: tuple[AnalysisOutcome, ...]
    step_seconds: StepSeconds
    worker_rss_bytes: Whole = 0
    worker_cpu_seconds: Seconds = 0.0


@dataclass(frozen=True, slots=True)
class AnalyzedBatch:
    """An answer for each picture of a batch, in its order; the worker's figures are those of the whole batch."""

    answers: tuple[AnalyzedPicture | PictureRejected, ...]
    worker_rss_bytes: Whole = 0
    worker_cpu_seconds: Seconds = 0.0


def orders_from_json(values: Iterable[dict[str, Any]]) -> tuple[AnalysisOrder, ...]:
    """Rebuild orders from plain values."""
    return tuple(AnalysisOrder(**order) for order in values)


def failed(orders: Iterable[AnalysisOrder], code: str) -> tuple[AnalysisOutcome, ...]:
    """Give each order the same failure."""
    return tuple(
        AnalysisOutcome(order.analyzer, CATALOGUE[order.analyzer].version, order.parameters, None, code)
        for order in orders
    )
