"""The commands `keys …` as a person calls them, against the running system."""

import os
import subprocess
from uuid import uuid4

import httpx2
import pytest
from typer.testing import CliRunner

from image_client.main import build

from .conftest import RunningSystem
from .up_process import COMMAND


@pytest.fixture
def member_key(system: RunningSystem) -> str:
    with httpx2.Client(base_url=f"{system.url}/api/v1/", headers={"X-API-KEY": system.admin_api_key}) as admin:
        team_id = admin.post("teams", json={"name": f"keys {uuid4()}"}).json()["id"]
        made: str = admin.post(f"teams/{team_id}/users", json={"name": "Ada"}).json()["api_key"]
    return made


def keys(system: RunningSystem, api_key: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """In this process, because starting the program takes longer than what it does."""
    done = CliRunner().invoke(build(), ["keys", *arguments], env=environment(system, api_key))
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def environment(system: RunningSystem, api_key: str) -> dict[str, str]:
    return {"IMAGE_MANAGER_URL": system.url, "IMAGE_MANAGER_API_KEY": api_key}


def test_a_key_is_made_shown_rotated_and_revoked(system: RunningSystem, member_key: str) -> None:
    command = [COMMAND, "keys", "create", "nightly import", "--scope", "images:read", "--scope", "keys:self"]
    given = {**os.environ, **environment(system, member_key)}
    made = subprocess.run(command, capture_output=True, text=True, check=False, env=given, timeout=60)
    key = made.stdout.strip()
    listed = keys(system, key, "list")
    # Newest first; the key's own use was recorded before the answer.
    line = listed.stdout.splitlines()[0]
    credential_id, prefix, name, scopes, *_, used = line.split("\t")
    assert (prefix, name, scopes) == (key[:11], "nightly import", "images:read,keys:self")
    assert "from" in used
    assert key not in listed.stdout
    rotated = keys(system, key, "rotate", "--grace-seconds", "0").stdout.strip()
    assert keys(system, key, "list").returncode == 1
    assert keys(system, rotated, "list").returncode == 0
    assert keys(system, member_key, "revoke", credential_id).returncode == 0
    refused = keys(system, rotated, "list")
    assert (refused.returncode, refused.stderr.startswith("api-key-invalid:")) == (1, True)


def test_what_the_api_refuses_is_said_in_its_words(system: RunningSystem, member_key: str) -> None:
    answer = keys(system, member_key, "create", "too much", "--scope", "admin")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith("scope-missing: The key lacks these scopes: admin.")
    nobody = httpx2.URL(system.url).copy_with(port=1)
    away = RunningSystem(str(nobody), system.admin_api_key, None)
    assert "does not respond" in keys(away, member_key, "list").stderr
