"""`/` and `/api/v1`: the entry point for somebody who only knows the address."""

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
    """Send a browser to the console or the documentation, and tell everybody else where things are."""
    headers = {"vary": "Accept"}
    # Only browsers ask for HTML; other clients accept anything.
    if "text/html" in accept.lower():
        return RedirectResponse("/console" if request.url.path == "/" else "/docs", headers=headers)
    return JSONResponse(
        {
            "service": "image-manager",
            "version": request.app.version,
            "documentation": "/docs",
            "openapi": "/openapi.json",
            "asyncapi": "/asyncapi.json",
            "health": "/health/ready",
            "lists": _lists(request),
        },
        headers=headers,
    )


def _lists(request: Request) -> list[str]:
    """Return the paths that can be read directly; all others are reached from their responses."""
    described: dict[str, Any] = request.app.openapi()["paths"]
    return [
        path
        for path, item in described.items()
        if path.startswith(f"{API_PREFIX}/") and "{" not in path and "get" in item
    ]
