"""One analysis: claim the row, fetch the bytes, run the analyzer in a worker, store its result, settle the price.

A message delivered twice is processed and paid once: the claim decides who works, its token decides whose result
counts, and the reservation is settled in the transaction that ends the row.
"""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import anyio
import orjson

from image_core import errors, events
from image_core.analyses import failures
from image_core.analyses.catalogue import CATALOGUE, VISION_VERSION, canonical_result
from image_core.analyses.results import LabelsParameters
from image_core.analyses.transitions import EXHAUSTED
from image_core.billing import credits
from image_core.events import EventType
from image_core.states import AnalysisStatus, Failure
from image_core.telemetry import log, log_unexpected, span
from image_engine.contract.answers import AnalysisOutcome
from image_engine.contract.picture_file import PictureFile, open_picture_file
from image_engine.contract.rejections import REJECTION_MESSAGES, PictureRejected
from image_engine.contract.requests import AnalysisOrder, AnalysisRequest, ProcessingRequest
from image_engine.models.description import MODEL_FAILURES
from image_processor.analyses import queries
from image_processor.analyses.queries import AnalysisClaim
from image_processor.failures import TransientFailure, Verdict, judge
from image_processor.parts import Outcome, Parts, committing, fetch, run_in_slot
from image_processor.vision import VISION_PRESET, VisionRefused, VisionUnavailable

FAILURE_MESSAGES: dict[str, str] = {
    **{str(code): message for code, message in REJECTION_MESSAGES.items()},
    "analyzer-failed": "The analyzer failed on this image. The error has been reported.",
    "model-missing": "The analyzer's model is missing. The error has been reported.",
    "model-broken": "The analyzer's model cannot be used. The error has been reported.",
    "vision-refused": "Cloud Vision refused the request. The error has been reported.",
    "image-gone": "The image was removed before it could be analyzed.",
}


async def handle(parts: Parts, analysis_id: UUID) -> Outcome:
    """Run the analysis that a message names.

    Raises:
        errors.Unavailable: The database is unavailable.
    """
    return await run_in_slot(parts, lambda: _handle(parts, analysis_id))


async def _handle(parts: Parts, analysis_id: UUID) -> Outcome:
    async with parts.database.transaction() as transaction:
        claimed = await queries.claim(transaction, analysis_id, parts.settings.max_attempts, parts.lease)
    if claimed is None:
        return await _not_claimed(parts, analysis_id)
    with (
        span(parts.tracer_provider, "analyse picture", claimed.trace_parent, analysis_id=str(analysis_id)),
        open_picture_file() as picture,
    ):
        try:
            return await _work(parts, claimed, picture)
        except TransientFailure as error:
            log("analysis_will_be_tried_again", severity="WARNING", analysis_id=str(analysis_id), reason=str(error))
            return Outcome.LATER


async def _not_claimed(parts: Parts, analysis_id: UUID) -> Outcome:
    """Find out why nothing was claimed: the analysis is done, was given up, or is claimed by another job."""
    async with committing(parts) as transaction:
        exhausted = await queries.give_up(transaction, analysis_id, parts.settings.max_attempts)
        if exhausted is not None:
            await failures.refund_and_record(
                transaction, analysis_id, exhausted["team_id"], exhausted["analyzer"], exhausted["reservation_id"],
                EXHAUSTED.code,
            )  # fmt: skip
            return Outcome.DONE
    status = await queries.find_status(parts.database, analysis_id)
    return Outcome.LATER if status in (AnalysisStatus.REQUESTED, AnalysisStatus.RUNNING) else Outcome.DONE


async def _work(parts: Parts, claimed: AnalysisClaim, picture: PictureFile) -> Outcome:
    """Bring a claimed row to its final state. If the work ends early, release the claim."""
    try:
        # Slightly shorter than the lease, so that the claim can still be released.
        async with asyncio.timeout(parts.settings.lease_seconds * 0.9):
            return await _run_to_end(parts, claimed, picture)
    except Exception as error:
        await _release_claim(parts, claimed, counted=judge(error) is not Verdict.GIVEN_BACK)
        raise TransientFailure(type(error).__name__) from error
    except BaseException:
        await _release_claim(parts, claimed, counted=False)
        raise


async def _run_to_end(parts: Parts, claimed: AnalysisClaim, picture: PictureFile) -> Outcome:
    """Analyze the picture and end the row, also if there can never be a result."""
    try:
        if not await _fetch(parts, claimed, picture):
            return await _fail(parts, claimed, "image-gone")
        outcome = await _analyze(parts, claimed, picture)
        if outcome.result is None:
            return await _fail(parts, claimed, outcome.failure or "analyzer-failed")
        return await _finish(parts, claimed, outcome.result)
    except PictureRejected as rejection:
        return await _fail(parts, claimed, rejection.code)
    except Exception as error:
        if judge(error) is not Verdict.FINAL:
            raise
        log_unexpected(error, analysis_id=str(claimed.analysis_id), analyzer=claimed.analyzer)
        return await _fail(parts, claimed, "processing-crashed")


async def _fetch(parts: Parts, claimed: AnalysisClaim, picture: PictureFile) -> bool:
    """Write the bytes into `picture`; return False if nothing holds them any more."""
    source = await queries.find_source(parts.database, claimed.team_id, claimed.sha256)
    # An image outlives objects in the scratch bucket.
    storage = parts.scratch if source is None else parts.originals
    source = source or claimed.scratch
    if source is None:
        return False
    fetched = await fetch(parts, storage, source.object_name, source.generation, picture)
    if fetched.sha256 != claimed.sha256:
        raise errors.StorageUnavailable("The object read is not the one that was stored.")
    return True


async def _analyze(parts: Parts, claimed: AnalysisClaim, picture: PictureFile) -> AnalysisOutcome:
    order = AnalysisOrder(claimed.analyzer, orjson.loads(claimed.parameters))
    if claimed.version == VISION_VERSION:
        return await _ask_vision(parts, claimed, order, picture)
    analyzed = await parts.pool.analyze(picture, AnalysisRequest((order,), parts.settings.limits))
    outcome = analyzed.outcomes[0]
    if outcome.version != claimed.version and outcome.failure not in MODEL_FAILURES:
        # Requested of another release during a deployment: its own instances will take the message.
        raise TransientFailure("another version")
    if outcome.place is not None:
        log("analyzer_failed", severity="ERROR", analyzer=claimed.analyzer, place=outcome.place)
    return outcome


async def _ask_vision(
    parts: Parts, claimed: AnalysisClaim, order: AnalysisOrder, picture: PictureFile
) -> AnalysisOutcome:
    """Send a reduced copy that consists of pixels only, in a format that Cloud Vision reads."""
    request = ProcessingRequest((VISION_PRESET,), parts.settings.limits, keep_location=False, embed=False)
    (reduced,) = (await parts.pool.process(picture, request)).derivatives
    outcome = AnalysisOutcome(order.analyzer, VISION_VERSION, order.parameters, None, None)
    try:
        result = await parts.vision.label(reduced.content, LabelsParameters.model_validate(order.parameters))
    except VisionUnavailable as error:
        log("vision_unavailable", severity="WARNING", analysis_id=str(claimed.analysis_id), reason=str(error))
        raise TransientFailure("Cloud Vision") from error
    except VisionRefused as error:
        log("vision_refused", severity="ERROR", analysis_id=str(claimed.analysis_id), reason=str(error))
        return replace(outcome, failure="vision-refused")
    return replace(outcome, result=result.model_dump(mode="json"))


async def _finish(parts: Parts, claimed: AnalysisClaim, result: dict[str, Any]) -> Outcome:
    text = canonical_result(CATALOGUE[claimed.analyzer], result).decode()
    async with committing(parts) as transaction:
        if not await queries.finish(transaction, claimed, text):
            return _claim_lost(parts, claimed)
        if claimed.reservation_id is not None:
            await credits.commit(transaction, claimed.reservation_id)
        payload = {"analysis_id": str(claimed.analysis_id), "analyzer": claimed.analyzer}
        await events.record(transaction, events.team_event(EventType.ANALYZED, claimed.team_id, payload))
    await _remove_scratch(parts, claimed)
    parts.metrics.analyses.labels(claimed.analyzer, "done").inc()
    log("analysis_done", analysis_id=str(claimed.analysis_id), analyzer=claimed.analyzer)
    return Outcome.DONE


async def _fail(parts: Parts, claimed: AnalysisClaim, code: str) -> Outcome:
    async with committing(parts) as transaction:
        if not await queries.fail(transaction, claimed, Failure(code, FAILURE_MESSAGES[code])):
            return _claim_lost(parts, claimed)
        await failures.refund_and_record(
            transaction, claimed.analysis_id, claimed.team_id, claimed.analyzer, claimed.reservation_id, code
        )
    await _remove_scratch(parts, claimed)
    parts.metrics.analyses.labels(claimed.analyzer, code).inc()
    log("analysis_failed", analysis_id=str(claimed.analysis_id), analyzer=claimed.analyzer, code=code)
    return Outcome.DONE


def _claim_lost(parts: Parts, claimed: AnalysisClaim) -> Outcome:
    """Leave the row, and the file sent for it, to the job that works on it now."""
    log("analysis_lost_its_claim", severity="WARNING", analysis_id=str(claimed.analysis_id))
    parts.metrics.analyses.labels(claimed.analyzer, "lost").inc()
    return Outcome.DONE


async def _remove_scratch(parts: Parts, claimed: AnalysisClaim) -> None:
    """Remove the file that was sent only to be analyzed; if that fails, the bucket's lifecycle removes it."""
    if claimed.scratch is None:
        return
    try:
        await parts.scratch.delete(claimed.scratch.object_name, claimed.scratch.generation)
    except errors.StorageUnavailable:
        log("scratch_object_left", severity="WARNING", analysis_id=str(claimed.analysis_id))


async def _release_claim(parts: Parts, claimed: AnalysisClaim, *, counted: bool) -> None:
    """Release the claim, also during cancellation; a claim that cannot be released expires with its lease."""
    with anyio.CancelScope(shield=True), anyio.move_on_after(3):
        try:
            async with parts.database.transaction() as transaction:
                await queries.release(transaction, claimed, counted=counted)
        except errors.DatabaseUnavailable:
            log("claim_not_released", severity="WARNING", analysis_id=str(claimed.analysis_id))
