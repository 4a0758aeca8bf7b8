"""The choice of a team, before a page of one team is shown to an admin, who has none."""

from uuid import UUID

from fastapi import Request, Response

from image_api.actor import Actor
from image_api.console.frame import render
from image_api.http.pagination import DEFAULT_LIMIT
from image_api.services import Services
from image_api.teams import service as teams


async def choose_team(request: Request, actor: Actor, title: str) -> Response:
    """Return the page that leads to the same address with a team."""
    services: Services = request.app.state.services
    found = await teams.list_teams(services.database, actor, None, DEFAULT_LIMIT + 1)
    values = {"title": title, "teams": found[:DEFAULT_LIMIT], "has_more": len(found) > DEFAULT_LIMIT}
    return render(request, "choose_team.html", values)


async def name_of_team(services: Services, actor: Actor, team_id: UUID | None) -> str | None:
    """Return the name of the team that an admin has chosen; None for a caller with a team of its own."""
    if not actor.is_admin or team_id is None:
        return None
    return (await teams.team_names(services.database, actor, [team_id])).get(team_id)
