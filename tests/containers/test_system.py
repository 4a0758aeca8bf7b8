"""The system from its images: emulators, migration, all services, with a PostgreSQL of this machine beside them."""

import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from image_engine.testing.pictures import heic, photograph, scene
from local_cloud.ports import HOST, free_port
from local_cloud.postgres.account import installed_bin_dir
from local_cloud.postgres.database import DATABASE, OWNER, SERVICE_ROLES
from local_cloud.postgres.server import PostgresServer

from .container import Container, folder_of_the_service, run_once, running
from .image_store import ROOT, Image, ImageStore

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

READY_SECONDS = 60.0
BUCKETS = ("originals", "derivatives")
ADMIN_COMMAND = "image-manager-admin"
SECOND_DOORS = {"image-tasks": ("image-api", ["python", "-m", "image_api.tasks_app"])}
"""Services that run from another one's image, by a command of their own."""
LOGINS = {role.removeprefix("image_").upper(): role for role in (OWNER, *SERVICE_ROLES)}


@dataclass(frozen=True)
class System:
    """Where the API, `image-tasks` and the object store answer, who may create teams, and what runs."""

    url: str
    tasks_url: str
    storage_url: str
    admin_key: str
    containers: dict[str, Container]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A URL for each login, on a server that was prepared by the script of docker-compose.yml."""
    server = PostgresServer(tmp_path_factory.mktemp("postgres"), durable=False)
    server.start()
    try:
        passwords = {role: secrets.token_hex(12) for role in LOGINS}
        for _ in ("over an empty server", "once more"):
            bootstrap(server, passwords)
        yield {role: server.url(DATABASE, login, passwords[role]) for role, login in LOGINS.items()}
    finally:
        server.remove()


def bootstrap(server: PostgresServer, passwords: dict[str, str]) -> None:
    """Run the script as PostgreSQL's image does."""
    script = ROOT / "containers" / "postgres" / "bootstrap.sql"
    command = [str(installed_bin_dir() / "psql"), "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--file", str(script)]
    environment = {f"IMAGE_{role}_PASSWORD": password for role, password in passwords.items()}
    done = subprocess.run(
        [*command, server.url()], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def system(store: ImageStore, images: dict[str, Image], database: dict[str, str]) -> Iterator[System]:
    ports = {name: free_port() for name in ("emulators", "pubsub", "image-api", "image-processor", "image-tasks")}
    urls = {name: f"http://{HOST}:{port}" for name, port in ports.items()}
    cloud = {
        "GOOGLE_CLOUD_PROJECT": "image-manager-test",
        "IMAGE_UPLOAD_BUCKET_NAME": "originals",
        "IMAGE_DERIVATIVES_BUCKET_NAME": "derivatives",
        "IMAGE_SCRATCH_BUCKET_NAME": "scratch",
        "PUSH_AUDIENCE": urls["image-processor"],
        "PUSH_SERVICE_ACCOUNT_EMAIL": "push@example.com",
        "TASKS_AUDIENCE": urls["image-tasks"],
        "SCHEDULER_SERVICE_ACCOUNT_EMAIL": "scheduler@example.com",
        "STORAGE_EMULATOR_HOST": urls["emulators"],
        "PUBSUB_EMULATOR_HOST": f"{HOST}:{ports['pubsub']}",
        "PUSH_JWKS_URL": f"{urls['emulators']}/certs",
    }
    emulators = {
        "EMULATORS_HTTP_PORT": str(ports["emulators"]),
        "EMULATORS_PUBSUB_PORT": str(ports["pubsub"]),
        "EMULATORS_PROCESSOR_URL": urls["image-processor"],
        "EMULATORS_TASKS_URL": urls["image-tasks"],
        "EMULATORS_SWEEP_SECONDS": "1",
    }
    owner = {"DATABASE_URL": database["MIGRATOR"]}
    with ExitStack() as stack:
        data = stack.enter_context(folder_of_the_service(images["emulators"]))
        run_once(store, images["image-api"], [ADMIN_COMMAND, "migrate"], owner)
        printed = run_once(store, images["image-api"], [ADMIN_COMMAND, "bootstrap", "--print-json"], owner)
        containers = {}
        for name, own in {
            "emulators": emulators,
            "image-processor": {"DATABASE_URL": database["PROCESSOR"]},
            "image-tasks": {"DATABASE_URL": database["TASKS"], "TRASH_RETENTION_DAYS": "0"},
            "image-api": {"DATABASE_URL": database["API"]},
        }.items():
            volumes = {data: "/var/lib/emulators"} if name == "emulators" else None
            environment = {**cloud, **own, "PORT": str(ports[name])}
            built_as, command = SECOND_DOORS.get(name, (name, None))
            container = stack.enter_context(running(store, images[built_as], environment, volumes, command=command))
            container.wait_for(f"{urls[name]}/health/ready")
            containers[name] = container
        admin_key = json.loads(printed)["api_key"]
        yield System(urls["image-api"], urls["image-tasks"], urls["emulators"], admin_key, containers)


@pytest.fixture(scope="module")
def user(system: System) -> Iterator[httpx2.Client]:
    """A client with the key of a user of a new team."""
    with httpx2.Client(base_url=system.url, trust_env=False, timeout=30) as client:
        admin = {"X-API-KEY": system.admin_key}
        team = client.post("/api/v1/teams", json={"name": "Containers"}, headers=admin).raise_for_status().json()
        made = client.post(f"/api/v1/teams/{team['id']}/users", json={"name": "Somebody"}, headers=admin)
        client.headers["X-API-KEY"] = made.raise_for_status().json()["api_key"]
        yield client


@pytest.mark.parametrize("kind", ["jpeg", "heic"])
def test_upload_becomes_ready(user: httpx2.Client, kind: str) -> None:
    content = photograph(1600, 1200) if kind == "jpeg" else heic(scene(1600, 1200))
    uploaded = user.post("/api/v1/images", files={"file": (f"picture.{kind}", content)}).raise_for_status().json()
    image = wait_until_final(user, uploaded["id"])
    assert image["status"] == "ready", image["failure"]
    assert (image["format"], image["width"], image["height"]) == (kind, 1600, 1200)
    for derivative in image["derivatives"]:
        read = user.get(derivative["url"]).raise_for_status()
        assert read.headers["content-type"] == "image/webp"
        assert len(read.content) == derivative["size_bytes"]
    assert user.get(f"/api/v1/images/{uploaded['id']}/content").content == content


def test_second_door_of_the_api_is_there(system: System) -> None:
    with httpx2.Client(base_url=system.tasks_url, trust_env=False, timeout=30) as client:
        assert client.get("/version").json()["service"] == "image-tasks"
        assert client.get("/health/ready").json()["database"] == "ok"
        assert client.get("/api/v1/images", headers={"X-API-KEY": system.admin_key}).status_code == 404


def test_ticks_of_anybody_else_are_refused(system: System) -> None:
    forged = {"Authorization": "Bearer e30.e30.e30"}
    refused = httpx2.post(f"{system.tasks_url}/tasks/sweep", headers=forged, trust_env=False)
    assert refused.status_code == 401


def test_ticks_of_the_scheduler_purge_the_trash(system: System, user: httpx2.Client) -> None:
    files = {"file": ("trash.jpeg", photograph(640, 480))}
    uploaded = user.post("/api/v1/images", files=files).raise_for_status().json()
    image_id, team_id = uploaded["id"], uploaded["team_id"]
    assert wait_until_final(user, image_id)["status"] == "ready"
    assert all(object_names(system, bucket, team_id, image_id) for bucket in BUCKETS)
    user.delete(f"/api/v1/images/{image_id}").raise_for_status()
    deadline = time.monotonic() + READY_SECONDS
    while user.get(f"/api/v1/images/{image_id}").status_code != 404:
        assert time.monotonic() < deadline, system.containers["image-tasks"].log
        time.sleep(0.1)
    assert not any(object_names(system, bucket, team_id, image_id) for bucket in BUCKETS)


def test_everything_stops_in_order(system: System) -> None:
    statuses = {name: container.stop() for name, container in reversed(system.containers.items())}
    assert set(statuses.values()) <= {0, 143}, statuses


def object_names(system: System, bucket: str, team_id: str, image_id: str) -> list[str]:
    """Return the names of an image's live objects in a bucket."""
    query = {"prefix": f"{bucket}/{team_id}/{image_id}"}
    listed = httpx2.get(f"{system.storage_url}/storage/v1/b/{bucket}/o", params=query, trust_env=False)
    return [each["name"] for each in listed.raise_for_status().json().get("items", [])]


def wait_until_final(user: httpx2.Client, image_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        image: dict[str, Any] = user.get(f"/api/v1/images/{image_id}").raise_for_status().json()
        if image["status"] in {"ready", "failed", "expired"} or time.monotonic() > deadline:
            return image
        time.sleep(0.1)
