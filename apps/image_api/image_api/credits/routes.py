"""HTTP of credits."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.credits import schemas, service
from image_api.dependencies import CursorQuery, LimitQuery, ServicesDep, TeamQuery, TransactionDep
from image_api.http.pagination import DEFAULT_LIMIT, page_of
from image_api.idempotency.route import CreationDep, IdempotentRoute

router = APIRouter(tags=["credits"], route_class=IdempotentRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.USAGE_READ))]
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]
_NO_TEAM: dict[int | str, dict[str, Any]] = {404: {"description": "The team does not exist, or you may not see it."}}


@router.get("/credits", response_model=schemas.Credits, responses=_NO_TEAM)
async def get_credits(actor: Reader, services: ServicesDep, team_id: TeamQuery = None) -> Any:
    """Get the balance of the team, its reserved credits and its scheduled refill."""
    return await service.get_credits(services.database, actor, team_id)


@router.get("/credits/ledger", response_model=schemas.LedgerPage, responses=_NO_TEAM)
async def list_entries(
    actor: Reader,
    services: ServicesDep,
    team_id: TeamQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
    cursor: CursorQuery = None,
) -> Any:
    """List every change of the team's balance, newest first. The amounts add up to the balance."""
    rows = await service.list_entries(services.database, actor, team_id, cursor, limit + 1)
    return page_of(rows, limit)


@router.post(
    "/teams/{team_id}/credits/refill",
    response_model=schemas.Refilled,
    responses={409: {"description": "The balance is smaller than the amount to subtract."}},
)
async def refill(team_id: UUID, body: schemas.Refill, actor: Admin, transaction: CreationDep) -> Any:
    """Set a team's balance, or add to or subtract from it."""
    kind, amount = body.change
    entry = await service.refill(transaction, actor, team_id, kind, amount, body.reason)
    return {"balance": entry["balance_after"], "entry": dict(entry)}


@router.patch("/teams/{team_id}/credits", response_model=schemas.Credits)
async def change_credits(team_id: UUID, body: schemas.CreditsPatch, actor: Admin, transaction: TransactionDep) -> Any:
    """Change a team's scheduled refill and the threshold of `quota.low` (JSON merge patch, RFC 7396)."""
    return await service.change_credits(transaction, actor, team_id, body.model_dump(exclude_unset=True))
