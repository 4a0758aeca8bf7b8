"""A running system to talk to over HTTP: one of our own, or the one that the environment names."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest


@dataclass(frozen=True)
class RunningSystem:
    """Where a system is; `data_dir` is null for one that was not started here."""

    url: str
    admin_api_key: str
    data_dir: Path | None

    def client(self, api_key: str | None = None) -> httpx2.Client:
        """A client for this key, the admin's by default."""
        headers = {"X-API-KEY": api_key or self.admin_api_key}
        return httpx2.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=40)


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """IMAGE_MANAGER_URL and IMAGE_MANAGER_ADMIN_KEY name a deployment; without them the local cloud is started."""
    if url := os.environ.get("IMAGE_MANAGER_URL"):
        yield RunningSystem(url.rstrip("/"), os.environ["IMAGE_MANAGER_ADMIN_KEY"], None)
        return
    folder = tmp_path_factory.mktemp("system")
    process = start_up(folder)
    try:
        written = wait_for_system(folder, process)
        yield RunningSystem(written["url"], written["admin_api_key"], folder)
    finally:
        process.terminate()
        process.wait(30)


def start_up(folder: Path, *options: str) -> "subprocess.Popen[str]":
    """Starts `image-manager up` on any free port with its data in `folder`."""
    command = [sys.executable, "-m", "image_client.main", "up", "--port", "0", "--data-dir", str(folder), *options]
    # What coverage of the outer world the machine has must not reach the inner one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_system(folder: Path, process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What `up` wrote into system.json once everything was ready."""
    path = folder / "system.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists() and (content := path.read_text()):
            written: dict[str, Any] = json.loads(content)
            return written
        if process.poll() is not None:
            break
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"The system did not come up:\n{process.communicate()[0]}")


@dataclass(frozen=True)
class Team:
    """A team with one member."""

    team_id: str
    user_id: str
    api_key: str
    client: httpx2.Client


@pytest.fixture
def team(system: RunningSystem) -> Iterator[Team]:
    """A new team, so that no test sees another's images."""
    with system.client() as admin:
        name = f"acceptance-{os.urandom(6).hex()}"
        team_id = admin.post("/teams", json={"name": name}).raise_for_status().json()["id"]
        scopes = ["images:read", "images:write", "images:delete", "keys:self"]
        created = (
            admin.post(f"/teams/{team_id}/users", json={"name": "Ada", "scopes": scopes}).raise_for_status().json()
        )
    with system.client(created["api_key"]) as client:
        yield Team(team_id, created["user"]["id"], created["api_key"], client)
