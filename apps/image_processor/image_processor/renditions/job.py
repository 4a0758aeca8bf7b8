"""One picture made in the background: look up what it is, make it on an idle worker, keep it.

A message delivered twice, late or out of order makes nothing twice and nothing outdated: image, preset and what is
stored are read when the work begins, and the row is only inserted if the image is still the same.
"""

import asyncio
import time

from image_core import errors
from image_core.states import Failure
from image_core.telemetry import log, log_unexpected, span
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.rejections import REJECTION_MESSAGES, PictureRejected
from image_processor.failures import Verdict, judge
from image_processor.messages import RenditionRequested
from image_processor.parts import Outcome, Parts, run_on_idle_worker
from image_processor.renditions import making, queries, storing
from image_processor.renditions.targets import Target, find_target


async def handle(parts: Parts, request: RenditionRequested) -> Outcome:
    """Make the picture that a message asks for.

    Raises:
        errors.Unavailable: The database is unavailable.
    """
    if await _find(parts, request) is None:
        return Outcome.DONE
    return await run_on_idle_worker(parts, lambda: _handle(parts, request))


async def _handle(parts: Parts, request: RenditionRequested) -> Outcome:
    # Whoever waited for a worker may find that another message has had it made.
    target = await _find(parts, request)
    if target is None:
        return Outcome.DONE
    with span(parts.tracer_provider, "make rendition", request.trace_parent, image_id=str(request.image_id)):
        return await _work(parts, target)


async def _find(parts: Parts, request: RenditionRequested) -> Target | None:
    """Return what is to be made; None where the request is outdated, or settled."""
    target = await find_target(parts.database, request)
    if target is None:
        parts.metrics.renditions.labels("outdated").inc()
        log("rendition_request_outdated", image_id=str(request.image_id), spec=request.spec, format=request.format)
        return None
    if not await _is_settled(parts, target):
        return target
    if target.is_eager:
        # It may have been made on demand.
        await queries.keep_eager(parts.database, target.key)
    parts.metrics.renditions.labels("settled").inc()
    return None


async def _is_settled(parts: Parts, target: Target) -> bool:
    if target.is_derivative:
        return await queries.is_derived(parts.database, target.key, target.spec)
    return await queries.is_settled(parts.database, target.key)


async def _work(parts: Parts, target: Target) -> Outcome:
    try:
        # Within the time limit of a request.
        async with asyncio.timeout(parts.settings.lease_seconds * 0.9):
            await _make(parts, target)
    except PictureRejected as rejection:
        await _remember(parts, target, rejection)
    except errors.Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 (`judge` decides)
        if judge(error) is not Verdict.FINAL:
            parts.metrics.renditions.labels("later").inc()
            reason = type(error).__name__
            log("rendition_will_be_tried_again", severity="WARNING", image_id=str(target.key.image_id), reason=reason)
            return Outcome.LATER
        log_unexpected(error, image_id=str(target.key.image_id))
        await _remember(parts, target, PictureRejected("processing-crashed"))
    return Outcome.DONE


async def _make(parts: Parts, target: Target) -> None:
    began_at = time.perf_counter()
    with open_picture_file() as picture:
        await making.fetch_source(parts, target, picture)
        with making.copied_whole(target, picture) as copied:
            made = copied or await making.render(parts, target, picture)
            is_kept = await storing.store(parts, target, made)
    seconds = time.perf_counter() - began_at
    parts.metrics.rendition_seconds.observe(seconds)
    parts.metrics.renditions.labels("made" if is_kept else "lost").inc()
    log(
        "rendition_made" if is_kept else "rendition_lost",
        image_id=str(target.key.image_id),
        team_id=str(target.image["team_id"]),
        spec=target.spec,
        format=target.key.format,
        size_bytes=made.size_bytes,
        seconds=round(seconds, 3),
    )


async def _remember(parts: Parts, target: Target, rejection: PictureRejected) -> None:
    """Remember a failure that a retry would meet again; image-delivery answers with its code."""
    failure = Failure(rejection.code, REJECTION_MESSAGES[rejection.code])
    await queries.remember_failure(parts.database, target.key, failure)
    parts.metrics.renditions.labels(rejection.code).inc()
    log("rendition_failed", severity="WARNING", image_id=str(target.key.image_id), spec=target.spec,
        format=target.key.format, code=rejection.code)  # fmt: skip
