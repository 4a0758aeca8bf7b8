"""The worker of operations, in a hurry."""

import pytest

from image_api.operations import tasks as operations

from ..housekeeping import Tasks
from .counting import Operations


@pytest.fixture
def work(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> Operations:
    """Operations, and a worker that does not wait for what is in progress."""
    monkeypatch.setattr(operations, "_IDLE_SECONDS", 0.0)
    monkeypatch.setattr(operations, "_PAUSE_SECONDS", 0.0)
    return Operations(tasks)
