"""`/console/health`: what the checks of the system find now."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.console.frame import render
from image_api.console.page_route import PageRoute, same_as
from image_api.console.policy import HOME
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.system_health import service

router = APIRouter(prefix=f"{HOME}/health", include_in_schema=False, route_class=PageRoute)
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]


@router.get("", openapi_extra=same_as("GET /api/v1/system-health"))
async def show(request: Request, actor: Admin, services: ServicesDep, team_id: TeamQuery = None) -> Response:
    """Run the checks, and show what each found."""
    return render(request, "health.html", await service.examine(services, actor), team_id=team_id)
