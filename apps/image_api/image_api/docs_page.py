"""`/docs`: Swagger UI from a package of its files, so that it needs no other network and runs under a strict policy."""

from importlib.resources import files
from typing import Literal

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>image-manager</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/docs/swagger-ui.css"></head><body><div id="ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>"""
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
    """The page."""
    return HTMLResponse(_PAGE, headers=_POLICY)


@router.get("/docs/start.js")
async def start() -> Response:
    """What the page runs once its script is there."""
    return Response(_START, media_type="text/javascript", headers=_DAY)


@router.get("/docs/{name}")
def resource(name: Literal["swagger-ui.css", "swagger-ui-bundle.js"]) -> Response:
    """A file of Swagger UI; read in a thread, because it has megabytes."""
    content = files("fastapi_swagger.resources").joinpath(name).read_bytes()
    media_type = "text/css" if name.endswith(".css") else "text/javascript"
    return Response(content, media_type=media_type, headers=_DAY)
