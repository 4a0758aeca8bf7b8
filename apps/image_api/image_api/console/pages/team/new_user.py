"""`/console/people/new`: a user for a program, with a first API key."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from image_api.actor import Role, Scope
from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, render, show_again_if_refused, show_secret
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.team.chooser import choose_team
from image_api.console.pages.team.people import PEOPLE, Admin
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.idempotency.route import CreationDep
from image_api.teams import service as teams
from image_api.users import schemas, service

router = APIRouter(prefix=PEOPLE, include_in_schema=False, route_class=PageRoute)
_CREATE = same_as("POST /api/v1/teams/{team_id}/users")


@router.get("/new", openapi_extra=_CREATE)
async def show_new(request: Request, actor: Admin, services: ServicesDep, team_id: TeamQuery = None) -> Response:
    """Show the form for a new user."""
    if team_id is None:
        return await choose_team(request, actor, "New user")
    team = await teams.get_team(services.database, actor, team_id)
    return _page(request, team_id, team["name"], Form(()), None)


def _page(request: Request, team_id: UUID | None, team_name: str, form: Form, refusal: Refusal | None) -> Response:
    values = {
        "name": form.get("name"), "role": form.get("role") or "member", "team_name": team_name, "refusal": refusal,
        "email": form.get("email"), "scopes": form.all("scopes"), "all_scopes": [scope.value for scope in Scope],
        "roles": [(role.value, role.value) for role in Role],
    }  # fmt: skip
    return render(request, "user_new.html", values, team_id=team_id)


@router.post("", openapi_extra=_CREATE)
async def create(
    request: Request, actor: Admin, form: FormDep, services: ServicesDep, transaction: CreationDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Create a user and show its first key once."""
    owner_id = await teams.owning_team(services.database, actor, team_id)
    team = await teams.get_team(services.database, actor, owner_id)
    show_again_if_refused(request, lambda refusal: _page(request, team_id, team["name"], form, refusal))
    body = form.parse(
        schemas.NewUser, "name", "role", email=form.get("email").strip() or None, scopes=form.all("scopes") or None
    )
    created = await service.create_user(transaction, actor, owner_id, body.model_dump())
    return show_secret(
        request, "The first key", created.key.api_key, back=PEOPLE, team_id=team_id, label="API key",
        lead=f"For {body.name} in {team['name']}, as {body.role}. It works at once.", is_api_key=True,
    )  # fmt: skip
