"""`image-manager up` and `doctor`, as somebody meets them who has just cloned the repository."""

import os
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx2
import pytest

from local_cloud.postgres.server import PostgresServer
from local_cloud.system.startup_check import TEAM_ID

from .up_process import UpProcess, command, processes_of, up, wait_until_gone

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif("IMAGE_MANAGER_URL" in os.environ, reason="a deployment is not started by this command"),
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpProcess]:
    data_dir = tmp_path_factory.mktemp("first") / "data"
    with up(data_dir, "--port", "0", "--demo-images", "4") as started:
        started.wait_for("Demo team with 4 images created")
        yield started
    PostgresServer(data_dir / "postgres").remove()


def pasted_curl(running: UpProcess, number: int = 0) -> str:
    """What the printed curl prints when it is pasted into a shell."""
    line = re.findall(r"^  (curl .*)$", running.output, re.MULTILINE)[number]
    done = subprocess.run(["sh", "-c", f"{line} --silent --fail"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (line, done)
    return done.stdout


def test_system_json_says_where_everything_is_to_its_owner_only(running: UpProcess) -> None:
    assert (running.data_dir / "system.json").stat().st_mode & 0o777 == 0o600
    system = running.system
    assert system["admin_api_key"] in running.output
    assert system["url"] in running.output
    for name in ("url", "processor_url", "tasks_url", "delivery_url", "emulators_url"):
        url = system[name]
        assert httpx2.get(f"{url}/health/ready", trust_env=False).status_code == 200
    assert system["database_url"].startswith("postgresql://")
    assert system["pubsub_emulator_host"].startswith("127.0.0.1:")
    for pid in system["pids"].values():
        os.kill(pid, 0)


def test_it_prints_a_link_that_signs_in_to_the_console_once(running: UpProcess) -> None:
    found = re.search(r"^Console: +(\S+)#(\S+) ", running.output, re.MULTILINE)
    assert found is not None
    assert found[1] == f"{running.system['url']}/console/sign-in/link"
    headers = {"Sec-Fetch-Site": "same-origin"}
    answers = [httpx2.post(found[1], data={"token": found[2]}, headers=headers, trust_env=False) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 401]


async def test_upload_of_the_start_went_through_and_left_nothing(running: UpProcess) -> None:
    assert re.search(r"^  an upload +ready after", running.output, re.MULTILINE)
    connection = await asyncpg.connect(running.system["database_url"])
    try:
        for table in ("team", "image", "event", '"user"'):
            column = "id" if table == "team" else "team_id"
            found = await connection.fetchval(f"SELECT count(*) FROM {table} WHERE {column} = $1", TEAM_ID)
            assert (table, found) == (table, 0)
        told = f"SELECT count(*) FROM {{}} WHERE object_name LIKE '%/{TEAM_ID}/%'"
        assert await connection.fetchval(told.format("discarded_object")) == 0
        assert await connection.fetchval("SELECT count(*) FROM audit_event WHERE team_id = $1", TEAM_ID) == 0
    finally:
        await connection.close()
    blobs = running.data_dir / "emulators" / "objects"
    catalog = sqlite3.connect(f"file:{blobs / 'catalog.sqlite'}?mode=ro", uri=True)
    assert catalog.execute(f"SELECT count(*) FROM object WHERE name LIKE '%/{TEAM_ID}/%'").fetchone() == (0,)
    catalog.close()


def test_the_printed_curl_works_when_pasted(running: UpProcess) -> None:
    assert '"role":"admin"' in pasted_curl(running)


def ready_pictures(running: UpProcess) -> list[str]:
    """The ids of the demo team's pictures, once all of them are processed."""
    (key,) = re.findall(r"Key of its user: (\S+)", running.output)
    url = f"{running.system['url']}/api/v1/images?status=ready"
    deadline = time.monotonic() + 60
    while len(ready := httpx2.get(url, headers={"X-API-KEY": key}, trust_env=False).json()["items"]) < 4:
        assert time.monotonic() < deadline, ready
        time.sleep(0.2)
    return [item["id"] for item in ready]


def test_the_demo_team_has_pictures_that_become_ready(running: UpProcess) -> None:
    assert len(ready_pictures(running)) == 4
    assert "Dawn over Lofoten.jpg" in pasted_curl(running, 1)


def test_doctor_finds_everything_up(running: UpProcess) -> None:
    done = command("doctor", "--data-dir", str(running.data_dir))
    assert done.returncode == 0, done.stdout
    for part in (
        "supervisor",
        "postgres",
        "object store",
        "pub/sub",
        "image_processor",
        "image_tasks",
        "image_delivery",
        "image_api",
        "admin key",
    ):
        assert re.search(rf"^up +{part} ", done.stdout, re.MULTILINE), done.stdout


def test_a_second_up_over_the_same_folder_is_refused(running: UpProcess) -> None:
    done = command("up", "--data-dir", str(running.data_dir))
    assert done.returncode == 1
    assert f"already runs at {running.system['url']}" in done.stderr


def test_a_port_in_use_is_refused_before_anything_is_started(running: UpProcess, tmp_path: Path) -> None:
    port = running.system["url"].rpartition(":")[2]
    done = command("up", "--data-dir", str(tmp_path / "other"), "--port", port)
    assert done.returncode == 1
    assert f"Port {port} is in use" in done.stderr
    assert processes_of(tmp_path / "other", {}) == []


# That a child which ends is started again is tested with stand-ins, too (apps/local_cloud/tests/system).
@pytest.mark.faults
@pytest.mark.parametrize("child", ["image_api", "image_processor", "image_tasks", "image_delivery", "emulators"])
def test_a_killed_child_is_restarted_and_said_so(running: UpProcess, child: str) -> None:
    former = running.system["pids"]
    os.kill(former[child], signal.SIGKILL)
    running.wait_for(f"{child} exited on SIGKILL and is restarted")
    deadline = time.monotonic() + 60
    while command("doctor", "--data-dir", str(running.data_dir)).returncode != 0:
        assert time.monotonic() < deadline, running.output
        time.sleep(0.3)
    assert running.system["pids"][child] not in {None, former[child]}


def test_data_outlive_ctrl_c_and_nothing_else_does(running: UpProcess) -> None:
    # The last test of this file, since it ends the system that the others use.
    data_dir, system = running.data_dir, running.system
    key = {"X-API-KEY": system["admin_api_key"]}
    image_id = ready_pictures(running)[0]
    assert running.stop() == 0
    wait_until_gone(data_dir, system["pids"])
    with up(data_dir) as second:
        assert second.system["admin_api_key"] == system["admin_api_key"]
        assert system["admin_api_key"] not in second.output
        assert '"role":"admin"' in pasted_curl(second)
        path = f"{second.system['url']}/api/v1/images/{image_id}"
        for address in (f"{path}/content", f"{path}/derivatives/large"):
            assert httpx2.get(address, headers=key, trust_env=False).status_code == 200
        pids = second.system["pids"]
        second.process.kill()
        second.process.wait()
        wait_until_gone(data_dir, pids)
    down = command("doctor", "--data-dir", str(data_dir))
    assert down.returncode == 1
    assert "run `image-manager up`" in down.stdout
