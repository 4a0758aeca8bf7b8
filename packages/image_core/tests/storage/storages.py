"""The storages that the contract is tried on."""

import io
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
from aiohttp import web
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as google_storage  # type: ignore[attr-defined]
from multidict import CIMultiDict
from yarl import URL

from local_cloud.ports import free_port
from local_cloud.testing import GuardedProcess

# Pinned, so that a second opinion is the same one everywhere.
FAKE_GCS_SERVER = "github.com/fsouza/fake-gcs-server@v1.56.1"

Fault = Callable[["Exchange"], Awaitable[web.StreamResponse]]


@dataclass
class Exchange:
    """A request on its way to the store, which a fault may pass on."""

    request: web.Request
    body: bytes
    session: aiohttp.ClientSession
    upstream: str

    async def send(self) -> tuple[int, CIMultiDict[str], bytes]:
        """The store's answer."""
        url = URL(self.upstream + self.request.raw_path, encoded=True)
        async with self.session.request(
            self.request.method, url, headers=self.request.headers, data=io.BytesIO(self.body), allow_redirects=False
        ) as answer:
            return answer.status, CIMultiDict(answer.headers), await answer.read()

    async def answer(
        self, status: int, headers: CIMultiDict[str], body: bytes, length: int | None = None
    ) -> web.StreamResponse:
        """Answers the client with a body that may be shorter than the length that was announced."""
        headers = CIMultiDict((k, v) for k, v in headers.items() if k.lower() not in {"transfer-encoding", "date"})
        headers["content-length"] = str(len(body) if length is None else length)
        if status in {204, 304}:
            del headers["content-length"]
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(self.request)
        await response.write(body)
        if length is not None and len(body) < length:
            self.cut()
        return response

    def cut(self) -> None:
        """Resets the client's connection."""
        assert self.request.transport is not None
        self.request.transport.abort()


class SpoiltNetwork:
    """Stands before a store and lets each fault of a list loose on one request that it picks, in order."""

    def __init__(self, upstream: str) -> None:
        self.faults: list[tuple[Callable[[web.Request], bool], Fault]] = []
        self.sent: list[web.Request] = []
        self._upstream = upstream
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["SpoiltNetwork"]:
        """Serves until the block is left."""
        self._session = aiohttp.ClientSession(auto_decompress=False)
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()
            await self._session.close()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.sent.append(request)
        exchange = Exchange(request, await request.read(), self._session, self._upstream)
        for index, (picks, fault) in enumerate(self.faults):
            if picks(request):
                del self.faults[index]
                return await fault(exchange)
        return await exchange.answer(*await exchange.send())


@contextmanager
def fake_gcs_server(bucket: str) -> Iterator[str]:
    """Builds the server with Go, once for each version, and runs it; yields its URL."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "image-manager" / "go"
    folder = folder / FAKE_GCS_SERVER.rpartition("@")[2]
    binary = folder / "fake-gcs-server"
    if not binary.exists():
        subprocess.run(["go", "install", FAKE_GCS_SERVER], env={**os.environ, "GOBIN": str(folder)}, check=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as data:
        command = [str(binary), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
        command += ["-external-url", url, "-filesystem-root", data, "-log-level", "error"]
        process = GuardedProcess(command)
        try:
            _wait(f"{url}/storage/v1/b", process)
            credentials: Any = AnonymousCredentials  # it has no types
            client = google_storage.Client("p", credentials(), client_options={"api_endpoint": url})
            made = client.bucket(bucket)
            made.versioning_enabled = True
            client.create_bucket(made)
            yield url
        finally:
            process.terminate()
            process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            httpx2.get(url, trust_env=False)
        except httpx2.HTTPError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return
