"""The endpoint through which the scheduler starts a sweep. Nobody else may call it."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response

from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import sweep
from image_core import errors
from image_core.intake.identity import TokenRejected, verify
from image_core.telemetry import log

router = APIRouter()

_LATER = {"Retry-After": "5"}


async def _refuse(parts: TaskParts, authorization: str | None) -> Response | None:
    """Return the response to anyone but the scheduler's account; None for that account."""
    settings = parts.settings
    try:
        await verify(
            authorization, parts.issuer_keys, issuer=settings.push_issuer, audience=settings.tasks_audience,
            email=settings.scheduler_service_account_email,
        )  # fmt: skip
    except TokenRejected as rejection:
        log("push_refused", severity="WARNING", reason=str(rejection))
        return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})
    except errors.Unavailable:
        return Response(status_code=503, headers=_LATER)
    return None


@router.post("/tasks/sweep")
async def run_sweep(request: Request, authorization: Annotated[str | None, Header()] = None) -> Any:
    """Repair what was left behind; called by the scheduler."""
    parts: TaskParts = request.app.state.parts
    if refused := await _refuse(parts, authorization):
        return refused
    try:
        return await sweep(parts, request.app.state.steps)
    except errors.Unavailable:
        return Response(status_code=503, headers=_LATER)
