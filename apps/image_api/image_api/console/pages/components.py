"""`/console/_components`: every component in every state, for those who change the style sheet."""

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from image_api.console.frame import render
from image_api.console.page_route import PageRoute
from image_api.console.policy import HOME
from image_api.dependencies import ServicesDep

router = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)


@router.get("/_components")
async def components(request: Request, services: ServicesDep) -> Response:
    """Show the components, on the local cloud only."""
    if not services.settings.is_local:
        raise HTTPException(404)
    return render(request, "components.html")
