"""One started system for all processes that run tests, or the one that the environment names.

With IMAGE_MANAGER_URL and IMAGE_MANAGER_ADMIN_KEY the same tests run against a deployment.
"""

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from local_cloud.postgres.server import PostgresServer

from .up_process import READY, UpProcess, wait_until_gone

PASSWORD = "correct horse battery"
CHROMIUM_OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@dataclass(frozen=True)
class RunningSystem:
    """Where the API is, and the key that everything begins with."""

    url: str
    admin_api_key: str
    data_dir: Path | None
    """Null for a deployment, of which nothing is known but its API."""
    delivery_url: str = ""


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    if url := os.environ.get("IMAGE_MANAGER_URL"):
        yield RunningSystem(url.rstrip("/"), os.environ["IMAGE_MANAGER_ADMIN_KEY"], None)
        return
    # With several processes each has a folder of its own below the one that they share.
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    data_dir = folder / "acceptance"
    with counted(folder) as users:
        if users["count"] == 0:
            UpProcess(data_dir).wait_for(READY)
        users["count"] += 1
    written = json.loads((data_dir / "system.json").read_text())
    yield RunningSystem(written["url"], written["admin_api_key"], data_dir, written["delivery_url"])
    with counted(folder) as users:
        users["count"] -= 1
        if users["count"] == 0:
            os.kill(written["pids"]["supervisor"], signal.SIGINT)
            wait_until_gone(data_dir, written["pids"])
            PostgresServer(data_dir / "postgres").remove()


@contextmanager
def counted(folder: Path) -> Iterator[dict[str, int]]:
    """How many processes use the system, locked while it is looked at."""
    path = folder / "acceptance-users.json"
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        users: dict[str, int] = json.loads(file.read() or '{"count": 0}')
        yield users
        file.truncate(0)
        file.write(json.dumps(users))


class Client:
    """Whoever holds a key."""

    def __init__(self, url: str, api_key: str, team_id: str = "") -> None:
        self.api_key, self.team_id = api_key, team_id
        self.http = httpx2.AsyncClient(
            base_url=f"{url}/api/v1", headers={"X-API-KEY": api_key}, trust_env=False, timeout=60
        )

    async def ask(self, method: str, path: str, status: int, **options: Any) -> Any:
        """Ask, expect a status, and return the JSON of the answer."""
        answer = await self.http.request(method, path, **options)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def upload(self, content: bytes, name: str = "picture.jpg", **fields: str) -> dict[str, Any]:
        """Upload by form and wait until it is processed."""
        answer = await self.http.post(
            "/images", params={"wait": 25}, files={"file": (name, content, "application/octet-stream")}, data=fields
        )
        assert answer.status_code in {200, 201}, answer.text
        image: dict[str, Any] = answer.json()
        deadline = time.monotonic() + 60
        while image["status"] not in {"ready", "failed"}:
            assert time.monotonic() < deadline, image
            image |= await self.ask("GET", f"/images/{image['id']}", 200)
        return image


@pytest.fixture
async def admin(system: RunningSystem) -> AsyncIterator[Client]:
    client = Client(system.url, system.admin_api_key)
    yield client
    await client.http.aclose()


async def new_member(system: RunningSystem, admin: Client) -> Client:
    """A user of a new team."""
    team = await admin.ask("POST", "/teams", 201, json={"name": f"Acceptance {uuid4()}"})
    scopes = ["images:read", "images:write", "images:delete", "keys:self", "delivery:manage"]
    made = await admin.ask("POST", f"/teams/{team['id']}/users", 201, json={"name": "Member", "scopes": scopes})
    assert made["user"]["team_id"] == team["id"]
    assert made["api_key"].startswith(made["key_prefix"])
    return Client(system.url, made["api_key"], team["id"])


@pytest.fixture
async def member(system: RunningSystem, admin: Client) -> AsyncIterator[Client]:
    client = await new_member(system, admin)
    yield client
    await client.http.aclose()


@pytest.fixture
async def stranger(system: RunningSystem, admin: Client) -> AsyncIterator[Client]:
    client = await new_member(system, admin)
    yield client
    await client.http.aclose()


@pytest.fixture
async def browser(system: RunningSystem) -> AsyncIterator[httpx2.AsyncClient]:
    """Holds no key, and whatever cookies it is given."""
    async with httpx2.AsyncClient(base_url=f"{system.url}/api/v1", trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture
async def email(admin: Client, member: Client, browser: httpx2.AsyncClient) -> str:
    """Of somebody who came into the member's team by invitation."""
    email = f"ada-{uuid4()}@example.org"
    invitation = await admin.ask("POST", f"/teams/{member.team_id}/invitations", 201, json={"email": email})
    registration = {"email": email, "name": "Ada", "password": PASSWORD, "invitation_token": invitation["token"]}
    assert (await browser.post("/auth/register", json=registration)).status_code == 202
    return email


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Any]:
    from playwright.async_api import async_playwright

    found = shutil.which("chromium") or shutil.which("google-chrome")
    assert found, "Neither Chromium nor Chrome is installed."
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=found, args=CHROMIUM_OPTIONS)
        yield started
        await started.close()


@contextmanager
def served(content: bytes, content_type: str = "image/jpeg", host: str = "127.0.0.1", **headers: str) -> Iterator[str]:
    """The URL at which this machine answers with `content`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    # It waits for its threads, and ends with the block whatever happens in it.
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        try:
            yield f"http://{host}:{server.server_port}/"
        finally:
            server.shutdown()
