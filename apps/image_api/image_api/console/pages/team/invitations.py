"""`/console/invitations`: invitations into a team, for admins."""

from datetime import UTC, datetime
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import Actor, Role
from image_api.console.forms import Form, FormDep, read_form
from image_api.console.frame import Refusal, go_to, public_url, render, show_again_if_refused, show_secret
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.team.chooser import choose_team, name_of_team
from image_api.console.pages.team.people import AdminPerson
from image_api.console.policy import HOME
from image_api.dependencies import CursorQuery, ServicesDep, TeamQuery, TransactionDep
from image_api.http.pagination import DEFAULT_LIMIT, next_cursor
from image_api.idempotency.route import CreationDep
from image_api.people import accounts, schemas
from image_api.services import Services
from image_api.teams import service as teams
from image_core.db import Record

INVITATIONS = f"{HOME}/invitations"
router = APIRouter(prefix=INVITATIONS, include_in_schema=False, route_class=PageRoute)
_CREATE = same_as("POST /api/v1/teams/{team_id}/invitations")
_REVOKE = same_as("DELETE /api/v1/teams/{team_id}/invitations/{invitation_id}")


@router.get("", openapi_extra=same_as("GET /api/v1/teams/{team_id}/invitations", "GET /api/v1/teams"))
async def show(
    request: Request, actor: AdminPerson, services: ServicesDep, team_id: TeamQuery = None, cursor: CursorQuery = None
) -> Response:
    """List the invitations into a team, newest first, and offer the form for another one."""
    if team_id is None:
        return await choose_team(request, actor, "Invitations")
    rows = await accounts.list_invitations(services.database, actor, team_id, cursor, DEFAULT_LIMIT + 1)
    values = {
        "invitations": rows[:DEFAULT_LIMIT], "next_cursor": next_cursor(rows, DEFAULT_LIMIT),
        "is_first": cursor is None, "team_name": await name_of_team(services, actor, team_id),
        "now": datetime.now(UTC), "listed_id": team_id,
    }  # fmt: skip
    return render(request, "invitations.html", values, team_id=team_id)


@router.get("/new", openapi_extra=_CREATE)
async def show_new(request: Request, actor: AdminPerson, services: ServicesDep, team_id: TeamQuery = None) -> Response:
    """Show the form for a new invitation."""
    if team_id is None:
        return await choose_team(request, actor, "Invite")
    team = await teams.get_team(services.database, actor, team_id)
    return _new_page(request, team_id, team["name"], Form(()), None)


async def _named_team(services: Services, actor: Actor, team_id: UUID | None) -> Record:
    """Return the team that the address names.

    Raises:
        errors.TeamRequired, errors.TeamNotFound.
    """
    owner_id = await teams.owning_team(services.database, actor, team_id)
    return await teams.get_team(services.database, actor, owner_id)


def _new_page(request: Request, team_id: UUID | None, team_name: str, form: Form, refusal: Refusal | None) -> Response:
    values = {
        "email": form.get("email"), "role": form.get("role") or "member",
        "lives": form.get("expires_in_seconds") or "604800", "team_name": team_name, "refusal": refusal,
        "roles": [(role.value, role.value) for role in Role],
    }  # fmt: skip
    return render(request, "invite.html", values, team_id=team_id)


@router.post("", openapi_extra=_CREATE)
async def invite(
    request: Request, actor: AdminPerson, form: FormDep, services: ServicesDep, transaction: CreationDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Invite somebody and show the address once."""
    team = await _named_team(services, actor, team_id)
    show_again_if_refused(request, lambda refusal: _new_page(request, team_id, team["name"], form, refusal))
    body = form.parse(schemas.NewInvitation, "email", "role", **form.lifetime())
    issued = await accounts.invite(transaction, actor, team["id"], body)
    return show_secret(
        request, "Invitation", f"{public_url(request)}{HOME}/join#{issued.token}", back=INVITATIONS,
        team_id=team_id, label="Address to pass on", ends_at=issued.row["expires_at"],
        lead=f"For {body.email}, into {team['name']} as {body.role}. Nothing is sent.",
    )  # fmt: skip


@router.post("/{invitation_id}/revoke", dependencies=[Depends(read_form)], openapi_extra=_REVOKE)
async def revoke(
    invitation_id: UUID, actor: AdminPerson, services: ServicesDep, transaction: TransactionDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Revoke an invitation that has not been accepted."""
    team = await _named_team(services, actor, team_id)
    await accounts.revoke_invitation(transaction, actor, team["id"], invitation_id)
    return go_to(INVITATIONS, team_id)
