"""`/` and `/api/v1`: where somebody starts who knows nothing but the address."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from image_api.guarded_route import GuardedRoute
from image_api.http.paths import API_PREFIX

router = APIRouter(include_in_schema=False, route_class=GuardedRoute)


@router.get("/")
@router.get(API_PREFIX)
@router.get(f"{API_PREFIX}/")
def index(request: Request, accept: Annotated[str, Header()] = "") -> Response:
    """Send a browser to the documentation, and tell everybody else where things are."""
    headers = {"vary": "Accept"}
    # Only a browser names it; what is no browser takes anything.
    if "text/html" in accept.lower():
        return RedirectResponse("/docs", headers=headers)
    return JSONResponse(
        {
            "service": "image-manager",
            "version": request.app.version,
            "documentation": "/docs",
            "openapi": "/openapi.json",
            "health": "/health/ready",
            "lists": _lists(request),
        },
        headers=headers,
    )


def _lists(request: Request) -> list[str]:
    """The paths that can be read as they are; all others are reached from what these answer."""
    described: dict[str, Any] = request.app.openapi()["paths"]
    return [
        path
        for path, item in described.items()
        if path.startswith(f"{API_PREFIX}/") and "{" not in path and "get" in item
    ]
