"""`image-manager up` as a person starts it: a process of its own, known by what it prints and writes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local_cloud.postgres.server import PostgresServer
from local_cloud.testing import end_with_run

COMMAND = str(Path(sys.executable).with_name("image-manager"))
READY_SECONDS = 90
STOP_SECONDS = 40
READY = "Press Ctrl-C to stop"


def environment() -> dict[str, str]:
    """Ours, without an address that would take the place of a part of the local cloud.

    Pictures may be fetched from this machine, because that is where the tests serve them. The environment names a proxy
    that is dead, and no exception from it.
    """
    outside = ("DATABASE_URL", "STORAGE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "PUSH_JWKS_URL", "GCLOUD_CREDS_PATH")
    inherited = {name: value for name, value in os.environ.items() if name not in (*outside, "no_proxy", "NO_PROXY")}
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    return {**inherited, **proxies, "FETCH_ALLOW_ADDRESSES": '["127.0.0.1/32"]'}


class UpProcess:
    """One run of `up`."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        self.data_dir = data_dir
        self.output_path = data_dir.with_name(f"{data_dir.name}-{time.time_ns()}.out")
        with self.output_path.open("w") as output:
            self.process = subprocess.Popen(
                [COMMAND, "up", "--data-dir", str(data_dir), *(options or ("--port", "0"))],
                stdout=output,
                stderr=output,
                env=environment(),
                start_new_session=True,
            )
        end_with_run(self.process.pid)

    @property
    def output(self) -> str:
        return self.output_path.read_text()

    @property
    def system(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data_dir / "system.json").read_text())
        return found

    def wait_for(self, text: str, times: int = 1) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while self.output.count(text) < times:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def stop(self) -> int:
        """Ctrl-C; returns the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_SECONDS)


@contextlib.contextmanager
def up(data_dir: Path, *options: str) -> Iterator[UpProcess]:
    """A system that is ready, and stopped in order when the block ends."""
    running = UpProcess(data_dir, *options)
    try:
        running.wait_for(READY)
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()


def remove_database(data_dir: Path) -> None:
    """Remove what PostgreSQL keeps outside the folder of a system that has ended."""
    PostgresServer(data_dir / "postgres").remove()


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run another command of the same program to its end."""
    return subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, check=False, env=environment(), timeout=READY_SECONDS
    )


def processes_of(data_dir: Path, pids: dict[str, int]) -> list[str]:
    """Every process that belongs to a system: those that it named, their children, and any that names its folder."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True)
    found = []
    for line in listed.stdout.splitlines():
        pid, parent, state, arguments = line.split(None, 3)
        named = {int(pid), int(parent)} & set(pids.values())
        if not state.startswith("Z") and (named or str(data_dir) in arguments):
            found.append(line)
    return found


def wait_until_gone(data_dir: Path, pids: dict[str, int]) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while left := processes_of(data_dir, pids):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
