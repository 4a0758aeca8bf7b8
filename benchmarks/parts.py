"""The parts that benchmarks start: a throw-away database with rows, emulators, services, a plain HTTP client."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@contextmanager
def running_system(**environment: str) -> Iterator[dict[str, Any]]:
    """The whole local cloud in a folder of its own; yields what it wrote into system.json."""
    with tempfile.TemporaryDirectory(prefix="image-manager-bench-") as folder:
        # Under root, PostgreSQL runs as a user who has to reach its data.
        Path(folder).chmod(0o711)
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "RATE_LIMIT_PER_SECOND": "1000000"}
        env |= {"ADDRESS_RATE_LIMIT_PER_SECOND": "1000000"}
        env |= {"UPLOAD_RATE_LIMIT_PER_SECOND": "1000000", "METRICS_ENABLED": "true", **environment}
        command = [sys.executable, "-m", "image_client.main", "up", "--port", "0", "--data-dir", folder]
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
        try:
            yield _wait_for(Path(folder) / "system.json", process)
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(path: Path, process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    for _ in range(2400):
        if path.exists():
            content: dict[str, Any] = json.loads(path.read_text())
            return content
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit("The system did not start; `image-manager up` says why.")


def call(url: str, key: str, body: dict[str, Any] | None = None) -> Any:
    """One JSON request, outside what is measured."""
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode())
    request.add_header("X-API-KEY", key)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def body_size(url: str, key: str) -> int:
    """Bytes of an uncompressed answer, outside what is measured."""
    with urllib.request.urlopen(urllib.request.Request(url, headers={"X-API-KEY": key}), timeout=30) as answer:
        return len(answer.read())


def upload(url: str, key: str, picture: bytes) -> Any:
    """Sends one picture, outside what is measured."""
    request = urllib.request.Request(url, picture, {"X-API-KEY": key, "Content-Type": "image/jpeg"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def new_member(system: dict[str, Any], name: str) -> tuple[str, str]:
    """A team and a member of it: the team's id and the member's key."""
    team = call(f"{system['url']}/api/v1/teams", system["admin_api_key"], {"name": name})["id"]
    user = call(f"{system['url']}/api/v1/teams/{team}/users", system["admin_api_key"], {"name": "bench"})
    return team, user["api_key"]


def wait_for_port(url: str) -> None:
    """Returns when somebody listens there."""
    parts = urlsplit(url)
    for _ in range(200):
        try:
            socket.create_connection((parts.hostname or "", parts.port or 0), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("Nobody listens there.")


class PlainClient:
    """Keep-alive HTTP/1.1 over a plain socket: as little of the machine as possible goes to the client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, request: Sequence[bytes]) -> tuple[int, bytes]:
        """Sends the pieces of one request and returns status and body."""
        for piece in request:
            self._writer.write(piece)
            await self._writer.drain()
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
        return int(head[9:12]), await self._reader.readexactly(length)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[PlainClient]:
    """One connection."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=64 * 1024 * 1024)
    try:
        yield PlainClient(reader, writer)
    finally:
        writer.close()


async def repeat(url: str, requests: Sequence[Sequence[bytes]], connections: int) -> None:
    """Sends all requests over so many connections; every answer has to be a success."""
    pending = iter(requests)

    async def worker() -> None:
        async with connected(url) as client:
            for request in pending:
                status, body = await client.send(request)
                if status >= 300:
                    raise SystemExit(f"{status}: {body[:300]!r}")

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(worker())
