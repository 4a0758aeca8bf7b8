import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from local_cloud.errors import DataFolderBroken, DataFolderInUse, DataFolderVersion, PortInUse, PostgresError
from local_cloud.ports import free_port
from local_cloud.postgres import account
from local_cloud.postgres.server import PostgresServer, throwaway_postgres


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with throwaway_postgres() as running:
        yield running


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[PostgresServer]:
    made = PostgresServer(tmp_path / "postgres", durable=False)
    yield made
    made.remove()


def test_answers_with_the_wanted_version_and_limits(server: PostgresServer) -> None:
    assert server.execute("show server_version").startswith("18")
    assert server.execute("show max_connections") == "100"
    assert server.execute("show fsync") == "off"


async def test_url_connects_and_a_wrong_password_does_not(server: PostgresServer) -> None:
    connection = await asyncpg.connect(server.url())
    assert await connection.fetchval("select uuidv7() is not null")
    await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.url(password="wrong"))


def test_a_failed_statement_is_an_error(server: PostgresServer) -> None:
    with pytest.raises(PostgresError, match="no_such_table"):
        server.execute("select * from no_such_table")


def test_data_password_and_port_survive_a_restart(fresh: PostgresServer) -> None:
    fresh.start()
    fresh.execute("create table kept (n int); insert into kept values (7)")
    url = fresh.url()
    fresh.stop()
    again = PostgresServer(fresh.data_dir, durable=False)
    with again:
        assert again.url() == url
        assert again.execute("select n from kept") == "7"


def test_restarts_after_being_killed(fresh: PostgresServer) -> None:
    fresh.start()
    fresh.execute("create table kept (n int); insert into kept values (7); checkpoint")
    url = fresh.url()
    assert fresh.pid is not None
    os.kill(fresh.pid, signal.SIGKILL)
    while fresh.running:
        time.sleep(0.01)
    assert fresh.restart_if_dead()
    assert fresh.url() == url
    assert fresh.execute("select n from kept") == "7"
    assert not fresh.restart_if_dead()


def test_secrets_are_private_and_no_parent_folder_changes_its_mode(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    before = [folder.stat().st_mode for folder in [closed, *closed.parents]]
    location: Path | None = None
    server = PostgresServer(closed / "postgres", durable=False)
    try:
        with server:
            assert server.execute("select 1") == "1"
        assert (server.data_dir / "password").stat().st_mode & 0o777 == 0o600
        assert [folder.stat().st_mode for folder in [closed, *closed.parents]] == before
        if os.geteuid() == 0:
            location = Path((server.data_dir / "location").read_text().strip())
            assert location.is_relative_to("/var/lib/image-manager")
    finally:
        server.remove()
    if location is not None:
        assert not location.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another account")
def test_as_root_the_server_runs_as_its_own_account(server: PostgresServer) -> None:
    owner = subprocess.run(["ps", "-o", "user:32=", "-p", str(server.pid)], capture_output=True, text=True, check=True)
    assert owner.stdout.strip() == "image-manager-postgres"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root copies the binaries")
def test_binaries_out_of_reach_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "_can_reach", lambda _account, path: "closed" in str(path))
    monkeypatch.setattr(account, "ROOT_STATE_DIR", Path("/var/lib/image-manager-test"))
    server = PostgresServer(tmp_path / "closed" / "postgres", durable=False)
    try:
        placement = account.place(server.data_dir)
        assert placement.bin_dir.is_relative_to("/var/lib/image-manager-test")
        done = subprocess.run(
            [placement.bin_dir / "postgres", "--version"],
            capture_output=True,
            text=True,
            check=True,
            **placement.popen_identity(),
        )
        assert "PostgreSQL) 18" in done.stdout
    finally:
        server.remove()
        shutil.rmtree("/var/lib/image-manager-test")


def test_a_port_in_use_is_named(fresh: PostgresServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=str(port)):
            PostgresServer(fresh.data_dir, durable=False, port=port).start()


def test_a_kept_port_that_is_taken_now_gives_way_to_another(fresh: PostgresServer) -> None:
    fresh.start()
    port = fresh.port
    fresh.stop()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        fresh.start()
        assert fresh.port != port
        assert fresh.execute("select 1") == "1"


def test_two_servers_cannot_share_a_folder(server: PostgresServer) -> None:
    with pytest.raises(DataFolderInUse, match="stop it"):
        PostgresServer(server.data_dir, durable=False).start()
    assert server.running


def test_a_broken_folder_and_another_version_say_what_to_do(fresh: PostgresServer) -> None:
    fresh.start()
    fresh.stop()
    cluster = fresh._placed.cluster_dir
    (cluster / "PG_VERSION").write_text("17\n")
    with pytest.raises(DataFolderVersion, match="pg_dump"):
        fresh.start()
    (cluster / "PG_VERSION").write_text("18\n")
    (cluster / "global" / "pg_control").unlink()
    with pytest.raises(DataFolderBroken, match="--reset"):
        fresh.start()
    (cluster / "PG_VERSION").unlink()
    with pytest.raises(DataFolderBroken, match="missing"):
        fresh.start()


def test_a_stale_pid_file_that_names_a_live_stranger_does_not_stop_the_start(fresh: PostgresServer) -> None:
    fresh.start()
    fresh.stop()
    (fresh._placed.cluster_dir / "postmaster.pid").write_text(f"{os.getppid()}\n")
    fresh.start()
    assert fresh.execute("select 1") == "1"


def test_the_server_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    data_dir = tmp_path / "postgres"
    script = (
        "import sys, time; from pathlib import Path; from local_cloud.postgres.server import PostgresServer\n"
        f"s = PostgresServer(Path({str(data_dir)!r}), durable=False); s.start()\n"
        "print(s.pid, flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    starter.kill()
    starter.wait()
    starter.stdout.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and Path(f"/proc/{pid}").exists():
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    PostgresServer(data_dir, durable=False).remove()


def test_free_port_is_free() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free_port()))
