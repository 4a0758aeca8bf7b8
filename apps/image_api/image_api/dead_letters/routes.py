"""HTTP of dead letters."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dead_letters import schemas, service
from image_api.dependencies import CursorQuery, LimitQuery, ServicesDep, TransactionDep
from image_api.guarded_route import GuardedRoute
from image_api.http.pagination import DEFAULT_LIMIT, page_of
from image_core.states import DeadLetterStatus

router = APIRouter(prefix="/admin/dead-letters", tags=["admin"], route_class=GuardedRoute)
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]
StatusQuery = Annotated[DeadLetterStatus | None, Query(description="Only dead letters with this status.")]


@router.get("", response_model=schemas.DeadLetterPage)
async def list_dead_letters(
    actor: Admin,
    services: ServicesDep,
    status: StatusQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
    cursor: CursorQuery = None,
) -> Any:
    """List messages that no attempt could deliver, newest first."""
    rows = await service.list_dead_letters(services.database, actor, status, cursor, limit + 1)
    return page_of(rows, limit, partial(service.body_of, services.settings))


@router.post(
    "/{dead_letter_id}/redrive",
    response_model=schemas.DeadLetter,
    responses={409: {"description": "The topic of the message is not known, or the message was too large to be kept."}},
)
async def redrive_dead_letter(dead_letter_id: UUID, actor: Admin, services: ServicesDep) -> Any:
    """Publish a dead letter to its topic again. Repeating it does no harm: the work is done once."""
    return service.body_of(services.settings, await service.redrive(services, actor, dead_letter_id))


@router.post("/{dead_letter_id}/discard", response_model=schemas.DeadLetter)
async def discard_dead_letter(
    dead_letter_id: UUID, actor: Admin, services: ServicesDep, transaction: TransactionDep
) -> Any:
    """Mark an open dead letter as not needed. One that is already handled stays as it is."""
    return service.body_of(services.settings, await service.discard(transaction, actor, dead_letter_id))
