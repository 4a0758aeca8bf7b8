import asyncio
import logging

import pytest

from image_core import background
from image_core.background import supervise


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_FIRST_PAUSE_SECONDS", 0.0)


async def test_work_that_fails_is_logged_and_started_again(caplog: pytest.LogCaptureFixture) -> None:
    outcomes = iter([ValueError("quotes a value"), OSError("disk full"), None])
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome

    with caplog.at_level(logging.ERROR):
        await asyncio.wait_for(supervise("work", work), 5)
    assert runs == 3
    fields = [getattr(record, "json_fields", {}) for record in caplog.records]
    assert [each["background_work"] for each in fields] == ["work", "work"]
    assert "ValueError" in fields[0]["stack_trace"]


async def test_cancelling_ends_it() -> None:
    started = asyncio.Event()

    async def work() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(supervise("work", work))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_pauses_grow_up_to_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 9:
            raise asyncio.CancelledError

    async def work() -> None:
        raise ValueError

    monkeypatch.setattr(background, "_FIRST_PAUSE_SECONDS", 0.5)
    monkeypatch.setattr(asyncio, "sleep", note)
    with pytest.raises(asyncio.CancelledError):
        await supervise("work", work)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
