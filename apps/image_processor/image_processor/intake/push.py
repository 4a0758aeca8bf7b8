"""Push endpoints: a message becomes a job, and its outcome a status: 2xx acknowledges, anything else redelivers."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from pydantic import ValidationError

from image_core import errors
from image_core.intake.envelope import PushEnvelope, PushMessage
from image_core.intake.identity import TokenRejected, verify
from image_core.telemetry import log
from image_processor.analyses import job as analysis_job
from image_processor.images import job as image_job
from image_processor.messages import (
    MalformedMessage,
    analysis_requested,
    object_finalized,
    preset_removed,
    rendition_requested,
)
from image_processor.parts import Outcome, Parts
from image_processor.renditions import discarding
from image_processor.renditions import job as rendition_job

router = APIRouter()

_LATER = {"Retry-After": "5"}


async def _refused(request: Request, authorization: str | None) -> Response | None:
    """Return the response to anyone but the expected account; None for that account."""
    parts: Parts = request.app.state.parts
    try:
        await verify(
            authorization,
            request.app.state.issuer_keys,
            issuer=parts.settings.push_issuer,
            audience=parts.settings.push_audience,
            email=parts.settings.push_service_account_email,
        )
    except TokenRejected as rejection:
        log("push_refused", severity="WARNING", reason=str(rejection))
        return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})
    except errors.Unavailable:
        return Response(status_code=503, headers=_LATER)
    return None


Job = Callable[[Parts, PushMessage], Awaitable[Outcome]]


async def _upload(parts: Parts, message: PushMessage) -> Outcome:
    new = object_finalized(message)
    return Outcome.DONE if new is None else await image_job.handle(parts, new)


async def _analysis(parts: Parts, message: PushMessage) -> Outcome:
    return await analysis_job.handle(parts, analysis_requested(message))


async def _rendition(parts: Parts, message: PushMessage) -> Outcome:
    removed = preset_removed(message)
    if removed is not None:
        return await discarding.handle(parts, removed)
    return await rendition_job.handle(parts, rendition_requested(message))


@router.post("/push/uploads")
async def push_upload(request: Request, authorization: Annotated[str | None, Header()] = None) -> Response:
    """Handle one message of the topic that requests processing."""
    return await _take(request, authorization, _upload)


@router.post("/push/analyses")
async def push_analysis(request: Request, authorization: Annotated[str | None, Header()] = None) -> Response:
    """Handle one message of the topic that requests analyses."""
    return await _take(request, authorization, _analysis)


@router.post("/push/renditions")
async def push_rendition(request: Request, authorization: Annotated[str | None, Header()] = None) -> Response:
    """Handle one message of the topic that requests work on renditions in the background."""
    parts: Parts = request.app.state.parts
    return await _take(request, authorization, _rendition, parts.settings.push_renditions_max_delivery_attempts)


async def _take(request: Request, authorization: str | None, job: Job, max_attempts: int | None = None) -> Response:
    parts: Parts = request.app.state.parts
    redeliver = partial(_redeliver, parts, max_attempts or parts.settings.push_max_delivery_attempts)
    # The caller is authenticated before the body is read.
    if refused := await _refused(request, authorization):
        return refused
    try:
        envelope = PushEnvelope.model_validate_json(await request.body())
    except ValidationError as error:
        log("envelope_malformed", severity="ERROR", fields=[".".join(map(str, item["loc"])) for item in error.errors()])
        return Response(status_code=400, headers=_LATER)
    try:
        outcome = await job(parts, envelope.message)
    except MalformedMessage as error:
        # Not acknowledged: after the maximum number of deliveries it becomes a dead letter, which an operator can
        # inspect.
        log("message_malformed", severity="ERROR", reason=str(error), message_id=envelope.message.message_id)
        return redeliver(envelope, 400)
    except errors.Unavailable as error:
        log("part_unavailable", severity="WARNING", code=error.code, reason=type(error.__cause__).__qualname__)
        return redeliver(envelope, 503)
    return Response(status_code=204) if outcome is Outcome.DONE else redeliver(envelope, 503)


def _redeliver(parts: Parts, max_attempts: int, envelope: PushEnvelope, status: int) -> Response:
    if (envelope.delivery_attempt or 0) >= max_attempts:
        parts.metrics.dead_letters.inc()
        log("message_dead", severity="ERROR", message_id=envelope.message.message_id)
    return Response(status_code=status, headers=_LATER)
