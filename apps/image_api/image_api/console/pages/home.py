"""`/console`: who the caller is, and for admins the teams."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.console.frame import render
from image_api.console.page_route import PageRoute, same_as
from image_api.console.policy import HOME
from image_api.dependencies import CursorQuery, ServicesDep, TeamQuery
from image_api.http.pagination import DEFAULT_LIMIT, next_cursor
from image_api.people import service as people
from image_api.services import Services
from image_api.teams import service as teams
from image_api.users import service as users
from image_core.db import Record

router = APIRouter(include_in_schema=False, route_class=PageRoute)
Reader = Annotated[Actor, Depends(RequireScope())]


@router.get(HOME, openapi_extra=same_as("GET /api/v1/whoami", "GET /api/v1/teams", "GET /api/v1/teams/{team_id}"))
async def home(
    request: Request, actor: Reader, services: ServicesDep, team_id: TeamQuery = None, cursor: CursorQuery = None
) -> Response:
    """Show the caller, and let admins choose a team."""
    team = await _team(services, actor, team_id or actor.team_id)
    # With a key that lacks the scope, the role alone opens nothing else.
    chooses = actor.is_admin and Scope.ADMIN in actor.scopes
    found = await teams.list_teams(services.database, actor, cursor, DEFAULT_LIMIT + 1) if chooses else []
    values = {
        "team": team,
        "session": await people.current_session(services, actor) if actor.session_id else None,
        "credits_left": await users.credits_left(services.database, actor),
        "scopes": sorted(actor.scopes),
        "chooses": chooses,
        "teams": found[:DEFAULT_LIMIT],
        "next_cursor": next_cursor(found, DEFAULT_LIMIT),
        "is_first": cursor is None,
    }
    return render(request, "home.html", values, team_id=team_id)


async def _team(services: Services, actor: Actor, team_id: UUID | None) -> Record | None:
    return None if team_id is None else await teams.get_team(services.database, actor, team_id)
