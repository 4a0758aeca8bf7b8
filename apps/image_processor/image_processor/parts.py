"""The parts of the running processor, and steps common to all jobs: wait for a slot, fetch, commit."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import cached_property
from typing import NamedTuple

from opentelemetry.trace import TracerProvider

from image_core import errors, events
from image_core.db import Database, Transaction
from image_core.events import Publisher
from image_core.storage.protocol import ObjectMissing, ObjectStorage, ObjectTooLarge
from image_core.telemetry import log
from image_engine.contract.picture_file import PictureFile
from image_engine.contract.rejections import PictureRejected
from image_engine.pool.pool import WorkerPool
from image_processor.failures import TransientFailure
from image_processor.idle_workers import IdleWorkers
from image_processor.metrics import Metrics
from image_processor.settings import ProcessorSettings
from image_processor.vision import CloudVision

_SLOT_WAIT_SECONDS = 20


class Outcome(Enum):
    """What happens to the message: it is acknowledged, or pushed again later."""

    DONE = "done"
    LATER = "later"


class Digests(NamedTuple):
    """The digests of an object's bytes; `crc32c` is written as storage writes it."""

    sha256: bytes
    crc32c: str


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
        """The number of concurrent jobs: one per worker, and one that fetches its bytes in the meantime."""
        return asyncio.Semaphore(self.settings.worker_count + 1)

    @cached_property
    def idle_workers(self) -> IdleWorkers:
        """The workers that no job of the above needs at the moment."""
        return IdleWorkers(self.settings.worker_count)

    @property
    def lease(self) -> timedelta:
        """How long a claim is valid."""
        return timedelta(seconds=self.settings.lease_seconds)


def committing(parts: Parts) -> AbstractAsyncContextManager[Transaction]:
    """Open a transaction whose events are published after the commit."""
    return events.committing(parts.database, parts.publisher)


async def run_in_slot(parts: Parts, job: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Run a job once a slot is free; if none becomes free in time, have the message redelivered."""
    try:
        # A message waits for its slot before it claims, because waiting under a claim would use up the lease. Both
        # together must fit into the time limit of a request.
        async with asyncio.timeout(min(_SLOT_WAIT_SECONDS, parts.settings.lease_seconds / 2)):
            await parts.slots.acquire()
    except TimeoutError:
        log("processor_busy", severity="WARNING")
        return Outcome.LATER
    try:
        with parts.idle_workers.without_one():
            return await job()
    finally:
        parts.slots.release()


async def run_on_idle_worker(parts: Parts, job: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Run a job that nobody waits for once a worker is idle; if none is for a while, have the message redelivered."""
    idle = parts.idle_workers
    if idle.is_awaited:
        return Outcome.LATER
    try:
        async with asyncio.timeout(min(_SLOT_WAIT_SECONDS, parts.settings.lease_seconds / 2)):
            await idle.acquire()
    except TimeoutError:
        return Outcome.LATER
    try:
        return await job()
    finally:
        idle.release()


async def fetch(
    parts: Parts, storage: ObjectStorage, name: str, generation: int | None, picture: PictureFile
) -> Digests:
    """Write the object into `picture` and return the digests of its bytes.

    Raises:
        TransientFailure: Storage is unavailable, or the object is gone.
        PictureRejected: The object is larger than allowed.
    """
    hashing = _HashingFile(picture)
    try:
        crc32c = await storage.download(name, generation, hashing, parts.settings.original_max_bytes)
    except (errors.StorageUnavailable, ObjectMissing) as error:
        raise TransientFailure(type(error).__name__) from error
    except ObjectTooLarge as error:
        raise PictureRejected("picture-too-large") from error
    return Digests(hashing.digest(), crc32c)


class _HashingFile:
    """A file that hashes what is written to it."""

    def __init__(self, picture: PictureFile) -> None:
        self._picture, self._sha256 = picture, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._sha256.update(data)
        self._picture.write(data)
        return len(data)

    def digest(self) -> bytes:
        return self._sha256.digest()
