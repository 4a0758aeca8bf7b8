"""A whole sweep, and what its report shows."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert

from image_api import tasks_app
from image_api.images import tasks as images
from image_api.tasks import runner
from image_core import errors, testing
from image_core.models import event, team

from ..housekeeping import PAST, Tasks


class TestWhole:
    async def test_a_step_that_fails_does_not_hold_the_others(
        self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def broken(*_: Any) -> int:
            raise RuntimeError("broken")

        monkeypatch.setitem(tasks_app.STEPS, "overdue_uploads", broken)
        await tasks.image("stored", queued_at=PAST)
        counts = await tasks.sweep()
        assert (counts["overdue_uploads"], counts["asked_again"]) == (-1, 1)

    async def test_more_than_a_batch_is_done_in_rounds(self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (images, runner):
            monkeypatch.setattr(module, "BATCH", 2)
        team_id = await testing.add_team(tasks.rows)
        for _ in range(5):
            await testing.add_image(tasks.rows, team_id, "stored", queued_at=PAST)
        assert (await tasks.sweep())["asked_again"] == 5

    async def test_the_sweep_shows_what_waits(self, tasks: Tasks) -> None:
        await tasks.sweep()
        shown = (await tasks.client.get("/metrics")).text
        assert "orphan_objects 0.0" in shown
        assert 'task_rows{step="purged"} 0.0' in shown
        assert "outbox_age_seconds 0.0" in shown

    async def test_the_sweep_notices_what_holds_up_the_feed(
        self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(runner, "_HELD_UP_SECONDS", 0)
        values = {**testing.TRASHED_EVENT, "id": uuid4(), "published_at": PAST}
        async with tasks.rows.transaction() as late:
            # It has written, so it stands before the event.
            await late.execute(insert(team).values(id=uuid4(), name="slow"))
            await tasks.rows.execute(insert(event).values(values))
            await tasks.sweep()
        assert "feed_held_up" in [record.message for record in caplog.records]
        assert "feed_lag_seconds 0.0" not in (await tasks.client.get("/metrics")).text

    async def test_without_a_database_the_sweep_comes_again(
        self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away(*_: Any, **__: Any) -> Any:
            raise errors.DatabaseUnavailable("Away.")

        for verb in ("fetch", "fetch_one", "execute"):
            monkeypatch.setattr(tasks.parts.database, verb, away)
        answer = await tasks.client.post("/tasks/sweep", headers=tasks.headers())
        assert answer.status_code == 503
