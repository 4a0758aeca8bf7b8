"""The states of an image and of an analysis, and every transition between them; who makes each is said beside it."""

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple, TypeVar


class ImageStatus(StrEnum):
    """Where an image stands; the trash is a column of its own, beside the status."""

    PENDING = "pending"
    STORED = "stored"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"
    EXPIRED = "expired"


class Mover(StrEnum):
    """Who may make a transition."""

    API = "api"
    PROCESSOR = "processor"
    SWEEP = "sweep"
    OPERATOR = "operator"
    """A person, by `image-manager-admin` or a script of recovery."""


_Function = TypeVar("_Function", bound=Callable[..., object])


def made_by(*movers: Mover) -> Callable[[_Function], _Function]:
    """Name those who may make the transition that a function describes; tests read it."""

    def name_movers(function: _Function) -> _Function:
        function.movers = frozenset(movers)  # type: ignore[attr-defined]
        return function

    return name_movers


class Failure(NamedTuple):
    """Why an image or an analysis failed, or an upload expired: for programs and for people."""

    code: str
    message: str


MOST_PATIENCE = timedelta(days=1)
"""For how long failures that are not the picture's cost it no attempt."""


class LabelSource(StrEnum):
    """Who labels a team's pictures: the deployment's own model (or measurements), or Cloud Vision."""

    OWN = "own"
    VISION = "vision"


TRANSITIONS: dict[tuple[ImageStatus | None, ImageStatus], frozenset[Mover]] = {
    (None, ImageStatus.PENDING): frozenset({Mover.API}),
    # Whichever comes first: the API when the object is complete, or the finalize event, which the sweep publishes
    # again where it was lost.
    (ImageStatus.PENDING, ImageStatus.STORED): frozenset({Mover.API, Mover.PROCESSOR}),
    (ImageStatus.PENDING, ImageStatus.EXPIRED): frozenset({Mover.API, Mover.PROCESSOR, Mover.SWEEP}),
    (ImageStatus.STORED, ImageStatus.PROCESSING): frozenset({Mover.PROCESSOR}),
    # A lease that ran out may be taken over without passing through `stored`.
    (ImageStatus.PROCESSING, ImageStatus.PROCESSING): frozenset({Mover.PROCESSOR}),
    # Finished; or, by whoever ends it, failed for an image that was ready before and keeps its derivatives.
    (ImageStatus.PROCESSING, ImageStatus.READY): frozenset({Mover.PROCESSOR, Mover.SWEEP}),
    (ImageStatus.PROCESSING, ImageStatus.FAILED): frozenset({Mover.PROCESSOR, Mover.SWEEP}),
    # An operator sends back whatever has lost its derivatives.
    (ImageStatus.PROCESSING, ImageStatus.STORED): frozenset({Mover.PROCESSOR, Mover.SWEEP, Mover.OPERATOR}),
    (ImageStatus.STORED, ImageStatus.STORED): frozenset({Mover.SWEEP, Mover.OPERATOR}),
    (ImageStatus.STORED, ImageStatus.FAILED): frozenset({Mover.PROCESSOR, Mover.SWEEP}),
    (ImageStatus.STORED, ImageStatus.READY): frozenset({Mover.PROCESSOR, Mover.SWEEP}),
    (ImageStatus.READY, ImageStatus.STORED): frozenset({Mover.OPERATOR}),
    # The API where the same bytes are uploaded again.
    (ImageStatus.FAILED, ImageStatus.STORED): frozenset({Mover.API, Mover.OPERATOR}),
}

HOLDS_BYTES = (ImageStatus.STORED, ImageStatus.PROCESSING, ImageStatus.READY, ImageStatus.FAILED)
"""The states in which the original exists and its size, hash and generation are known."""

FINAL = (ImageStatus.READY, ImageStatus.FAILED, ImageStatus.EXPIRED)
"""The states that nothing leaves by itself."""


class AnalysisStatus(StrEnum):
    """Where an analysis stands."""

    REQUESTED = "requested"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


ANALYSIS_TRANSITIONS: dict[tuple[AnalysisStatus | None, AnalysisStatus], frozenset[Mover]] = {
    # On arrival of an image the results come with the processing itself, or are asked for by it.
    (None, AnalysisStatus.REQUESTED): frozenset({Mover.API, Mover.PROCESSOR}),
    (None, AnalysisStatus.DONE): frozenset({Mover.PROCESSOR}),
    (AnalysisStatus.REQUESTED, AnalysisStatus.RUNNING): frozenset({Mover.PROCESSOR}),
    (AnalysisStatus.RUNNING, AnalysisStatus.RUNNING): frozenset({Mover.PROCESSOR}),
    (AnalysisStatus.RUNNING, AnalysisStatus.DONE): frozenset({Mover.PROCESSOR}),
    (AnalysisStatus.RUNNING, AnalysisStatus.FAILED): frozenset({Mover.PROCESSOR, Mover.SWEEP}),
    # A failure that may pass, or a lease that ran out.
    (AnalysisStatus.RUNNING, AnalysisStatus.REQUESTED): frozenset({Mover.PROCESSOR, Mover.SWEEP}),
    (AnalysisStatus.REQUESTED, AnalysisStatus.REQUESTED): frozenset({Mover.SWEEP}),
    (AnalysisStatus.REQUESTED, AnalysisStatus.FAILED): frozenset({Mover.PROCESSOR, Mover.SWEEP}),
}
