"""The service as a process of its own, as the platform starts it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from image_core.db import Database
from local_cloud.ports import free_port
from local_cloud.testing import GuardedProcess

from .conftest import MASTER


@contextmanager
def running(worker_urls: Any, emulators: Any, *command: str, **variables: str) -> Iterator[Any]:
    port = free_port()
    environment = {
        **os.environ, **emulators.environment, "DATABASE_URL": worker_urls.delivery, "DELIVERY_MASTER": MASTER,
        "PORT": str(port), "HOST": "127.0.0.1", **variables,
    }  # fmt: skip
    process = GuardedProcess(
        [sys.executable, *(command or ("-m", "image_delivery"))], env=environment, stdout=subprocess.PIPE
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)


def until_ready(process: Any, url: str) -> Any:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None
        assert time.monotonic() < deadline
        try:
            answer = httpx2.get(f"{url}/health/ready", trust_env=False)
            if answer.status_code == 200:
                return answer.json()
        except httpx2.HTTPError:
            pass
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these")
def test_it_locks_its_workers_in_and_ends_in_order(rows: Database, worker_urls: Any, emulators: Any) -> None:
    with running(worker_urls, emulators, WORKER_CONFINEMENT_REQUIRED="true") as (process, url):
        answer = until_ready(process, url)
        assert answer["workers"] == 1
        assert answer["confinement"]["system_calls"] is True
        assert httpx2.get(f"{url}/i/nothing", trust_env=False).status_code == 404
        too_long = httpx2.get(f"{url}/i/nothing", headers={"x-long": "x" * 70_000}, trust_env=False)
        assert (too_long.status_code, too_long.json()["code"]) == (431, "header-too-large")
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) in (0, -signal.SIGTERM)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has seccomp")
def test_it_ends_where_workers_cannot_be_locked_in(rows: Database, worker_urls: Any, emulators: Any) -> None:
    without_filter = (
        "import runpy, image_delivery.app as app\n"
        "from image_engine.pool.pool import WorkerPool\n"
        "pool = app._pool\n"
        "def unable(settings):\n"
        "    made = pool(settings)\n"
        "    made._fleet._command = ('false',)\n"
        "    return made\n"
        "app._pool = unable\n"
        "runpy.run_module('image_delivery', run_name='__main__')\n"
    )
    with running(worker_urls, emulators, "-c", without_filter) as (process, _):
        output, _ = process.communicate(timeout=60)
    assert b"workers_not_started" in output
    assert process.returncode is not None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this")
def test_nobody_may_look_into_it_before_it_reads_its_secret() -> None:
    looking = (
        "import ctypes, runpy, image_delivery.settings\n"
        "class Looking:\n"
        "    def __init__(self):\n"
        "        print('dumpable:', ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
        "        raise SystemExit\n"
        "print('dumpable:', ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
        "image_delivery.settings.DeliverySettings = Looking\n"
        "runpy.run_module('image_delivery', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", looking], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["dumpable: 1", "dumpable: 0"]
