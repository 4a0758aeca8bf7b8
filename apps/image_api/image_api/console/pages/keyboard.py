"""`/console/keyboard`: the keys of the console; `shortcuts.js` shows the same table in a dialog."""

from fastapi import APIRouter, Depends, Request, Response

from image_api.auth import RequireScope
from image_api.console.frame import render
from image_api.console.page_route import PageRoute, same_as
from image_api.console.policy import HOME
from image_api.dependencies import TeamQuery

router = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)


@router.get("/keyboard", dependencies=[Depends(RequireScope())], openapi_extra=same_as("GET /api/v1/whoami"))
async def show(request: Request, team_id: TeamQuery = None) -> Response:
    """List the keys."""
    return render(request, "keyboard.html", team_id=team_id)
