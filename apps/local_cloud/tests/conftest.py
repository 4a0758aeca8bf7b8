"""Runs an ASGI application in a thread of its own, for clients that block."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[import-untyped]
from google.oauth2 import service_account

from local_cloud.object_store.app import ObjectStoreApp
from local_cloud.object_store.signing import Signer
from local_cloud.object_store.store import ObjectStore
from local_cloud.ports import free_port

NOBODY = cast("Any", AnonymousCredentials)()
SIGNER_EMAIL = "image-manager@image-manager-local.iam.gserviceaccount.com"


@contextmanager
def served(make_app: Callable[[], Any], background: Callable[[], Awaitable[None]] | None = None) -> Iterator[str]:
    port = free_port()
    started = threading.Event()
    server: list[uvicorn.Server] = []

    async def serve() -> None:
        config = uvicorn.Config(make_app(), port=port, log_level="warning", lifespan="off")
        server.append(uvicorn.Server(config))
        task = asyncio.ensure_future(background()) if background else None
        serving = asyncio.ensure_future(server[0].serve())
        while not server[0].started:
            await asyncio.sleep(0.01)
        started.set()
        await serving
        if task:
            task.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(10)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server[0].should_exit = True
        thread.join()


class RunningStore:
    def __init__(self, url: str, folder: Path, key: rsa.RSAPrivateKey, published: list[Any]) -> None:
        self.url = url
        self.folder = folder
        self.key = key
        self.published = published

    def client(self) -> storage.Client:
        return storage.Client("image-manager-local", NOBODY, client_options={"api_endpoint": self.url})

    def signing_credentials(self, email: str = SIGNER_EMAIL, key: rsa.RSAPrivateKey | None = None) -> Any:
        from google.auth.crypt import RSASigner

        signer = cast("Any", RSASigner)(key or self.key)
        return cast("Any", service_account.Credentials)(signer, email, "http://127.0.0.1/token")

    def files(self) -> list[str]:
        return [entry.name for entry in (self.folder / "blobs").iterdir()]


@pytest.fixture(scope="session")
def signing_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def running_store(tmp_path: Path, signing_key: rsa.RSAPrivateKey) -> Iterator[RunningStore]:
    published: list[Any] = []
    stores: list[ObjectStore] = []

    async def publish(topic: str, data: bytes, attributes: dict[str, str]) -> None:
        published.append((topic, data, attributes))

    def make_app() -> ObjectStoreApp:
        store = ObjectStore(tmp_path / "store", publish=publish)
        stores.append(store)
        store.catalog.configure_bucket("originals", versioning=True, topic="image-uploads")
        store.catalog.configure_bucket("derivatives", versioning=False, topic=None)
        return ObjectStoreApp(store, Signer(SIGNER_EMAIL, signing_key.public_key()))

    async def background() -> None:
        await stores[0].send_notifications()

    with served(make_app, background) as url:
        yield RunningStore(url, tmp_path / "store", signing_key, published)
