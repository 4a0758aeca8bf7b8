"""`/console/teams`: all teams, and new ones, for admins."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.team.people import PEOPLE
from image_api.console.policy import HOME
from image_api.dependencies import CursorQuery, ServicesDep, TeamQuery
from image_api.http.pagination import DEFAULT_LIMIT, next_cursor
from image_api.idempotency.route import CreationDep
from image_api.teams import schemas, service
from image_core.storage.sizes import format_size

TEAMS = f"{HOME}/teams"
router = APIRouter(prefix=TEAMS, include_in_schema=False, route_class=PageRoute)
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]
_CREATE = same_as("POST /api/v1/teams")


@router.get("", openapi_extra=same_as("GET /api/v1/teams", "POST /api/v1/teams"))
async def show(
    request: Request, actor: Admin, services: ServicesDep, team_id: TeamQuery = None, cursor: CursorQuery = None,
    done: Annotated[Literal["removed"] | None, Query()] = None,
) -> Response:  # fmt: skip
    """List the teams, newest first, with the pages of each."""
    found = await service.list_teams(services.database, actor, cursor, DEFAULT_LIMIT + 1)
    totals = await service.team_totals(services.database, actor, [row["id"] for row in found[:DEFAULT_LIMIT]])
    values = {
        "teams": found[:DEFAULT_LIMIT], "totals": totals, "default_quota": services.settings.default_quota,
        "format_size": format_size, "next_cursor": next_cursor(found, DEFAULT_LIMIT), "is_first": cursor is None,
        "chosen_id": team_id, "done": done,
    }  # fmt: skip
    return render(request, "teams.html", values, team_id=team_id)


@router.get("/new", openapi_extra=_CREATE)
async def show_new(request: Request, _actor: Admin) -> Response:
    """Show the form for a new team."""
    return _new_page(request, Form(()), None)


def _new_page(request: Request, form: Form, refusal: Refusal | None) -> Response:
    values = {"name": form.get("name"), "refusal": refusal}
    return render(request, "team_new.html", values)


@router.post("", openapi_extra=_CREATE)
async def create(
    request: Request, actor: Admin, form: FormDep, services: ServicesDep, transaction: CreationDep
) -> Response:
    """Create a team, and go on to its people."""
    show_again_if_refused(request, lambda refusal: _new_page(request, form, refusal))
    body = form.parse(schemas.NewTeam, "name")
    created = await service.create_team(transaction, actor, body.model_dump(), services.settings)
    return go_to(PEOPLE, created["id"])
