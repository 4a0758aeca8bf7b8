"""image-delivery with its real database role, storage and middleware; only the codecs' worker pool is scripted."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from asgi_lifespan import LifespanManager

from image_core.db import Database
from image_delivery import app as delivery_app
from image_delivery.parts import Parts
from image_delivery.settings import DeliverySettings
from image_engine.worker.confinement import Confinement

MASTER = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
"""That of docs/delivery-vectors.json."""


@dataclass
class ScriptedPool:
    """A pool that never starts a process."""

    process_ids: list[int] = field(default_factory=lambda: [1])
    confinement: Confinement = field(default_factory=lambda: Confinement(system_calls=True, landlock=7))

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""


@dataclass
class Delivery:
    """A running image-delivery and the rows around it."""

    app: delivery_app.Application
    client: httpx2.AsyncClient
    rows: Database
    pool: ScriptedPool

    @property
    def parts(self) -> Parts:
        parts: Parts = self.app.service.state.parts
        return parts


MakeDelivery = Callable[..., AbstractAsyncContextManager[Delivery]]


@pytest.fixture
def make_delivery(rows: Database, worker_urls: Any, emulators: Any, monkeypatch: pytest.MonkeyPatch) -> MakeDelivery:
    """Starts an instance of its own, with changed settings."""

    @asynccontextmanager
    async def make(**changes: Any) -> AsyncIterator[Delivery]:
        values = {**emulators.settings, "database_url": worker_urls.processor, "delivery_master": MASTER, **changes}
        pool = ScriptedPool()
        monkeypatch.setattr(delivery_app, "_pool", lambda *_: pool)
        app = delivery_app.create_app(DeliverySettings(**values))
        async with LifespanManager(app, startup_timeout=20, shutdown_timeout=20):
            transport = httpx2.ASGITransport(app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://delivery", timeout=30) as client:
                yield Delivery(app, client, rows, pool)

    return make
