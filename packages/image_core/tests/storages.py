"""The storages that the contract is tried on."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from socket import socket
from typing import Any

import httpx2
import requests.adapters
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as google_storage  # type: ignore[attr-defined]

from image_core.gcs import GcsClient

# Pinned, so that a second opinion is the same one everywhere.
FAKE_GCS_SERVER = "github.com/fsouza/fake-gcs-server@v1.56.1"

Send = Callable[[], Any]
Fault = Callable[[Any, Send], Any]


class SpoiltAdapter(requests.adapters.HTTPAdapter):
    """Lets each fault of a list loose on one request that it picks, in order; other requests pass."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[tuple[Callable[[Any], bool], Fault]] = []
        self.sent: list[Any] = []

    def send(self, request: Any, *arguments: Any, **options: Any) -> Any:
        self.sent.append(request)
        for index, (picks, fault) in enumerate(self.faults):
            if picks(request):
                del self.faults[index]
                return fault(request, lambda: super(SpoiltAdapter, self).send(request, *arguments, **options))
        return super().send(request, *arguments, **options)


def spoil(client: GcsClient) -> SpoiltAdapter:
    """Puts the adapter between a client and the network."""
    adapter = SpoiltAdapter()
    for scheme in ("http://", "https://"):
        client.connect()._http.mount(scheme, adapter)
    return adapter


def _free_port() -> int:
    with closing(socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def fake_gcs_server(bucket: str) -> Iterator[str]:
    """Builds the server with Go, once for each version, and runs it; yields its URL."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "image-manager" / "go"
    folder = folder / FAKE_GCS_SERVER.rpartition("@")[2]
    binary = folder / "fake-gcs-server"
    if not binary.exists():
        subprocess.run(["go", "install", FAKE_GCS_SERVER], env={**os.environ, "GOBIN": str(folder)}, check=True)
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as data:
        command = [str(binary), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
        command += ["-external-url", url, "-filesystem-root", data, "-log-level", "error"]
        process = subprocess.Popen(command)
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
