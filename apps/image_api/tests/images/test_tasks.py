"""What waits too long, the trash, and objects that no row names."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from image_api.images import tasks as images_tasks
from image_core import errors, testing
from image_core.capture.place_cells import cell_of
from image_core.db import to_json
from image_core.models import (
    audit_event,
    image,
)

from ..housekeeping import PAST, Tasks


class TestWaitingTooLong:
    @pytest.mark.parametrize(
        ("status", "columns"),
        [("stored", {"queued_at": PAST}), ("processing", {"lease_expires_at": PAST})],
    )
    async def test_what_waits_is_asked_for_again(self, tasks: Tasks, status: str, columns: dict[str, Any]) -> None:
        row, _ = await tasks.image(status, **columns)
        assert (await tasks.sweep())["asked_again"] == 1
        again = await tasks.row(row["id"])
        assert (again["status"], again["claim_token"], again["lease_expires_at"]) == ("stored", None, None)
        assert again["queued_at"] > PAST
        assert await tasks.events(row["id"]) == [("image.process", True)]
        assert (await tasks.sweep())["asked_again"] == 0

    @pytest.mark.parametrize(
        ("status", "columns"),
        [
            ("stored", {}),
            ("processing", {}),
            ("stored", {"queued_at": PAST, "deleted_at": PAST}),
            ("ready", {"queued_at": PAST}),
            ("failed", {"queued_at": PAST}),
        ],
    )
    async def test_what_is_under_way_done_or_in_the_trash_is_not(
        self, tasks: Tasks, status: str, columns: dict[str, Any]
    ) -> None:
        # Within the retention, or the purge would take it.
        if "deleted_at" in columns:
            columns["deleted_at"] = datetime.now(UTC)
        row, _ = await tasks.image(status, **columns)
        assert (await tasks.sweep())["asked_again"] == 0
        assert (await tasks.row(row["id"]))["revision"] == 1

    @pytest.mark.parametrize(
        ("status", "columns"),
        [("stored", {"queued_at": PAST}), ("processing", {"lease_expires_at": PAST})],
    )
    async def test_without_an_attempt_left_it_fails(self, tasks: Tasks, status: str, columns: dict[str, Any]) -> None:
        row, _ = await tasks.image(status, attempts=3, **columns)
        counts = await tasks.sweep()
        assert (counts["exhausted"], counts["asked_again"]) == (1, 0)
        failed = await tasks.row(row["id"])
        assert (failed["status"], failed["failure_code"]) == ("failed", "processing-attempts-exhausted")
        assert await tasks.events(row["id"]) == [("image.failed", True)]

    async def test_without_an_attempt_left_what_was_ready_is_ready_again(self, tasks: Tasks) -> None:
        row, _ = await tasks.image("ready")
        await tasks.set_row(row["id"], status="stored", attempts=3, queued_at=PAST)
        assert (await tasks.sweep())["exhausted"] == 1
        again = await tasks.row(row["id"])
        assert (again["status"], again["failure_code"]) == ("ready", None)
        assert await tasks.events(row["id"]) == [("image.changed", True)]


class TestPurge:
    async def test_beyond_the_retention_objects_and_row_go_and_the_event_stays(self, tasks: Tasks) -> None:
        row, stored = await tasks.image("ready", deleted_at=PAST)
        name = f"derivatives/{row['team_id']}/{row['id']}/1-x/thumb.webp"
        await tasks.parts.derivatives.put(name, b"x", "image/webp")
        await testing.add_derivative(tasks.rows, row["id"], name)
        neighbour = f"derivatives/{row['team_id']}/{row['id']}0/thumb.webp"
        await tasks.parts.derivatives.put(neighbour, b"x", "image/webp")
        assert (await tasks.sweep())["purged"] == 1
        assert await tasks.rows.fetch(select(image)) == []
        assert await tasks.parts.originals.stat(stored.name) is None
        assert await tasks.derivatives_of(row["team_id"]) == [neighbour]
        assert await tasks.events(row["id"]) == [("image.purged", True)]
        (written,) = await tasks.rows.fetch(select(audit_event))
        assert (written["action"], written["target_id"], written["actor_user_id"]) == ("image.purged", row["id"], None)

    async def test_within_the_retention_nothing_is_purged(self, tasks: Tasks) -> None:
        await tasks.image("ready", deleted_at=datetime.now(UTC) - timedelta(days=6))
        assert (await tasks.sweep())["purged"] == 0

    @pytest.mark.parametrize("status", ["pending", "processing"])
    async def test_work_under_way_is_waited_for(self, tasks: Tasks, status: str) -> None:
        row, _ = await tasks.image(status, deleted_at=PAST)
        assert (await tasks.sweep())["purged"] == 0
        assert (await tasks.row(row["id"]))["purge_marked_at"] is None

    async def test_a_purge_that_broke_off_is_finished(self, tasks: Tasks) -> None:
        row, stored = await tasks.image("ready", deleted_at=PAST, purge_marked_at=PAST, deadline_at=PAST)
        await tasks.parts.originals.delete(stored.name)
        assert (await tasks.sweep())["purged"] == 1
        assert await tasks.events(row["id"]) == [("image.purged", True)]

    async def test_while_storage_is_away_the_mark_stays_and_nobody_restores(
        self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row, _ = await tasks.image("ready", deleted_at=PAST)

        async def away(*_: Any) -> None:
            raise errors.StorageUnavailable("Away.")

        monkeypatch.setattr(tasks.parts.originals, "delete", away)
        assert (await tasks.sweep())["purged"] == -1
        assert (await tasks.row(row["id"]))["purge_marked_at"] is not None
        monkeypatch.undo()
        # Not at once, and once its time has come.
        assert (await tasks.sweep())["purged"] == 0
        await tasks.set_row(row["id"], deadline_at=PAST)
        assert (await tasks.sweep())["purged"] == 1

    async def test_a_duplicate_of_what_is_purged_stays(self, tasks: Tasks) -> None:
        row, _ = await tasks.image("ready", deleted_at=PAST)
        duplicate, _ = await tasks.image("expired", team_id=row["team_id"], duplicate_of=row["id"])
        await tasks.sweep()
        assert (await tasks.row(duplicate["id"]))["duplicate_of"] is None


class TestDiscardedObjects:
    async def test_a_generation_goes_and_others_stay(self, tasks: Tasks) -> None:
        row, stored = await tasks.image("expired")
        await tasks.discard("originals", stored.name, stored.generation + 1)
        assert (await tasks.sweep())["objects_removed"] == 1
        assert await tasks.originals_of(row["team_id"]) == [stored.name]
        await tasks.discard("originals", stored.name, stored.generation)
        await tasks.sweep()
        assert await tasks.originals_of(row["team_id"]) == []
        assert await tasks.discarded() == []

    async def test_a_living_original_is_never_taken(self, tasks: Tasks) -> None:
        for status in ("stored", "processing", "ready", "failed"):
            row, stored = await tasks.image(status)
            await tasks.discard("originals", stored.name)
            await tasks.discard("originals", stored.name, stored.generation)
            await tasks.sweep()
            assert await tasks.originals_of(row["team_id"]) == [stored.name]

    async def test_neighbours_of_a_name_stay(self, tasks: Tasks) -> None:
        row, stored = await tasks.image("expired")
        await tasks.parts.originals.put(stored.name + "0", b"x", "image/png")
        await tasks.discard("originals", stored.name)
        await tasks.sweep()
        assert await tasks.originals_of(row["team_id"]) == [stored.name + "0"]

    async def test_neighbours_of_a_folder_stay(self, tasks: Tasks) -> None:
        team_id = uuid4()
        for name in ("a/1-x/thumb.webp", "a/1-xy/thumb.webp"):
            await tasks.parts.derivatives.put(f"derivatives/{team_id}/{name}", b"x", "image/webp")
        await tasks.discard("derivatives", f"derivatives/{team_id}/a/1-x/")
        await tasks.sweep()
        assert await tasks.derivatives_of(team_id) == [f"derivatives/{team_id}/a/1-xy/thumb.webp"]

    async def test_an_original_that_is_called_like_a_folder_takes_nothing_with_it(self, tasks: Tasks) -> None:
        """The console makes such an object when somebody creates a folder."""
        row, stored = await tasks.image("ready")
        folder = f"originals/{row['team_id']}/"
        made = await tasks.parts.originals.put(folder, b"x", "text/plain")
        await tasks.discard("originals", folder, made.generation)
        assert (await tasks.sweep())["objects_removed"] == 1
        assert await tasks.originals_of(row["team_id"]) == [stored.name]

    async def test_before_its_time_nothing_is_removed(self, tasks: Tasks) -> None:
        row, stored = await tasks.image("expired")
        await tasks.discard("originals", stored.name, stored.generation, datetime.now(UTC) + timedelta(minutes=1))
        assert (await tasks.sweep())["objects_removed"] == 0
        assert await tasks.originals_of(row["team_id"]) == [stored.name]

    async def test_a_removal_that_fails_is_tried_again_later(
        self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, stored = await tasks.image("expired")
        await tasks.discard("originals", stored.name)

        async def away(*_: Any) -> None:
            raise errors.StorageUnavailable("Away.")

        monkeypatch.setattr(tasks.parts.originals, "delete", away)
        assert (await tasks.sweep())["objects_removed"] == -1
        monkeypatch.undo()
        assert (await tasks.sweep())["objects_removed"] == 0
        await tasks.let_time_pass()
        assert (await tasks.sweep())["objects_removed"] == 1


class TestCapture:
    async def test_rows_of_an_earlier_release_get_time_and_place_once(self, tasks: Tasks) -> None:
        facts = to_json(
            {
                "exif": {"taken_at": "2021-07-15T10:20:30+02:00"},
                "location": {"latitude": 59.9, "longitude": 10.7},
            }
        )
        old, _ = await tasks.image("ready", facts=facts)
        bare, _ = await tasks.image("ready")
        unready, _ = await tasks.image("stored", facts=facts)
        done, _ = await tasks.image("ready", facts=facts, taken_at_source="unknown")
        assert (await tasks.sweep())["capture_filled"] == 2
        assert (await tasks.sweep())["capture_filled"] == 0
        filled = await tasks.row(old["id"])
        assert filled["taken_at"] == datetime(2021, 7, 15, 8, 20, 30, tzinfo=UTC)
        assert (filled["taken_at_source"], filled["location_cell"]) == ("exif", cell_of(59.9, 10.7))
        assert filled["taken_local"].isoformat() == "2021-07-15T10:20:30"
        assert (filled["revision"], filled["updated_at"]) == (old["revision"], old["updated_at"])
        assert (await tasks.row(bare["id"]))["taken_at_source"] == "unknown"
        for row in (unready, done):
            assert (await tasks.row(row["id"]))["taken_at"] is None

    async def test_all_rows_are_filled_in_batches_also_beside_locked_ones(
        self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        team_id = await testing.add_team(tasks.rows)
        ids = sorted([await testing.add_image(tasks.rows, team_id) for _ in range(5)])
        monkeypatch.setattr(images_tasks, "BATCH", 2)
        async with tasks.rows.transaction() as other:
            await other.execute(select(image.c.id).where(image.c.id == ids[1]).with_for_update())
            assert (await tasks.sweep())["capture_filled"] == 4
        assert (await tasks.sweep())["capture_filled"] == 1
