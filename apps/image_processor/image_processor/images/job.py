"""One job: claim the row, fetch the bytes, run the pipeline in a worker, store what it made, update the row.

A message delivered twice is processed once: the claim decides who works, its token decides whose result counts.
"""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio

from image_core import errors, events
from image_core.capture.taken import capture_of
from image_core.db import Record, to_json
from image_core.delivery.rendition_requests import PROCESSED_FORMAT, SOURCE, needs_source, rendition_request
from image_core.events import EventType, OutboxEvent
from image_core.images.discards import schedule_removal
from image_core.images.failures import record_exhausted, record_failure
from image_core.images.object_names import Bucket
from image_core.images.presets import share_presets
from image_core.states import Failure, ImageStatus
from image_core.telemetry import log, log_unexpected, span
from image_engine.contract.answers import ProcessedPicture
from image_engine.contract.picture_file import PictureFile, open_picture_file
from image_engine.contract.rejections import PictureRejected
from image_engine.contract.requests import ProcessingRequest
from image_processor.failures import TransientFailure, Verdict, judge
from image_processor.images import on_arrival, queries, similarity
from image_processor.images.derivatives import presets_to_make, replace_rows, request_missing, store_derivatives
from image_processor.images.pending import complete_pending
from image_processor.images.queries import ImageClaim
from image_processor.messages import ObjectFinalized
from image_processor.parts import Outcome, Parts, committing, fetch, run_in_slot


async def handle(parts: Parts, finalized: ObjectFinalized) -> Outcome:
    """Process the image of a finalize event.

    Raises:
        errors.Unavailable: The database is unavailable.
    """
    return await run_in_slot(parts, lambda: _handle(parts, finalized))


async def _handle(parts: Parts, finalized: ObjectFinalized) -> Outcome:
    row = await _find_row(parts, finalized)
    if row is None:
        return Outcome.DONE
    parent = row["trace_parent"] or finalized.trace_parent
    with span(parts.tracer_provider, "process image", parent, image_id=str(row["id"])), open_picture_file() as picture:
        try:
            return await _claim_and_work(parts, finalized, row, picture)
        except TransientFailure as error:
            log("job_will_be_tried_again", severity="WARNING", image_id=str(row["id"]), reason=str(error))
            return Outcome.LATER


async def _claim_and_work(parts: Parts, finalized: ObjectFinalized, row: Record, picture: PictureFile) -> Outcome:
    sha256 = None
    if row["status"] == ImageStatus.PENDING:
        sha256 = await complete_pending(parts, row, finalized.generation, picture)
        if sha256 is None:
            return Outcome.DONE
    async with parts.database.transaction() as transaction:
        claimed = await queries.claim(
            transaction, row["id"], finalized.generation, parts.settings.max_attempts, parts.lease
        )
    if claimed is None:
        return await _not_claimed(parts, finalized)
    return await _work(parts, claimed, picture, sha256)


async def _find_row(parts: Parts, finalized: ObjectFinalized) -> Record | None:
    """Find the row that waits for this object; if there is none, schedule the object for removal."""
    row = None
    if finalized.bucket == parts.originals.bucket and finalized.image_id is not None:
        row = await queries.find(parts.database, finalized.image_id)
    if row is None or row["object_name"] != finalized.name or row["status"] == ImageStatus.EXPIRED:
        reason = "unknown" if row is None else "expired"
        parts.metrics.unknown_objects.labels(reason).inc()
        log("event_for_no_image", severity="WARNING", reason=reason, generation=finalized.generation)
        if finalized.bucket == parts.originals.bucket:
            async with parts.database.transaction() as transaction:
                await schedule_removal(transaction, Bucket.ORIGINALS, finalized.name, finalized.generation, parts.lease)
        return None
    if row["deleted_at"] is not None:
        return None
    return row


async def _not_claimed(parts: Parts, finalized: ObjectFinalized) -> Outcome:
    """Find out why nothing was claimed: done, in progress, given up, or an event of another generation."""
    if finalized.image_id is None:
        return Outcome.DONE
    async with committing(parts) as transaction:
        exhausted = await queries.give_up(transaction, finalized.image_id, parts.settings.max_attempts)
        if exhausted is not None:
            await record_exhausted(transaction, exhausted)
            return Outcome.DONE
    row = await queries.find(parts.database, finalized.image_id)
    if row is None or row["deleted_at"] is not None or row["generation"] is None:
        return Outcome.DONE
    if row["generation"] != finalized.generation:
        if finalized.generation > row["generation"]:
            # Our object names are written only once; a second write does not change the image.
            async with parts.database.transaction() as transaction:
                await schedule_removal(transaction, Bucket.ORIGINALS, finalized.name, finalized.generation, parts.lease)
        return Outcome.DONE
    # Another job holds a live lease; if it fails, the message is needed again.
    return Outcome.LATER if row["status"] in (ImageStatus.PROCESSING, ImageStatus.STORED) else Outcome.DONE


async def _work(parts: Parts, claimed: ImageClaim, picture: PictureFile, sha256: bytes | None) -> Outcome:
    """Bring a claimed row to its final state. If the work ends early, release the claim."""
    try:
        # Slightly shorter than the lease, so that the claim can still be released.
        async with asyncio.timeout(parts.settings.lease_seconds * 0.9):
            return await _make_ready(parts, claimed, picture, sha256)
    except Exception as error:
        await _release_claim(parts, claimed, counted=judge(error) is not Verdict.GIVEN_BACK)
        raise TransientFailure(type(error).__name__) from error
    except BaseException:
        await _release_claim(parts, claimed, counted=False)
        raise


async def _make_ready(parts: Parts, claimed: ImageClaim, picture: PictureFile, sha256: bytes | None) -> Outcome:
    """Process the picture and end the row, also if the picture can never be processed."""
    try:
        if sha256 is None:
            with span(parts.tracer_provider, "fetch original"):
                fetched = await fetch(parts, parts.originals, claimed.object_name, claimed.generation, picture)
                sha256 = fetched.sha256
        _check_same(sha256, claimed)
        with span(parts.tracer_provider, "decode and encode"):
            processed = await parts.pool.process(picture, await _request(parts, claimed))
        with span(parts.tracer_provider, "store derivatives"):
            rows = await store_derivatives(parts, claimed, processed.derivatives)
        with span(parts.tracer_provider, "mark ready"):
            return await _finish(parts, claimed, processed, rows)
    except PictureRejected as rejection:
        return await _fail(parts, claimed, rejection)
    except Exception as error:
        if judge(error) is not Verdict.FINAL:
            raise
        log_unexpected(error, image_id=str(claimed.image_id))
        return await _fail(parts, claimed, PictureRejected("processing-crashed"))


async def _request(parts: Parts, claimed: ImageClaim) -> ProcessingRequest:
    """Choose what to make of the picture; the last of several attempts omits optional work, which may be at fault."""
    required, optional = presets_to_make(claimed.eager)
    request = ProcessingRequest(required, parts.settings.limits, claimed.keep_location)
    if 1 < claimed.attempts >= parts.settings.max_attempts:
        return replace(request, embed=False)
    orders = await on_arrival.orders(parts.database, claimed, parts.pool.models.versions())
    return replace(request, analyses=orders, optional_presets=optional)


def _check_same(sha256: bytes, claimed: ImageClaim) -> None:
    if sha256 != claimed.sha256:
        raise errors.StorageUnavailable("The object read is not the one that was stored.")


_COLUMNS_OF_FACTS = {
    "width": "width_px",
    "height": "height_px",
    "frames": "frames",
    "format": "format",
    "content_type": "content_type",
}


async def _finish(
    parts: Parts, claimed: ImageClaim, processed: ProcessedPicture, rows: list[dict[str, Any]]
) -> Outcome:
    facts = processed.facts
    facts_json = facts.to_json()
    # A fact with a column of its own is not stored twice.
    values = {column: facts_json.pop(fact) for column, fact in _COLUMNS_OF_FACTS.items()}
    values |= capture_of(facts_json)._asdict()
    values |= {"facts": to_json(facts_json), "failure_code": None, "failure_message": None}
    try:
        async with committing(parts) as transaction:
            # First, because whoever changes presets locks them before anything else.
            presets = await share_presets(transaction, claimed.team_id)
            finished = await queries.finish(transaction, claimed, values)
            made = await replace_rows(parts, transaction, claimed, rows, presets)
            payload = {"width": facts.width_px, "height": facts.height_px, "presets": made}
            event = events.image_event(
                EventType.READY, claimed.image_id, claimed.team_id, finished.revision, payload, claimed.trace_parent
            )
            await events.record(transaction, event)
            if needs_source(facts.content_type, claimed.size_bytes, facts.width_px, facts.height_px):
                await events.record(transaction, _source_request(claimed))
            await request_missing(transaction, claimed, made, presets, finished.focal_point)
            await on_arrival.store(transaction, claimed, processed.analyses)
            # Last, because it serializes the images of a team.
            await similarity.store(transaction, claimed, facts.perceptual_hash, processed.vectors)
    except queries.ClaimLost:
        # Another job took over after the lease; the removal scheduled with the claim deletes what was written here.
        log("job_lost_its_claim", severity="WARNING", image_id=str(claimed.image_id))
        parts.metrics.jobs.labels("lost").inc()
        return Outcome.DONE
    parts.metrics.jobs.labels("ready").inc()
    for step, seconds in processed.step_seconds.items():
        parts.metrics.step_seconds.labels(step).observe(seconds)
    log(
        "image_ready",
        image_id=str(claimed.image_id),
        team_id=str(claimed.team_id),
        seconds_since_stored=_seconds_since_stored(claimed),
    )
    return Outcome.DONE


def _source_request(claimed: ImageClaim) -> OutboxEvent:
    """Build the request for what pictures of a large original are made of."""
    of_image = claimed.image_id, claimed.team_id, claimed.generation
    return rendition_request(*of_image, SOURCE, PROCESSED_FORMAT, claimed.trace_parent)


def _seconds_since_stored(claimed: ImageClaim) -> float | None:
    """Return the time that the freshness objective measures; None for an image that was ready before."""
    if claimed.first_stored_at is None:
        return None
    return max(0.0, round((datetime.now(UTC) - claimed.first_stored_at).total_seconds(), 3))


async def _fail(parts: Parts, claimed: ImageClaim, rejection: PictureRejected) -> Outcome:
    async with committing(parts) as transaction:
        failed = await queries.fail(transaction, claimed, Failure(rejection.code, rejection.message))
        if failed is not None:
            await record_failure(transaction, failed, rejection.code)
    parts.metrics.jobs.labels(rejection.code).inc()
    return Outcome.DONE


async def _release_claim(parts: Parts, claimed: ImageClaim, *, counted: bool) -> None:
    """Release the claim, also during cancellation; a claim that cannot be released expires with its lease."""
    parts.metrics.jobs.labels("given-back").inc()
    with anyio.CancelScope(shield=True), anyio.move_on_after(3):
        try:
            async with parts.database.transaction() as transaction:
                await queries.release(transaction, claimed, counted=counted)
        except errors.DatabaseUnavailable:
            log("claim_not_released", severity="WARNING", image_id=str(claimed.image_id))
