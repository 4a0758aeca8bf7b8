"""`/console/dead-letters`: messages that no attempt could deliver, to publish again or to discard."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.console.forms import FormDep
from image_api.console.frame import go_to, render
from image_api.console.page_route import PageRoute, same_as
from image_api.console.policy import HOME
from image_api.dead_letters import service
from image_api.dependencies import CursorQuery, ServicesDep, TeamQuery, TransactionDep
from image_api.http.pagination import DEFAULT_LIMIT, page_of
from image_core.states import DeadLetterStatus

DEAD_LETTERS = f"{HOME}/dead-letters"
router = APIRouter(prefix=DEAD_LETTERS, include_in_schema=False, route_class=PageRoute)
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]


@router.get("", openapi_extra=same_as("GET /api/v1/admin/dead-letters"))
async def show(
    request: Request, actor: Admin, services: ServicesDep, cursor: CursorQuery = None, team_id: TeamQuery = None
) -> Response:
    """Show the open dead letters, newest first."""
    rows = await service.list_dead_letters(
        services.database, actor, DeadLetterStatus.OPEN, cursor, DEFAULT_LIMIT + 1
    )  # fmt: skip
    page = page_of(rows, DEFAULT_LIMIT, lambda row: service.body_of(services.settings, row))
    values = {"letters": page["items"], "next_cursor": page["next_cursor"], "is_first": cursor is None}
    return render(request, "dead_letters.html", values, team_id=team_id)


@router.post(
    "/{dead_letter_id}/redrive", openapi_extra=same_as("POST /api/v1/admin/dead-letters/{dead_letter_id}/redrive")
)
async def redrive(
    actor: Admin, form: FormDep, services: ServicesDep, dead_letter_id: UUID, team_id: TeamQuery = None
) -> Response:  # fmt: skip
    """Publish a dead letter again."""
    del form  # Read for its token.
    await service.redrive(services, actor, dead_letter_id)
    return go_to(DEAD_LETTERS, team_id)


@router.post(
    "/{dead_letter_id}/discard", openapi_extra=same_as("POST /api/v1/admin/dead-letters/{dead_letter_id}/discard")
)
async def discard(
    actor: Admin, form: FormDep, transaction: TransactionDep, dead_letter_id: UUID, team_id: TeamQuery = None
) -> Response:  # fmt: skip
    """Mark a dead letter as not needed."""
    del form  # Read for its token.
    await service.discard(transaction, actor, dead_letter_id)
    return go_to(DEAD_LETTERS, team_id)
