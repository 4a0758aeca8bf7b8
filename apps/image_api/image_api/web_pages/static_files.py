"""Static files of pages: addressed by name and content, so that browsers keep them for a year.

files = StaticFiles("image_api.share_pages", "/static/share")
files.url("style.css")  ->  "/static/share/style.0f1e2d3c4b5a6978.css"
"""

import hashlib
import re
from functools import cached_property
from importlib.resources import files
from pathlib import PurePosixPath
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from image_api.guarded_route import GuardedRoute

_HASH_DIGITS = 16
_HASHED = re.compile(rf"(?P<stem>.+)\.(?P<hash>[0-9a-f]{{{_HASH_DIGITS}}})(?P<suffix>\.[a-z0-9]+)", re.ASCII)
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".speculationrules": "application/speculationrules+json",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
_FOREVER, _ASK_AGAIN = "public, max-age=31536000, immutable", "no-cache"


class _File(NamedTuple):
    content: bytes
    media_type: str
    hash: str


class StaticFiles:
    """The files in the folder `static` of a package, read at their first use.

    `/{stem}.{hash}.{suffix}` may be kept for a year. Without the hash, or with another one, the same file is answered
    with `no-cache`: while a new version is rolled out, a page of one version meets an instance of the other.
    """

    def __init__(self, package: str, prefix: str) -> None:
        self._package, self._prefix = package, prefix

    @cached_property
    def _files(self) -> dict[str, _File]:
        found = {}
        for entry in files(self._package).joinpath("static").iterdir():
            suffix = PurePosixPath(entry.name).suffix
            # Editors and interpreters leave other files behind.
            if entry.is_file() and suffix in _TYPES:
                content = entry.read_bytes()
                digest = hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]
                found[entry.name] = _File(content, _TYPES[suffix], digest)
        return found

    def url(self, name: str) -> str:
        """Return the path of a file, with the hash of its content.

        Raises:
            KeyError: The package has no such file.
        """
        path = PurePosixPath(name)
        return f"{self._prefix}/{path.stem}.{self._files[name].hash}{path.suffix}"

    def router(self) -> APIRouter:
        """Return the route of the files."""
        router = APIRouter(include_in_schema=False, route_class=GuardedRoute)
        router.add_api_route(f"{self._prefix}/{{name}}", self._serve, methods=["GET"])
        return router

    async def _serve(self, name: str, request: Request) -> Response:
        match = _HASHED.fullmatch(name)
        file = self._files.get(name if match is None else match["stem"] + match["suffix"])
        if file is None:
            raise HTTPException(404)
        is_current = match is not None and match["hash"] == file.hash
        tag = f'"{file.hash}"'
        headers = {"cache-control": _FOREVER if is_current else _ASK_AGAIN, "etag": tag}
        # A compressed response has the same tag marked as weak.
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.media_type, headers=headers)
