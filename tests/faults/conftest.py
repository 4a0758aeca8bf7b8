"""One faulty system for each process that runs tests, and a scene of fresh teams for each test."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local_cloud.system.environment import PROJECT_ID

from .inbox import Inbox
from .invariants import Checker
from .journal import Caller, Journal, new_caller
from .system import FaultySystem, Service


@dataclass
class Scene:
    """What a test plays with."""

    system: FaultySystem
    journal: Journal
    caller: Caller
    inbox: Inbox

    async def until(self, image_id: str, status: str, seconds: float = 60) -> dict[str, Any]:
        """Wait until an image has this status, and return it."""
        deadline = time.monotonic() + seconds
        while (image := await self.caller.image(image_id))["status"] != status:
            assert time.monotonic() < deadline, image
            await asyncio.sleep(0.2)
        return image

    @property
    def api(self) -> Service:
        return self.system.api

    @property
    def processor(self) -> Service:
        return self.system.processor

    @property
    def delivery(self) -> Service:
        return self.system.delivery


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultySystem]:
    started = FaultySystem(tmp_path_factory.mktemp("system") / "data")
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="session")
def checker(system: FaultySystem) -> Iterator[Checker]:
    inbox = Inbox(system.layout.pubsub_host, PROJECT_ID)
    yield Checker(system, inbox)
    inbox.close()


@pytest.fixture
async def scene(system: FaultySystem, checker: Checker) -> AsyncIterator[Scene]:
    """Two teams that nobody else uses; whatever the test breaks, it ends with every invariant checked."""
    journal = Journal()
    caller, stranger = await asyncio.gather(
        *(new_caller(system.layout.url, system.admin_api_key, journal) for _ in range(2))
    )
    await caller.get("/whoami")
    await stranger.get("/whoami")
    yield Scene(system, journal, caller, checker.inbox)
    try:
        await checker.check(journal)
    finally:
        await caller.close()
        await stranger.close()
