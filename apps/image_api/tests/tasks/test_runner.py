"""What may take long or fails does not keep the rest of the sweep from its turn."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select

from image_api import tasks_app
from image_api.images import tasks as images
from image_api.tasks import runner
from image_core import errors, testing
from image_core.events import Topic
from image_core.ids import new_id
from image_core.models import (
    discarded_object,
    event,
    image,
)
from image_core.storage.protocol import ObjectStorage

from ..housekeeping import PAST, Tasks


@pytest.fixture
async def trashed(tasks: Tasks) -> list[UUID]:
    """Twenty images that are to be purged, in the order in which they were trashed."""
    team_id = await testing.add_team(tasks.rows)
    return [
        await testing.add_image(tasks.rows, team_id, deleted_at=PAST + timedelta(days=day), deadline_at=PAST)
        for day in range(20)
    ]


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "STEP_SECONDS", 0.0)


def refusing(storage: ObjectStorage, names: set[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have storage refuse to delete what is under a hold; returns the names that were tried."""
    really, tried = storage.delete, []

    async def delete(name: str, generation: int | None = None) -> None:
        tried.append(name)
        if name in names:
            raise errors.StorageUnavailable("The object is under a hold.")
        await really(name, generation)

    monkeypatch.setattr(storage, "delete", delete)
    return tried


class TestTime:
    @pytest.mark.usefixtures("no_time")
    async def test_a_step_without_time_ends_after_a_group_and_the_next_sweep_goes_on(
        self, tasks: Tasks, trashed: list[UUID]
    ) -> None:
        assert (await tasks.sweep())["purged"] == runner.GROUP
        # What is left is asked for at once.
        nudges = select(event.c.payload["kind"].astext).where(event.c.topic == "tasks")
        assert [row[0] for row in await tasks.rows.fetch(nudges)] == ["purged"]
        await tasks.rows.execute(image.update().values(deadline_at=PAST))
        assert (await tasks.sweep())["purged"] == len(trashed) - runner.GROUP
        assert await tasks.count(image) == 0

    @pytest.mark.usefixtures("no_time")
    async def test_statements_over_many_rows_stop_between_two_batches(
        self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (images, runner):
            monkeypatch.setattr(module, "BATCH", 2)
        monkeypatch.setattr(runner, "OLD_ROWS_BATCH", 2)
        for number in range(3):
            await tasks.image("stored", queued_at=PAST)
            published_at = PAST + timedelta(days=number)
            old = {**testing.TRASHED_EVENT, "topic": Topic.ANALYSES, "published_at": published_at}
            await tasks.rows.execute(insert(event).values(id=new_id(), **old))
        counts = await tasks.sweep()
        assert (counts["asked_again"], counts["old_events"]) == (2, 2)

    async def test_a_sweep_without_time_puts_steps_off(self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runner, "SWEEP_SECONDS", -1.0)
        await tasks.image("stored", queued_at=PAST)
        assert set((await tasks.sweep()).values()) == {-1}
        monkeypatch.undo()
        assert (await tasks.sweep())["asked_again"] == 1

    async def test_a_step_that_hangs_is_broken_off(self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
        async def hang(*_: Any) -> int:
            return await asyncio.Event().wait()

        monkeypatch.setattr(runner, "STEP_SECONDS", 0.0)
        monkeypatch.setattr(runner, "_HANGING_SECONDS", 0.0)
        assert await runner.run_steps(tasks.parts, {"hangs": hang}) == {"hangs": -1}

    async def test_events_are_published_before_anything_else(self) -> None:
        names = list(tasks_app.STEPS)
        assert names[0] == "events_published"
        assert names[-7:-3] == ["overdue_uploads", "sessions_forgotten", "purged", "objects_removed"]
        # They wait for others' endpoints, or are long.
        assert names[-2:] == ["webhooks_sent", "operations"]


class TestRows:
    async def test_an_image_that_cannot_be_purged_stops_no_other(
        self, tasks: Tasks, trashed: list[UUID], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held = await tasks.row(trashed[0])
        tried = refusing(tasks.parts.originals, {held["object_name"]}, monkeypatch)
        assert (await tasks.sweep())["purged"] == len(trashed) - 1
        assert await tasks.count(image) == 1
        waits = []
        for _ in range(3):
            # Until its time has come, nobody tries it.
            assert (await tasks.sweep())["purged"] == 0
            row = await tasks.row(trashed[0])
            waits.append(row["deadline_at"] - datetime.now(UTC))
            await tasks.set_row(trashed[0], deadline_at=PAST)
            assert (await tasks.sweep())["purged"] == -1
        assert tried.count(held["object_name"]) == 4
        assert timedelta(minutes=4) < waits[0] < timedelta(minutes=6)
        assert timedelta(minutes=18) < waits[2] < timedelta(minutes=21)

    async def test_an_object_that_cannot_be_removed_stops_no_other_and_waits_ever_longer(
        self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(20):
            await tasks.discard("originals", f"originals/{number}")
        refusing(tasks.parts.originals, {"originals/0"}, monkeypatch)
        assert (await tasks.sweep())["objects_removed"] == 19
        for attempts, least in ((4, timedelta(hours=1)), (30, timedelta(hours=23))):
            await tasks.rows.execute(discarded_object.update().values(remove_after=PAST, attempts=attempts))
            assert (await tasks.sweep())["objects_removed"] == -1
            (row,) = await tasks.rows.fetch(select(discarded_object))
            assert least < row["remove_after"] - datetime.now(UTC) <= timedelta(days=1)

    async def test_an_upload_whose_object_cannot_be_looked_for_stops_no_other(
        self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (bad, _), (good, stored) = [await tasks.image("pending", deadline_at=PAST) for _ in range(2)]
        await tasks.parts.originals.delete(stored.name)
        really = tasks.parts.originals.stat

        async def stat(name: str) -> Any:
            if name == bad["object_name"]:
                raise errors.StorageUnavailable("Away.")
            return await really(name)

        monkeypatch.setattr(tasks.parts.originals, "stat", stat)
        assert (await tasks.sweep())["overdue_uploads"] == 1
        assert (await tasks.row(bad["id"]))["status"] == "pending"
        assert (await tasks.row(good["id"]))["status"] == "expired"

    async def test_objects_are_removed_sixteen_at_once(
        self, tasks: Tasks, trashed: list[UUID], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        under_way, peak, all_are = 0, 0, asyncio.Event()

        async def delete(*_: Any) -> None:
            nonlocal under_way, peak
            under_way += 1
            peak = max(peak, under_way)
            if under_way == runner.GROUP or len(trashed) - len(done) < runner.GROUP:
                all_are.set()
            await asyncio.wait_for(all_are.wait(), 10)
            under_way -= 1
            done.append(None)

        done: list[None] = []
        monkeypatch.setattr(tasks.parts.originals, "delete", delete)
        assert (await tasks.sweep())["purged"] == len(trashed)
        assert peak == runner.GROUP == 16

    async def test_two_sweeps_share_what_is_to_be_purged(self, tasks: Tasks, trashed: list[UUID]) -> None:
        counts = await asyncio.gather(tasks.sweep(), tasks.sweep())
        assert sum(count["purged"] for count in counts) == len(trashed)
        assert [kind for kind, _ in await tasks.events()] == ["image.purged"] * len(trashed)
