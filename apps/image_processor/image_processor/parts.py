"""The parts of the running processor, and what every job does with them: wait for its turn, fetch, commit."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import cached_property

from opentelemetry.trace import TracerProvider

from image_core import errors, events
from image_core.db import Database, Transaction
from image_core.events import Publisher
from image_core.storage.protocol import ObjectMissing, ObjectStorage, ObjectTooLarge
from image_core.telemetry import log
from image_engine.contract.picture_file import PictureFile
from image_engine.contract.rejections import PictureRejected
from image_engine.pool.pool import WorkerPool
from image_processor.failures import Passing
from image_processor.metrics import Metrics
from image_processor.settings import ProcessorSettings
from image_processor.vision import CloudVision

_TURN_SECONDS = 20


class Outcome(Enum):
    """What becomes of the message: acknowledged, or pushed again later."""

    DONE = "done"
    LATER = "later"


@dataclass(frozen=True)
class Parts:
    """The parts of the running processor."""

    settings: ProcessorSettings
    database: Database
    originals: ObjectStorage
    derivatives: ObjectStorage
    scratch: ObjectStorage
    publisher: Publisher
    pool: WorkerPool
    vision: CloudVision
    metrics: Metrics
    tracer_provider: TracerProvider | None = None

    @cached_property
    def slots(self) -> asyncio.Semaphore:
        """How many jobs run at once: one for each worker, and one that fetches its bytes meanwhile."""
        return asyncio.Semaphore(self.settings.worker_count + 1)

    @property
    def lease(self) -> timedelta:
        """How long a claim holds."""
        return timedelta(seconds=self.settings.lease_seconds)


def committing(parts: Parts) -> AbstractAsyncContextManager[Transaction]:
    """Open a transaction whose events are published once it is committed."""
    return events.committing(parts.database, parts.publisher)


async def in_turn(parts: Parts, job: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Run a job when there is room for one more; where there is none for long, its message comes again."""
    try:
        # A message waits for its turn before it claims: waiting under a claim would use up the lease. Both together
        # have to end within the time that a request may take.
        async with asyncio.timeout(min(_TURN_SECONDS, parts.settings.lease_seconds / 2)):
            await parts.slots.acquire()
    except TimeoutError:
        log("processor_busy", severity="WARNING")
        return Outcome.LATER
    try:
        return await job()
    finally:
        parts.slots.release()


async def fetch(parts: Parts, storage: ObjectStorage, name: str, generation: int, picture: PictureFile) -> bytes:
    """Write the object into `picture` and return its SHA-256.

    Raises:
        Passing: storage is away, or the object is gone.
        PictureRejected: the object is larger than is allowed.
    """
    hashing = _HashingFile(picture)
    try:
        await storage.download(name, generation, hashing, parts.settings.original_max_bytes)
    except (errors.StorageUnavailable, ObjectMissing) as error:
        raise Passing(type(error).__name__) from error
    except ObjectTooLarge as error:
        raise PictureRejected("picture-too-large") from error
    return hashing.digest()


class _HashingFile:
    """Hash what passes through on its way into the picture's file."""

    def __init__(self, picture: PictureFile) -> None:
        self._picture, self._sha256 = picture, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._sha256.update(data)
        self._picture.write(data)
        return len(data)

    def digest(self) -> bytes:
        return self._sha256.digest()
