"""Who may call `image-tasks`: the scheduler, which starts a sweep, and Pub/Sub's push account. Nobody else."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response
from pydantic import ValidationError

from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import run_nudged, sweep
from image_core import errors
from image_core.intake.envelope import PushEnvelope, PushMessage
from image_core.intake.identity import TokenRejected, verify
from image_core.intake.nudges import nudged_kind
from image_core.telemetry import log

router = APIRouter()

EventHandler = Callable[[TaskParts, UUID], Awaitable[bool]]
"""Is told the id of an event that was published; returns False if it must be told again later."""

LATER = {"Retry-After": "5"}


async def refuse(parts: TaskParts, authorization: str | None, email: str) -> Response | None:
    """Return the response to anyone but the account with this e-mail address; None for that account."""
    settings = parts.settings
    try:
        await verify(
            authorization, parts.issuer_keys, issuer=settings.push_issuer, audience=settings.tasks_audience,
            email=email,
        )  # fmt: skip
    except TokenRejected as rejection:
        log("push_refused", severity="WARNING", reason=str(rejection))
        return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})
    except errors.Unavailable:
        return Response(status_code=503, headers=LATER)
    return None


async def read_envelope(request: Request, authorization: str | None) -> PushEnvelope | Response:
    """Return what Pub/Sub pushes, or the response to anyone but its push account, who is refused before the body."""
    parts: TaskParts = request.app.state.parts
    if refused := await refuse(parts, authorization, parts.settings.push_service_account_email):
        return refused
    try:
        return PushEnvelope.model_validate_json(await request.body())
    except ValidationError as error:
        log("envelope_malformed", severity="ERROR", fields=[".".join(map(str, item["loc"])) for item in error.errors()])
        return Response(status_code=400, headers=LATER)


@router.post("/tasks/sweep")
async def run_sweep(request: Request, authorization: Annotated[str | None, Header()] = None) -> Any:
    """Run every step that is due; called by the scheduler."""
    parts: TaskParts = request.app.state.parts
    if refused := await refuse(parts, authorization, parts.settings.scheduler_service_account_email):
        return refused
    try:
        return await sweep(parts, request.app.state.steps)
    except errors.Unavailable:
        return Response(status_code=503, headers=LATER)


@router.post("/push/tasks")
async def push_task(request: Request, authorization: Annotated[str | None, Header()] = None) -> Response:
    """Run the step that a nudge names."""

    async def run(parts: TaskParts, message: PushMessage) -> bool:
        kind = nudged_kind(message)
        if kind is None:
            return _acknowledge_malformed(message)
        await run_nudged(parts, request.app.state.steps, kind)
        return True

    return await _take(request, authorization, run)


@router.post("/push/events")
async def push_event(request: Request, authorization: Annotated[str | None, Header()] = None) -> Response:
    """Tell every handler of an event."""

    async def tell(parts: TaskParts, message: PushMessage) -> bool:
        try:
            event_id = UUID(message.attributes["event_id"])
        except (KeyError, ValueError):
            return _acknowledge_malformed(message)
        return all([await handler(parts, event_id) for handler in request.app.state.event_handlers])

    return await _take(request, authorization, tell)


async def _take(
    request: Request, authorization: str | None, handle: Callable[[TaskParts, PushMessage], Awaitable[bool]]
) -> Response:
    envelope = await read_envelope(request, authorization)
    if isinstance(envelope, Response):
        return envelope
    try:
        is_done = await handle(request.app.state.parts, envelope.message)
    except errors.Unavailable as error:
        log("part_unavailable", severity="WARNING", code=error.code, reason=type(error.__cause__).__qualname__)
        is_done = False
    return Response(status_code=204) if is_done else Response(status_code=503, headers=LATER)


def _acknowledge_malformed(message: PushMessage) -> bool:
    """Log a message that none of our services sends: it would be the same when it came again."""
    log("message_malformed", severity="ERROR", message_id=message.message_id)
    return True
