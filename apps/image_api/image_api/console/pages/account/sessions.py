"""`/console/sessions`: where a person is signed in, and how to end that."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope, RequireSession
from image_api.console.forms import read_form
from image_api.console.frame import go_to, render, signed_out
from image_api.console.page_route import PageRoute, same_as
from image_api.console.policy import HOME
from image_api.dependencies import ServicesDep, TeamQuery, TransactionDep
from image_api.people import service as people

SESSIONS = f"{HOME}/sessions"
router = APIRouter(prefix=SESSIONS, include_in_schema=False, route_class=PageRoute)
Holder = Annotated[Actor, Depends(RequireScope(Scope.KEYS_SELF, key_sessions=False))]
Person = Annotated[Actor, Depends(RequireSession())]
_FORM = [Depends(read_form)]


@router.get("", openapi_extra=same_as("GET /api/v1/auth/sessions"))
async def show(request: Request, actor: Holder, services: ServicesDep, team_id: TeamQuery = None) -> Response:
    """List the active sessions, newest first."""
    sessions = await people.sessions(services.database, actor)
    return render(request, "sessions.html", {"sessions": sessions}, team_id=team_id)


@router.post(
    "/{session_id}/end",
    dependencies=_FORM,
    openapi_extra=same_as("DELETE /api/v1/auth/sessions/{session_id}"),
)
async def end(
    session_id: UUID, actor: Holder, transaction: TransactionDep, services: ServicesDep, team_id: TeamQuery = None
) -> Response:
    """End one session."""
    await people.end_session(transaction, actor, session_id)
    transaction.on_commit.append(lambda: services.session_cache.forget_user(actor.user_id))
    return go_to(SESSIONS, team_id)


@router.post("/end-all", dependencies=_FORM, openapi_extra=same_as("POST /api/v1/auth/logout"))
async def end_all(actor: Person, transaction: TransactionDep, services: ServicesDep) -> Response:
    """End all sessions, this one too."""
    await people.sign_out(transaction, actor, everywhere=True)
    transaction.on_commit.append(lambda: services.session_cache.forget_user(actor.user_id))
    return signed_out(services)
