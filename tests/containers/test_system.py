"""The system from its images: emulators, migration, all services, with a PostgreSQL of this machine beside them."""

import ctypes
import json
import os
import random
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from image_core.keys import master_secrets
from image_engine.testing.pictures import heic, photograph, scene
from local_cloud.ports import free_port
from local_cloud.postgres.account import installed_bin_dir
from local_cloud.postgres.database import DATABASE, OWNER, SERVICE_ROLES
from local_cloud.postgres.server import PostgresServer

from .container import Container, folder_of_the_service, run_once, running
from .image_store import ROOT, Image, ImageStore

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

READY_SECONDS = 60.0
BUCKETS = ("originals", "derivatives")
ADMIN_COMMAND = "image-manager-admin"
SERVICES = ("image-processor", "image-delivery", "image-tasks", "image-api")
"""In the order of their start; each is ready before the next one begins."""
SECOND_DOORS = {"image-tasks": ("image-api", ["python", "-m", "image_api.tasks_app"])}
"""Services that run from another one's image, by a command of their own."""
BEGINNINGS = {"image/webp": b"RIFF", "image/jpeg": b"\xff\xd8\xff"}
"""How a picture begins by its type: the processor has stored the first one, image-delivery makes the other."""
LOGINS = {role.removeprefix("image_").upper(): role for role in (OWNER, *SERVICE_ROLES)}


@dataclass(frozen=True)
class System:
    """Where each part answers, who may create teams, and what runs."""

    urls: dict[str, str]
    admin_key: str
    containers: dict[str, Container]

    @property
    def url(self) -> str:
        return self.urls["image-api"]


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


def own_address() -> str:
    """Choose a loopback address of this run's own: nobody else takes a port of it before the container that will."""
    chosen = random.SystemRandom()
    return f"127.{chosen.randrange(1, 255)}.{chosen.randrange(256)}.{chosen.randrange(1, 255)}"


@pytest.fixture(scope="module")
def system(store: ImageStore, images: dict[str, Image], database: dict[str, str]) -> Iterator[System]:
    host = own_address()
    ports = {name: free_port(host) for name in ("emulators", "pubsub", *SERVICES)}
    urls = {name: f"http://{host}:{port}" for name, port in ports.items()}
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
        "PUBSUB_EMULATOR_HOST": f"{host}:{ports['pubsub']}",
        "PUSH_JWKS_URL": f"{urls['emulators']}/certs",
        "HOST": host,
    }
    emulators = {
        "EMULATORS_BIND_HOST": host,
        "EMULATORS_ADVERTISED_HOST": host,
        "EMULATORS_HTTP_PORT": str(ports["emulators"]),
        "EMULATORS_PUBSUB_PORT": str(ports["pubsub"]),
        "EMULATORS_PROCESSOR_URL": urls["image-processor"],
        "EMULATORS_TASKS_URL": urls["image-tasks"],
        "EMULATORS_SWEEP_SECONDS": "1",
    }
    master = {"DELIVERY_MASTER": master_secrets.generate()}
    own = {
        "image-processor": {"WORKER_CONFINEMENT_REQUIRED": "true"},
        "image-delivery": {**master, "WORKER_CONFINEMENT_REQUIRED": "true"},
        "image-tasks": {"TRASH_RETENTION_DAYS": "0"},
        "image-api": {**master, "DELIVERY_URL": urls["image-delivery"]},
    }
    owner = {"DATABASE_URL": database["MIGRATOR"]}
    with ExitStack() as stack:
        data = stack.enter_context(folder_of_the_service(images["emulators"]))
        run_once(store, images["image-api"], [ADMIN_COMMAND, "migrate"], owner)
        printed = run_once(store, images["image-api"], [ADMIN_COMMAND, "bootstrap", "--print-json"], owner)
        volumes = {data: "/var/lib/emulators"}
        containers = {
            "emulators": stack.enter_context(running(store, images["emulators"], {**cloud, **emulators}, volumes))
        }
        containers["emulators"].wait_for(f"{urls['emulators']}/health/ready")
        for name in SERVICES:
            login = {"DATABASE_URL": database[name.removeprefix("image-").upper()]}
            environment = {**cloud, **login, **own[name], "PORT": str(ports[name])}
            built_as, command = SECOND_DOORS.get(name, (name, None))
            containers[name] = stack.enter_context(running(store, images[built_as], environment, command=command))
            containers[name].wait_for(f"{urls[name]}/health/ready")
        yield System(urls, json.loads(printed)["api_key"], containers)


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
    shown = user.get(f"/api/v1/images/{uploaded['id']}", params={"include": "delivery"}).raise_for_status().json()
    for accepted, beginning in BEGINNINGS.items():
        address = shown["delivery"]["presets"]["preview"]["url"]
        picture = httpx2.get(address, headers={"accept": accepted}, trust_env=False, timeout=30).raise_for_status()
        assert picture.headers["content-type"] == accepted
        assert picture.content.startswith(beginning)


@pytest.mark.parametrize("service", ["image-processor", "image-delivery"])
def test_workers_are_locked_in_as_far_as_the_kernel_can(system: System, service: str) -> None:
    seen = httpx2.get(f"{system.urls[service]}/health/ready", trust_env=False).raise_for_status().json()
    assert seen["confinement"] == {"system_calls": True, "landlock": landlock_version()}


def test_memory_with_the_master_secret_is_closed_to_everybody_of_the_same_user(system: System) -> None:
    # What may not be inspected belongs to root in /proc.
    process = Path(f"/proc/{system.containers['image-delivery'].process_id}/environ")
    assert process.stat().st_uid == 0


def test_second_door_of_the_api_is_there(system: System) -> None:
    with httpx2.Client(base_url=system.urls["image-tasks"], trust_env=False, timeout=30) as client:
        assert client.get("/version").json()["service"] == "image-tasks"
        assert client.get("/health/ready").json()["database"] == "ok"
        assert client.get("/api/v1/images", headers={"X-API-KEY": system.admin_key}).status_code == 404


def test_ticks_of_anybody_else_are_refused(system: System) -> None:
    forged = {"Authorization": "Bearer e30.e30.e30"}
    refused = httpx2.post(f"{system.urls['image-tasks']}/tasks/sweep", headers=forged, trust_env=False)
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
    listed = httpx2.get(f"{system.urls['emulators']}/storage/v1/b/{bucket}/o", params=query, trust_env=False)
    return [each["name"] for each in listed.raise_for_status().json().get("items", [])]


def landlock_version() -> int:
    """Return the version of Landlock of this machine's kernel, 0 without one."""
    create_ruleset, ask_version = 444, 1
    return max(0, ctypes.CDLL(None).syscall(create_ruleset, None, 0, ask_version))


def wait_until_final(user: httpx2.Client, image_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        image: dict[str, Any] = user.get(f"/api/v1/images/{image_id}").raise_for_status().json()
        if image["status"] in {"ready", "failed", "expired"} or time.monotonic() > deadline:
            return image
        time.sleep(0.1)
