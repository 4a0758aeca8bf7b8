"""HTTP of what admins do for people: invitations and password resets."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import CursorQuery, LimitQuery, ServicesDep, TransactionDep
from image_api.http.pagination import DEFAULT_LIMIT, page_of
from image_api.idempotency.route import CreationDep, IdempotentRoute
from image_api.people import accounts, schemas

router = APIRouter(tags=["people"], route_class=IdempotentRoute)
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN, key_sessions=False))]


@router.post("/teams/{team_id}/invitations", status_code=201, response_model=schemas.CreatedInvitation)
async def invite(
    team_id: UUID, body: schemas.NewInvitation, actor: Admin, transaction: CreationDep, response: Response
) -> Any:
    """Invite a person into a team. The token is shown only in this response; no message is sent to the person."""
    issued = await accounts.invite(transaction, actor, team_id, body)
    response.headers["Cache-Control"] = "no-store"
    return {**dict(issued.row), "token": issued.token}


@router.get("/teams/{team_id}/invitations", response_model=schemas.InvitationPage)
async def list_invitations(
    team_id: UUID, actor: Admin, services: ServicesDep, limit: LimitQuery = DEFAULT_LIMIT, cursor: CursorQuery = None
) -> Any:
    """List the invitations of a team, newest first."""
    rows = await accounts.list_invitations(services.database, actor, team_id, cursor, limit + 1)
    return page_of(rows, limit)


@router.delete("/teams/{team_id}/invitations/{invitation_id}", status_code=204)
async def revoke_invitation(team_id: UUID, invitation_id: UUID, actor: Admin, transaction: TransactionDep) -> None:
    """Revoke an invitation that has not been accepted."""
    await accounts.revoke_invitation(transaction, actor, team_id, invitation_id)


@router.post("/users/{user_id}/password-reset", status_code=201, response_model=schemas.IssuedPasswordReset)
async def issue_reset(
    user_id: UUID,
    actor: Admin,
    transaction: CreationDep,
    response: Response,
    body: schemas.NewPasswordReset | None = None,
) -> Any:
    """Issue a password reset. The token is shown only in this response; no message is sent to the user."""
    options = body or schemas.NewPasswordReset.model_validate({})
    issued = await accounts.issue_reset(transaction, actor, user_id, options.expires_in_seconds)
    response.headers["Cache-Control"] = "no-store"
    return {**dict(issued.row), "token": issued.token}
