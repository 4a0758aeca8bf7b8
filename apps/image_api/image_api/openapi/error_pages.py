"""`/errors/{code}`: a page for each code, from the chapters of errors.md."""

import html
import re
from functools import cache
from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from image_api.guarded_route import GuardedRoute
from image_api.http.field_types import describe_pattern

router = APIRouter(tags=["service"], route_class=GuardedRoute)

_CODE = describe_pattern(r"^[a-z0-9-]{1,64}$", "Use lowercase letters, digits and hyphens, at most 64.")
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{code}</title>
<style>body{{font:1rem/1.5 system-ui;max-width:40rem;margin:3rem auto;padding:0 1rem}}code{{background:#eee}}</style>
<h1><code>{code}</code></h1>{body}</html>"""


@cache
def chapters() -> dict[str, str]:
    """Return the text of each chapter by its code."""
    text = files("image_api").joinpath("errors.md").read_text("utf-8")
    parts = re.split(r"^### `([a-z0-9-]+)`\n", text, flags=re.MULTILINE)[1:]
    return {code: body.split("\n## ")[0].strip() for code, body in zip(parts[::2], parts[1::2], strict=True)}


@router.get("/errors/{code}", response_class=HTMLResponse)
def error_page(code: Annotated[str, Path(pattern=_CODE)]) -> HTMLResponse:
    """Get a page that explains an error code."""
    if code not in chapters():
        raise HTTPException(404)
    body = "".join(f"<p>{_inline(paragraph)}</p>" for paragraph in chapters()[code].split("\n\n"))
    headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return HTMLResponse(_PAGE.format(code=code, body=body), headers=headers)


def _inline(paragraph: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(paragraph))
