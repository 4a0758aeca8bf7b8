"""SIGTERM during an upload, to the service as the process that it is."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from image_api.server.shutdown import Shutdown
from image_core.db import Database
from image_core.models import image
from image_core.storage.protocol import ONE_REQUEST_BYTES
from local_cloud.testing import GuardedProcess

from ..conftest import Api
from ..pictures import large_picture

# The half that is sent is more than one request to storage, so that its row is there before the rest comes.
SIZE = 2 * ONE_REQUEST_BYTES + 1_000_000


@pytest.fixture
def process(base_settings: dict[str, Any], rows: Database) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = {name.upper(): str(value) for name, value in base_settings.items()}
    environment = {**os.environ, **told, "HOST": "127.0.0.1", "PORT": str(port)}
    started = GuardedProcess([sys.executable, "-m", "image_api"], env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while True:
        try:
            httpx2.get(f"http://127.0.0.1:{port}/health/live", trust_env=False)
            break
        except httpx2.HTTPError:
            assert started.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield port, started
    started.kill()
    started.wait()


def begin_upload(port: int, api_key: str, size: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    head = f"POST /api/v1/images HTTP/1.1\r\nHost: x\r\nX-API-KEY: {api_key}\r\nContent-Type: image/png\r\n"
    connection.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode() + large_picture(size)[: size // 2])
    return connection


def status_of(connection: socket.socket) -> int:
    return int(connection.recv(1000).split()[1])


async def wait_for_row(rows: Database) -> None:
    while await rows.fetch_value(select(image.c.id)) is None:
        await asyncio.sleep(0.02)


async def test_an_upload_that_goes_on_is_finished(api: Api, process: tuple[int, "subprocess.Popen[bytes]"]) -> None:
    member = await api.user()
    port, running = process
    with closing(begin_upload(port, member.api_key, SIZE)) as connection:
        await wait_for_row(api.rows)
        running.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        connection.sendall(large_picture(SIZE)[SIZE // 2 :])
        assert status_of(connection) == 201
    assert running.wait(8) == 0 or running.returncode == -signal.SIGTERM
    assert (await api.only_row())["status"] == "stored"


async def test_an_upload_that_stands_still_is_ended_in_time(
    api: Api, process: tuple[int, "subprocess.Popen[bytes]"]
) -> None:
    member = await api.user()
    port, running = process
    with closing(begin_upload(port, member.api_key, SIZE)) as connection:
        await wait_for_row(api.rows)
        stopped_at = time.monotonic()
        running.send_signal(signal.SIGTERM)
        assert status_of(connection) == 503
        running.wait(9)
    assert time.monotonic() - stopped_at < 8
    assert (await api.only_row())["status"] == "expired"


async def test_a_client_that_hangs_up_leaves_an_expired_row(
    api: Api, process: tuple[int, "subprocess.Popen[bytes]"]
) -> None:
    member = await api.user()
    port, _ = process
    connection = begin_upload(port, member.api_key, SIZE)
    await wait_for_row(api.rows)
    connection.close()
    deadline = time.monotonic() + 5
    while (await api.only_row())["status"] == "pending":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    row = await api.only_row()
    assert (row["status"], row["failure_code"]) == ("expired", "upload-broken-off")
    assert await api.services.originals.stat(row["object_name"]) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_process_that_has_no_server(number: signal.Signals) -> None:
    code = """
import asyncio, signal, sys
from image_api.server.shutdown import Shutdown
async def main():
    Shutdown().listen()
    print("listening", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stdout.readline() == b"listening\n"
    process.send_signal(number)
    assert process.wait(10) == -number


async def test_signals_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    shutdown = Shutdown()
    shutdown.listen()
    assert signal.getsignal(signal.SIGTERM) is not before
    shutdown.release()
    assert signal.getsignal(signal.SIGTERM) is before
