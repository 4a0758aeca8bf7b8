"""The worker of operations, in a hurry."""

from collections.abc import Iterator

import pytest

from image_api.operations import tasks as operations

from ..housekeeping import Tasks
from .counting import Operations
from .killed_worker import KilledWorker


@pytest.fixture
def work(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> Operations:
    """Operations, and a worker that does not wait for what is in progress."""
    monkeypatch.setattr(operations, "_IDLE_SECONDS", 0.0)
    monkeypatch.setattr(operations, "_PAUSE_SECONDS", 0.0)
    return Operations(tasks)


@pytest.fixture(scope="module")
def killed_worker(running_tasks: Tasks) -> Iterator[KilledWorker]:
    worker = KilledWorker(running_tasks.parts.settings)
    yield worker
    worker.close()
