"""Every other path below `/console`: no such page, shown to those who have signed in."""

from fastapi import APIRouter, Depends, Response
from starlette.exceptions import HTTPException

from image_api.auth import RequireScope
from image_api.console.page_route import PageRoute, same_as
from image_api.console.policy import HOME


class _NoPage(PageRoute):
    checks_query = False


router = APIRouter(prefix=HOME, include_in_schema=False, route_class=_NoPage)


@router.get("/{name}", dependencies=[Depends(RequireScope())], openapi_extra=same_as("GET /api/v1/whoami"))
async def nowhere() -> Response:
    """Answer 404, with the navigation of the caller."""
    raise HTTPException(404)
