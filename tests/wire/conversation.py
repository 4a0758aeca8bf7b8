"""The requests, sent one after the other, and their answers as they are recorded."""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import asyncpg
import httpx2

from . import requests_of_access as access
from . import requests_of_images as images
from .normalising import Placeholders, without_port
from .outside import is_busy, rows
from .request import FETCHED, TEXT, Request

REQUESTS = [
    *access.OPEN, *access.TEAMS, *access.KEYS, *access.PEOPLE, *access.CREDITS, *images.REQUESTS, *access.END,
]  # fmt: skip
QUIET_SECONDS = 60
# It tells whether the upload or the processor came first.
_REVISION_OF_IMAGE = re.compile(r"/(images|upload)(?!.*/(content|derivatives))")
_IS_DERIVATIVE = re.compile(r"/derivatives/[^?]")
_KEPT = re.compile(r"\{([a-z_0-9]+)\}")


@contextmanager
def pictures_served() -> Iterator[str]:
    """The URL below which this machine serves a picture, and a text."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = {"/fetched.png": FETCHED, "/text": TEXT}.get(self.path)
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


def _counts_the_body(request: Request, answer: httpx2.Response, value: str) -> bool:
    # The fraction of a time is written without trailing zeros: the length of JSON differs from run to run.
    is_head_of_json = request.method == "HEAD" and "json" in answer.headers.get("content-type", "")
    return value == str(len(answer.content)) or is_head_of_json or "content-encoding" in answer.headers


class Conversation:
    """Whoever sends the requests, and remembers of the answers what later ones need."""

    def __init__(self, http: httpx2.AsyncClient, database: asyncpg.Connection, kept: dict[str, str]) -> None:
        self._http, self._database, self._kept = http, database, kept
        self.placeholders = Placeholders()
        self.placeholders.name(kept["admin"], "admin")
        self.openapi: Any = None
        """The document, which is recorded apart."""

    @classmethod
    async def begin(cls, system: dict[str, Any], source: str) -> "Conversation":
        """Connect to a running system."""
        headers = {"User-Agent": "wire", "Accept-Encoding": "identity"}
        http = httpx2.AsyncClient(base_url=system["url"], headers=headers, trust_env=False, timeout=60)
        database = await asyncpg.connect(system["database_url"])
        return cls(http, database, {"admin": system["admin_api_key"], "source": source})

    async def run(self) -> dict[str, Any]:
        """Send everything and return what is to be recorded."""
        exchanges, words = [], {}
        for number, request in enumerate(REQUESTS):
            exchanges.append(await self._exchange(request))
            if self.placeholders.words:
                words[f"{number} {request.method} {request.path[:80]}"] = self.placeholders.words
            self.placeholders.words = []
        recorded = {"exchanges": exchanges, "rows": await rows(self._database, self.placeholders), "words": words}
        words["rows"] = self.placeholders.words
        await self._database.close()
        await self._http.aclose()
        return recorded

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._filled(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        return _KEPT.sub(lambda m: self._kept[m[1]], value) if isinstance(value, str) else value

    async def _exchange(self, request: Request) -> dict[str, Any]:
        filled = replace(request, **{n: self._filled(getattr(request, n)) for n in ("path", "json", "headers")})
        answers = [await self._send(filled) for _ in range(request.times)]
        answer = answers[-1]
        await self._wait_until_quiet()
        self._keep(request, answer)
        if request.path == "/openapi.json":
            self.openapi = json.loads(without_port(answer.text))
        times: dict[str, str] = {}
        return {
            "request": f"{request.method} {request.path[:200]}" + (f" by {request.by}" if request.by else ""),
            "status": answer.status_code,
            "headers": self._headers(request, answer, times),
            "body": self._body(request, answer, times),
        }

    async def _send(self, request: Request) -> httpx2.Response:
        # Cookies are sent where a request names them.
        self._http.cookies.clear()
        key = {"X-API-KEY": self._kept[request.by]} if request.by else {}
        return await self._http.request(
            request.method, request.path, json=request.json, content=request.content, files=request.files,
            data=request.data, headers={**key, **request.headers},
        )  # fmt: skip

    def _keep(self, request: Request, answer: httpx2.Response) -> None:
        for name, path in request.keep.items():
            if path.endswith(":"):
                self._kept[name] = answer.headers.get(path[:-1], "").partition(";")[0]
                continue
            found: Any = answer.json()
            for step in path.split("."):
                found = found.get(step) if isinstance(found, dict) else None
            if isinstance(found, str):
                self._kept[name] = found
                if path != "access_token":
                    self.placeholders.name(found, name.replace("_", "-"))
        if cookie := re.search(r"im_session_\d+=([\w.-]{20,})", answer.headers.get("set-cookie", "")):
            self.placeholders.name(cookie[1], "session-cookie")

    async def _wait_until_quiet(self) -> None:
        deadline = time.monotonic() + QUIET_SECONDS
        while await is_busy(self._database):
            assert time.monotonic() < deadline, "an image, an analysis or an event is never finished"
            await asyncio.sleep(0.02)

    def _headers(self, request: Request, answer: httpx2.Response, times: dict[str, str]) -> list[str]:
        shown = []
        for name, value in answer.headers.multi_items():
            if name == "content-length" and _counts_the_body(request, answer, value):
                value = "<of the body>"  # noqa: PLW2901 (what is shown of it)
            if name == "retry-after":
                value = "<seconds>"  # noqa: PLW2901
            if _IS_DERIVATIVE.search(request.path) and name in ("etag", "content-range"):
                value = "<of the derivative>"  # noqa: PLW2901
            if name == "etag" and _REVISION_OF_IMAGE.search(request.path):
                value = "<revision>"  # noqa: PLW2901
            shown.append(f"{name}: {self.placeholders.text(value, times)}")
        return shown

    def _body(self, request: Request, answer: httpx2.Response, times: dict[str, str]) -> Any:
        if request.path == "/openapi.json":
            return "<recorded as openapi.json>"
        kind = answer.headers.get("content-type", "")
        if "json" in kind and answer.content and "ndjson" not in kind:
            parsed = answer.json()
            shown = self.placeholders.value(parsed, times)
            compact = json.dumps(parsed, ensure_ascii=False, separators=(",", ":"))
            # Spaces are bytes too.
            return shown if compact == answer.text else [shown, _spacing(answer.text)]
        if kind.startswith("text/") or "ndjson" in kind:
            text = self.placeholders.text(answer.text, times)
            if request.path.startswith("/errors/"):
                self.placeholders.words.append(text)
                return "<words>"
            return text.splitlines()
        if _IS_DERIVATIVE.search(request.path):
            # Another machine's vector instructions may give other bytes.
            return "<derivative>" if answer.content else ""
        return {"bytes": len(answer.content), "sha256": hashlib.sha256(answer.content).hexdigest()}


def _spacing(text: str) -> list[str]:
    """Return each way in which a JSON text separates its values with spaces, however many values there are."""
    return sorted(set(re.findall(r"\s+[:,]\s*|[:,]\s+", re.sub(r'"(?:[^"\\]|\\.)*"', "", text))))
