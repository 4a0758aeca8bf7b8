"""Running pools for tests."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from image_engine.models.model import Model
from image_engine.pool.fleet import WORKER_COMMAND
from image_engine.pool.pool import WorkerPool
from image_engine.pool.worker_limits import WorkerLimits
from image_engine.pool.worker_models import WorkerModels

FAULTY_COMMAND = (sys.executable, "-m", "image_engine.testing.faulty_worker")


@asynccontextmanager
async def running_pool(
    *models: Model, size: int = 1, command: Sequence[str] = WORKER_COMMAND, **limits: Any
) -> AsyncIterator[WorkerPool]:
    """Start a pool, and stop it at the end of the block."""
    pool = WorkerPool(size, WorkerLimits(**limits), WorkerModels(*models), command)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()
