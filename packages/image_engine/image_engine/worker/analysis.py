"""Run analyzers on one picture, which is decoded once for all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from image_core.analyses.catalogue import Need, rounded
from image_engine.analyzers.analyzer import Analyzer, RunsAhead
from image_engine.analyzers.colors import Colors
from image_engine.analyzers.labels import Labels
from image_engine.analyzers.quality import Quality
from image_engine.analyzers.skin import Skin
from image_engine.contract.answers import ANALYZER_FAILED, AnalysisOutcome, AnalyzedBatch, AnalyzedPicture, failed
from image_engine.contract.limits import PictureLimits
from image_engine.contract.rejections import PictureRejected, place_of
from image_engine.contract.requests import AnalysisBatch, AnalysisOrder, AnalysisRequest
from image_engine.models.description import ModelUnavailable
from image_engine.picture.analysis_picture import AnalysisPicture, prepare_picture
from image_engine.picture.open_stored import decode_errors_as_rejections
from image_engine.worker.step_clock import StepClock

BUILT_IN: dict[str, Analyzer] = {analyzer.spec.name: analyzer for analyzer in (Quality(), Colors(), Skin(), Labels())}


def analyze_picture(
    descriptor: int, request: AnalysisRequest, deadline_at: float, analyzers: Mapping[str, Analyzer] = BUILT_IN
) -> AnalyzedPicture:
    """Run the analyzers of a request on the picture in an open file; the file's position changes.

    `deadline_at` is a time of the monotonic clock. An analyzer that fails yields an outcome of its own.

    Raises:
        PictureRejected: It is not a picture, not allowed, damaged, or over a limit.
    """
    clock = StepClock(deadline_at)
    outcomes = _run_all(descriptor, request.analyses, request.limits, clock, analyzers)
    return AnalyzedPicture(outcomes, clock.seconds)


def analyze_batch(
    descriptors: Sequence[int], batch: AnalysisBatch, deadline_at: float, analyzers: Mapping[str, Analyzer]
) -> AnalyzedBatch:
    """Run analyzers on several pictures, with the slow part for all at once. Rejections are per picture."""
    prepared: list[tuple[AnalysisPicture, StepClock] | PictureRejected] = []
    for descriptor, request in zip(descriptors, batch.requests, strict=True):
        clock = StepClock(deadline_at)
        try:
            prepared.append((_prepare(descriptor, request.analyses, request.limits, clock, analyzers), clock))
        except PictureRejected as rejection:
            prepared.append(rejection)
    pictures = [entry[0] for entry in prepared if not isinstance(entry, PictureRejected)]
    for name in {order.analyzer for request in batch.requests for order in request.analyses}:
        analyzer = analyzers[name]
        if isinstance(analyzer, RunsAhead):
            analyzer.run_ahead(pictures)
    answers: list[AnalyzedPicture | PictureRejected] = []
    for entry, request in zip(prepared, batch.requests, strict=True):
        if isinstance(entry, PictureRejected):
            answers.append(entry)
            continue
        picture, clock = entry
        outcomes = tuple(_run(order, picture, clock, analyzers) for order in request.analyses)
        answers.append(AnalyzedPicture(outcomes, clock.seconds))
    return AnalyzedBatch(tuple(answers))


def analyze_on_arrival(
    descriptor: int,
    orders: tuple[AnalysisOrder, ...],
    limits: PictureLimits,
    clock: StepClock,
    analyzers: Mapping[str, Analyzer],
) -> tuple[AnalysisOutcome, ...]:
    """Run analyzers within a picture's processing, which never fails because of them."""
    try:
        return _run_all(descriptor, orders, limits, clock, analyzers) if orders else ()
    except PictureRejected as rejection:
        return failed(orders, rejection.code)


def _run_all(
    descriptor: int,
    orders: tuple[AnalysisOrder, ...],
    limits: PictureLimits,
    clock: StepClock,
    analyzers: Mapping[str, Analyzer],
) -> tuple[AnalysisOutcome, ...]:
    picture = _prepare(descriptor, orders, limits, clock, analyzers)
    return tuple(_run(order, picture, clock, analyzers) for order in orders)


def _prepare(
    descriptor: int,
    orders: tuple[AnalysisOrder, ...],
    limits: PictureLimits,
    clock: StepClock,
    analyzers: Mapping[str, Analyzer],
) -> AnalysisPicture:
    needs: set[Need] = {need for order in orders for need in analyzers[order.analyzer].needs}
    with decode_errors_as_rejections(), clock.step("analysis_decode"):
        return prepare_picture(descriptor, limits, detail="original-detail" in needs, camera="camera" in needs)


def _run(
    order: AnalysisOrder, picture: AnalysisPicture, clock: StepClock, analyzers: Mapping[str, Analyzer]
) -> AnalysisOutcome:
    analyzer = analyzers[order.analyzer]
    outcome = AnalysisOutcome(order.analyzer, analyzer.version, order.parameters, None, ANALYZER_FAILED)
    try:
        with clock.step(f"analyze_{order.analyzer}"):
            parameters = analyzer.spec.parameters.model_validate(order.parameters)
            result = rounded(analyzer.analyze(picture, parameters).model_dump(mode="json"))
    except PictureRejected as rejection:
        return replace(outcome, failure=rejection.code)
    except ModelUnavailable as error:
        return replace(outcome, failure=error.code, place=str(error))
    except Exception as error:  # noqa: BLE001 - whatever a picture does to an analyzer, the others still run
        return replace(outcome, place=place_of(error))
    return replace(outcome, result=result, failure=None)
