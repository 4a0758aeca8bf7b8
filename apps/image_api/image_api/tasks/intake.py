"""Who may call `image-tasks`: the scheduler, which starts a sweep, and Pub/Sub's push account. Nobody else."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic import ValidationError

from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import sweep
from image_core import errors
from image_core.intake.envelope import PushEnvelope
from image_core.intake.identity import TokenRejected, verify
from image_core.telemetry import log

router = APIRouter()

_LATER = {"Retry-After": "5"}


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
        return Response(status_code=503, headers=_LATER)
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
        return Response(status_code=400, headers=_LATER)


@router.post("/tasks/sweep")
async def run_sweep(request: Request, authorization: Annotated[str | None, Header()] = None) -> Any:
    """Repair what was left behind; called by the scheduler."""
    parts: TaskParts = request.app.state.parts
    if refused := await refuse(parts, authorization, parts.settings.scheduler_service_account_email):
        return refused
    try:
        return await sweep(parts, request.app.state.steps)
    except errors.Unavailable:
        return Response(status_code=503, headers=_LATER)
