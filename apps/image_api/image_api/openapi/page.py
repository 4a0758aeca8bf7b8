"""`/docs`: Swagger UI from packaged files, so that it needs no other host and runs under a strict policy."""

from functools import cache
from importlib.resources import files
from typing import Literal

import orjson
from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from image_api.guarded_route import GuardedRoute
from image_core.feed.asyncapi import asyncapi_document

router = APIRouter(include_in_schema=False, route_class=GuardedRoute)

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>image-manager</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/docs/swagger-ui.css"></head><body><div id="ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>"""
PATHS = frozenset(
    {"/docs", "/docs/start.js", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/openapi.json", "/asyncapi.json"}
)
"""The page, what it loads, and the document of the events."""
_START = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#ui", deepLinking: true, persistAuthorization: false, displayRequestDuration: true,
  presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout"
});
"""
_POLICY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; connect-src 'self'",
}
_DAY = {"cache-control": "public, max-age=86400"}


@router.get("/docs", response_class=HTMLResponse)
async def docs() -> HTMLResponse:
    """Return the page."""
    return HTMLResponse(_PAGE, headers=_POLICY)


@router.get("/docs/start.js")
async def start() -> Response:
    """Return the script that starts the page."""
    return Response(_START, media_type="text/javascript", headers=_DAY)


@router.get("/docs/{name}")
async def resource(name: Literal["swagger-ui.css", "swagger-ui-bundle.js"]) -> Response:
    """Return a file of Swagger UI."""
    media_type = "text/css" if name.endswith(".css") else "text/javascript"
    return Response(await to_thread.run_sync(_read, name), media_type=media_type, headers=_DAY)


@cache
def _read(name: str) -> bytes:
    return files("fastapi_swagger.resources").joinpath(name).read_bytes()


@router.get("/openapi.json")
async def document(request: Request) -> Response:
    """Return the OpenAPI document, which is serialized once because generating it is slow."""
    state = request.app.state
    if not hasattr(state, "openapi_json"):
        state.openapi_json = await to_thread.run_sync(lambda: orjson.dumps(request.app.openapi()))
    return Response(state.openapi_json, media_type="application/json")


@router.get("/asyncapi.json")
async def events_document(request: Request) -> Response:
    """Return the AsyncAPI document, which describes the events."""
    app = request.app
    return Response(await to_thread.run_sync(_events, app.title, app.version), media_type="application/json")


@cache
def _events(title: str, version: str) -> bytes:
    return orjson.dumps(asyncapi_document(title, version))
