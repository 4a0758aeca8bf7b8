"""`/console/users`: the users of all teams, for admins."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.console.frame import go_to, render
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.keys.keys import keys_path
from image_api.console.policy import HOME
from image_api.dependencies import CursorQuery, ServicesDep, TeamQuery
from image_api.http.pagination import DEFAULT_LIMIT, next_cursor
from image_api.teams import service as teams
from image_api.users import service as users

USERS = f"{HOME}/users"
router = APIRouter(prefix=USERS, include_in_schema=False, route_class=PageRoute)
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]


@router.get("", openapi_extra=same_as("GET /api/v1/users", "GET /api/v1/teams"))
async def show(
    request: Request, actor: Admin, services: ServicesDep, q: Annotated[str, Query(max_length=255)] = "",
    cursor: CursorQuery = None, team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Show the users whose name or e-mail address contains the text, newest first; without a text all."""
    text = " ".join(q.split())
    if text != q:
        return go_to(USERS, team_id, q=text)
    rows = await users.find_users(services.database, actor, text or None, cursor, DEFAULT_LIMIT + 1)
    team_ids = {row["team_id"] for row in rows} - {None}
    values = {
        "users": rows[:DEFAULT_LIMIT], "next_cursor": next_cursor(rows, DEFAULT_LIMIT), "is_first": cursor is None,
        "q": text, "team_names": await teams.team_names(services.database, actor, team_ids), "keys_path": keys_path,
    }  # fmt: skip
    return render(request, "users.html", values, team_id=team_id)
