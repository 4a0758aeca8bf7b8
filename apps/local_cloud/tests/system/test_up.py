import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import asyncpg
import httpx2
import pytest
import typer
from typer.testing import CliRunner

from image_core.keys import master_secrets
from local_cloud import commands
from local_cloud.errors import ChildCrashed
from local_cloud.postgres.database import DatabaseUrls
from local_cloud.postgres.server import PostgresServer
from local_cloud.system.check_picture import gradient_png
from local_cloud.system.children import ChildSpec
from local_cloud.system.environment import Layout, Outside, emulators_spec, service_environment, service_specs
from local_cloud.system.supervisor import Supervisor
from local_cloud.system.system_file import SystemFile, read_system_file
from local_cloud.testing import GuardedProcess

from .stand_in_service import Handler

SCRIPT = Path(__file__).with_name("stand_in_system.py")


class Running:
    def __init__(self, data_dir: Path, *arguments: str, **environment: str) -> None:
        self.data_dir = data_dir
        self.output = data_dir.parent / f"{data_dir.name}-{time.monotonic_ns()}.out"
        kept = {name: value for name, value in os.environ.items() if not name.endswith("_EMULATOR_HOST")}
        with self.output.open("w") as output:
            self.process = GuardedProcess(
                [sys.executable, str(SCRIPT), str(data_dir), *arguments],
                stdout=output,
                stderr=output,
                env={**kept, **environment},
            )

    def wait_ready(self) -> SystemFile:
        self.wait_for("Press Ctrl-C to stop")
        system = read_system_file(self.data_dir)
        assert system is not None
        return system

    def wait_for(self, text: str) -> str:
        deadline = time.monotonic() + 30
        while text not in self.output.read_text():
            assert self.process.poll() is None or text in self.output.read_text(), self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.02)
        return self.output.read_text()


@contextmanager
def running_up(data_dir: Path, *arguments: str, **environment: str) -> Iterator[Running]:
    running = Running(data_dir, *arguments, **environment)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.terminate()
        running.process.wait(20)


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "local"
    PostgresServer(tmp_path / "local" / "postgres").remove()


def ran(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False)


def query(url: str, sql: str) -> Any:
    async def ask() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(ask())


def is_gone(pid: int | None) -> bool:
    assert pid is not None
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()[:1] in {"", "Z"}


def wait_gone(pids: dict[str, int | None]) -> None:
    deadline = time.monotonic() + 10
    while not all(is_gone(pid) for pid in pids.values()):
        assert time.monotonic() < deadline, {name: pid for name, pid in pids.items() if not is_gone(pid)}
        time.sleep(0.05)


def test_up_is_whole_stops_in_order_and_finds_everything_again(data_dir: Path) -> None:
    with running_up(data_dir) as first:
        system = first.wait_ready()
        assert (data_dir / "system.json").stat().st_mode & 0o777 == 0o600
        assert set(system.pids) == {
            "supervisor",
            "postgres",
            "emulators",
            "image_processor",
            "image_tasks",
            "image_delivery",
            "image_api",
        }
        assert system.admin_api_key == "im_stand-in"
        assert "im_stand-in" in first.output.read_text()
        assert f"image_processor  served by {system.pids['image_processor']}" in first.output.read_text()
        owner = "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
        assert query(system.database_url, owner) == "image_migrator"
        query(system.database_url, "create table kept (n int)")
        assert httpx2.get(f"{system.storage_emulator_host}/storage/v1/b").status_code == 200
        assert "serving with //image_api" in (data_dir / "logs" / "image_api.log").read_text()
        refused = ran([sys.executable, str(SCRIPT), str(data_dir)])
        assert refused.returncode == 1
        assert f"already runs at {system.url}" in refused.stderr
        doctor = CliRunner().invoke(app(), ["doctor", "--data-dir", str(data_dir)])
        assert (doctor.exit_code, "down" in doctor.output) == (0, False), doctor.output
        first.process.send_signal(signal.SIGINT)
        assert first.process.wait(15) == 0
        wait_gone(system.pids)
        assert "ended in order" in (data_dir / "logs" / "image_api.log").read_text()
        down = CliRunner().invoke(app(), ["doctor", "--data-dir", str(data_dir)])
        assert down.exit_code == 1
        assert "stopped: run `image-manager up`" in down.output
    with running_up(data_dir) as second:
        again = second.wait_ready()
        assert (again.database_url, again.url) == (system.database_url, system.url)
        text = second.output.read_text()
        assert "im_stand-in" not in text
        assert "credentials/rotate" in text
        assert query(again.database_url, "select count(*) from kept") == 0
        (curl,) = re.findall(r"^  (curl .*)$", text, re.MULTILINE)
        pasted = ran(["sh", "-c", curl.replace("curl ", "echo ", 1)])
        assert "X-API-KEY: im_stand-in" in pasted.stdout


def app() -> typer.Typer:
    made = typer.Typer()
    commands.register(made)
    return made


def test_a_dead_child_is_restarted_and_said_so_and_a_killed_supervisor_leaves_no_orphan(data_dir: Path) -> None:
    with running_up(data_dir) as running:
        system = running.wait_ready()
        with pytest.raises(httpx2.HTTPError):
            httpx2.get(f"{system.url}/crash")
        running.wait_for("image_api exited with status 3 and is restarted")
        os.kill(system.pids["postgres"] or 0, signal.SIGKILL)
        running.wait_for("postgres exited and is restarted")
        deadline = time.monotonic() + 10
        while True:
            after = read_system_file(data_dir)
            assert after is not None
            if all(after.pids[name] not in {None, system.pids[name]} for name in ("postgres", "image_api")):
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.process.kill()
        wait_gone(after.pids)
        found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
        assert str(data_dir) not in found.stdout


def test_a_crashed_child_is_quoted(data_dir: Path) -> None:
    with running_up(data_dir, "7") as running:
        assert running.process.wait(60) == 1
        text = running.output.read_text()
    assert "migrations exited with status 7 before it was ready" in text
    assert "the disk is made of cheese" in text
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert str(data_dir) not in found.stdout


def test_the_admin_key_survives_a_first_start_that_fails(data_dir: Path) -> None:
    with running_up(data_dir, UPLOAD_FAILS="1") as running:
        assert running.process.wait(30) == 1
        assert "An upload did not go through." in running.output.read_text()
    with running_up(data_dir) as running:
        assert running.wait_ready().admin_api_key == "im_stand-in"
        assert "created by an earlier run and stored in" in running.output.read_text()


def test_a_child_that_another_program_answers_for_has_crashed(data_dir: Path) -> None:
    answering = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=answering.serve_forever, daemon=True).start()
    ready_url = f"http://127.0.0.1:{answering.server_port}/health/ready"
    supervisor = Supervisor(Layout(data_dir, Outside(), 1, 2, 3, 4, 5, 6), print)
    child = supervisor._add(ChildSpec("image_api", [sys.executable, "-c", "raise SystemExit(1)"], {}, ready_url))
    while child.exit_status is None:
        time.sleep(0.01)
    with pytest.raises(ChildCrashed, match="image_api exited with status 1"):
        supervisor._wait_for(child)
    supervisor.stop()
    answering.shutdown()


def test_a_port_in_use_is_a_sentence(data_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with running_up(data_dir, UP_PORT=str(port)) as running:
            assert running.process.wait(60) == 1
    assert f"Port {port} is in use" in running.output.read_text()
    assert "--port" in running.output.read_text()


def test_doctor_before_the_first_start(tmp_path: Path) -> None:
    result = CliRunner().invoke(app(), ["doctor", "--data-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert "run `image-manager up`" in result.output


def test_reset_asks_and_removes_only_what_is_ours(tmp_path: Path) -> None:
    (tmp_path / "emulators").mkdir()
    (tmp_path / "venv").mkdir()
    (tmp_path / "system.json").write_text("{}")
    (tmp_path / "delivery-master").write_text("secret")
    refused = CliRunner().invoke(app(), ["up", "--data-dir", str(tmp_path), "--reset"], input="n\n")
    assert "Delete all images" in refused.output
    assert (tmp_path / "emulators").exists()
    commands._reset(tmp_path, confirmed=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "venv"]


def test_addresses_from_outside_take_the_place_of_our_parts(tmp_path: Path) -> None:
    given: dict[str, Any] = {"STORAGE_EMULATOR_HOST": "http://proxy:1", "PUBSUB_EMULATOR_HOST": "", "DATABASE_URL": "x"}
    outside = Outside.from_environment(given)
    layout = Layout(tmp_path, outside, 1, 2, 3, 4, 5, 6)
    environment = service_environment(layout, "postgresql://db")
    assert environment["STORAGE_EMULATOR_HOST"] == "http://proxy:1"
    assert environment["PUBSUB_EMULATOR_HOST"] == "127.0.0.1:5"
    assert emulators_spec(layout).environment["EMULATORS_EMULATE_STORAGE"] == "False"
    assert emulators_spec(layout).environment["EMULATORS_EMULATE_PUBSUB"] == "True"


def test_addresses_are_signed_and_verified_with_a_master_secret_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DELIVERY_URL", "DELIVERY_MASTER", "DELIVERY_MASTER_SECRET"):
        monkeypatch.delenv(name, raising=False)
    layout = Layout(tmp_path, Outside(), 1, 2, 3, 4, 5, 6)
    urls = DatabaseUrls.all_the_same("postgresql://db")

    def api_environment() -> dict[str, str]:
        signing, verifying = (environment_of(name) for name in ("image_api", "image_delivery"))
        assert signing.get("DELIVERY_MASTER") == verifying.get("DELIVERY_MASTER")
        return signing

    def environment_of(name: str) -> dict[str, str]:
        (spec,) = (spec for spec in service_specs(layout, urls) if spec.name == name)
        return spec.environment

    first = api_environment()
    assert first["DELIVERY_URL"] == "http://127.0.0.1:6"
    assert len(master_secrets.from_text(first["DELIVERY_MASTER"])) == 32
    assert api_environment()["DELIVERY_MASTER"] == first["DELIVERY_MASTER"]
    assert (tmp_path / "delivery-master").stat().st_mode & 0o777 == 0o600
    others = [spec for spec in service_specs(layout, urls) if spec.name in ("image_processor", "image_tasks")]
    assert len(others) == 2
    assert all("DELIVERY_MASTER" not in spec.environment for spec in others)
    monkeypatch.setenv("DELIVERY_MASTER_SECRET", "projects/p/secrets/s")
    assert "DELIVERY_MASTER" not in api_environment()
    monkeypatch.delenv("DELIVERY_MASTER_SECRET")
    monkeypatch.setenv("DELIVERY_MASTER", "given")
    monkeypatch.setenv("DELIVERY_URL", "https://pictures.example.org")
    assert (api_environment()["DELIVERY_MASTER"], api_environment()["DELIVERY_URL"]) == (
        "given",
        "https://pictures.example.org",
    )


def test_purged_files_are_remembered_under_a_master_secret_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PURGED_HASH_MASTER", "PURGED_HASH_MASTER_SECRET"):
        monkeypatch.delenv(name, raising=False)
    layout, urls = Layout(tmp_path, Outside(), 1, 2, 3, 4, 5, 6), DatabaseUrls.all_the_same("postgresql://db")

    def masters() -> dict[str, str | None]:
        return {spec.name: spec.environment.get("PURGED_HASH_MASTER") for spec in service_specs(layout, urls)}

    first = masters()
    assert first["image_api"] == first["image_tasks"] == (tmp_path / "purged-hash-master").read_text()
    assert (first["image_processor"], first["image_delivery"]) == (None, None)
    assert masters() == first
    monkeypatch.setenv("PURGED_HASH_MASTER_SECRET", "projects/p/secrets/s")
    assert masters()["image_api"] is None


def test_picture_of_the_check_is_a_picture() -> None:
    from io import BytesIO

    from PIL import Image

    with Image.open(BytesIO(gradient_png(96, 64, (10, 200, 100)))) as picture:
        picture.load()
        assert (picture.format, picture.size) == ("PNG", (96, 64))


def test_system_file_that_is_broken_counts_as_absent(tmp_path: Path) -> None:
    (tmp_path / "system.json").write_text("{ broken")
    assert read_system_file(tmp_path) is None
    (tmp_path / "system.json").write_text(json.dumps({"url": "x"}))
    assert read_system_file(tmp_path) is None
