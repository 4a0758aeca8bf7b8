"""A server that answers like the API as far as the smoke test looks, and that can be told to break anywhere."""

import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MEMBER_KEY, ADMIN_KEY, READER_KEY = "im_member", "im_admin", "im_reader"
SCOPES = ["images:read", "images:write", "images:delete", "delivery:manage"]
UNAVAILABLE = "signing-keys-unavailable"
DELIVERY = "image-delivery"
JPEG = b"\xff\xd8\xff made up"
WEBP = b"RIFF\x10\0\0\0WEBPVP8 made up"
Reply = tuple[int, Any]


def _no_fault(*_: Any) -> Reply | None:
    return None


@dataclass
class FakeApi:
    """`fault` may answer in the API's place; it is given the method, the path and what stands before the path.

    It is image-delivery as well, wherever that name stands before the path.
    """

    version: str = "1.4.0"
    fault: Callable[[str, str, str], Reply | None] = _no_fault
    has_signing_keys: bool = True
    issues_addresses: bool = True
    confinement: dict[str, Any] = field(default_factory=lambda: {"system_calls": True, "landlock": 7})
    statuses: list[str] = field(default_factory=lambda: ["ready"])
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    teams: list[dict[str, Any]] = field(default_factory=list)
    links: dict[str, dict[str, Any]] = field(default_factory=dict)
    scopes: list[str] = field(default_factory=lambda: SCOPES)
    delivery_version: str | None = None
    calls: list[str] = field(default_factory=list)

    def start(self) -> None:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proof = self.headers.get("X-API-KEY") or self.headers.get("Authorization")
                status, made = fake.answer(self.command, self.path, proof, body, self.headers.get("Accept"))
                content = made if isinstance(made, bytes) else json.dumps(made).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(0 if status == 204 else len(content)))
                self.end_headers()
                if status != 204:
                    self.wfile.write(content)

            do_GET = do_POST = do_DELETE = _answer  # noqa: N815 (the names that http.server looks for)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(poll_interval=0.02))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method: str, target: str, key: str | None, body: bytes, accept: str | None) -> Reply:
        parts = urlsplit(target)
        prefix, path = re.fullmatch(r"(.*?)(/(?:api/|health/|version|i/|s/).*)", parts.path).groups()  # type: ignore[union-attr]
        self.calls.append(f"{method} {prefix}{path}")
        broken = self.fault(method, path, prefix)
        if broken is not None:
            return broken
        if path.startswith("/i/"):
            return (200, JPEG if accept == "image/jpeg" else WEBP) if DELIVERY in prefix and not key else (404, {})
        if path.startswith("/s/"):
            return (200, self._page()) if path.removeprefix("/s/") in self.links and not key else (404, b"no link")
        if not path.startswith("/api/v1"):
            return 200, {
                "/health/live": {"status": "ok"},
                "/health/ready": {
                    "ready": True,
                    "schema_revision": "0001",
                    "warnings": [],
                    "confinement": self.confinement,
                },
                "/version": self._version(is_delivery=DELIVERY in prefix),
            }[path]
        if key and key.startswith("Bearer "):
            return (401, {"code": "token-invalid"}) if self.has_signing_keys else (503, {"code": UNAVAILABLE})
        if key not in (MEMBER_KEY, ADMIN_KEY, READER_KEY):
            return 401, {"code": "api-key-invalid"}
        return self._with_key(method, path.removeprefix("/api/v1"), key, parse_qs(parts.query), body)

    def _with_key(self, method: str, path: str, key: str, query: dict[str, list[str]], body: bytes) -> Reply:
        if path == "/whoami":
            admin, scopes = key == ADMIN_KEY, SCOPES[:1] if key == READER_KEY else self.scopes
            team_id, role = (None, "admin") if admin else ("team-1", "member")
            return 200, {"team_id": team_id, "role": role, "key_prefix": key, "scopes": scopes}
        if path == "/teams" and method == "GET":
            # A page of one, so that more than one page is read.
            at = int(query.get("cursor", ["0"])[0])
            more = str(at + 1) if at + 1 < len(self.teams) else None
            return 200, {"items": self.teams[at : at + 1], "next_cursor": more}
        if path == "/teams":
            self.teams.append({"id": f"team-{len(self.teams) + 10}", **json.loads(body)})
            return 201, self.teams[-1]
        if path == "/images":
            if key == ADMIN_KEY and "team_id" not in query:
                return 422, {"code": "team-required"}
            return self._upload(body)
        if path.startswith("/links"):
            return self._link(method, path, query, key, body)
        status, shown = self._image(method, *path.removeprefix("/images/").split("/"))
        if query.get("include") == ["delivery"]:
            shown["delivery"] = self._addresses() if self.issues_addresses else None
        return status, shown

    def _link(self, method: str, path: str, query: dict[str, list[str]], key: str, body: bytes) -> Reply:
        if method == "DELETE":
            self.links.pop(path.removeprefix("/links/"))
            return 204, b""
        if set(json.loads(body)["image_ids"]) - self.images.keys() or (key == ADMIN_KEY and "team_id" not in query):
            return 422, {}
        # In the fake, its id is its token.
        token = f"{len(self.calls):032x}"
        self.links[token] = json.loads(body)
        return 201, {"id": token, "token": token, "url": f"https://elsewhere.example/s/{token}"}

    def _page(self) -> bytes:
        return f'<img src="{self.url}/{DELIVERY}/i/of-a-link/image.tag/thumb@71b0.auto" alt="">'.encode()

    def _version(self, *, is_delivery: bool) -> dict[str, str]:
        version = (self.delivery_version if is_delivery else None) or self.version
        return {"service": DELIVERY if is_delivery else "image-api", "version": version}

    def _upload(self, body: bytes) -> Reply:
        image_id = f"image-{len(self.images)}"
        self.images[image_id] = {
            "id": image_id, "status": "stored", "sha256": hashlib.sha256(body).hexdigest(), "width": 320, "height": 320,
            "failure": None, "deleted_at": None, "derivatives": [], "content": body, "looks": 0,
        }  # fmt: skip
        return 201, self._shown(image_id)

    def _image(self, method: str, image_id: str, *rest: str) -> Reply:
        image = self.images.get(image_id)
        if image is None:
            return 404, {"code": "image-not-found"}
        if method == "DELETE":
            image["deleted_at"] = "2026-01-01T00:00:00Z"
            return 204, b""
        if rest == ("content",):
            return (404, {}) if image["deleted_at"] else (200, image["content"])
        if rest == ("derivatives", "thumb"):
            return 200, WEBP
        if image["status"] not in {"failed", "ready"}:
            image["status"] = self.statuses[min(image["looks"], len(self.statuses) - 1)]
            image["looks"] += 1
        if image["status"] == "ready":
            image["derivatives"] = [
                {"preset": "large", "size_bytes": 99999, "url": "https://elsewhere.example/large"},
                {"preset": "thumb", "size_bytes": len(WEBP), "url": "https://elsewhere.example/thumb"},
            ]
        return 200, self._shown(image_id)

    def _addresses(self) -> dict[str, Any]:
        return {"presets": {"thumb": {"url": f"{self.url}/{DELIVERY}/i/grant/image.tag/thumb@71b0.auto"}}}

    def _shown(self, image_id: str) -> dict[str, Any]:
        return {name: value for name, value in self.images[image_id].items() if name not in {"content", "looks"}}
