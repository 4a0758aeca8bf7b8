"""Uploads that did not arrive in time."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from image_core import testing
from image_core.models import (
    event,
    image,
    storage_usage,
)

from ..housekeeping import PAST, Tasks


class TestOverdueUploads:
    async def test_without_an_object_the_row_expires(self, tasks: Tasks) -> None:
        row, stored = await tasks.image("pending", deadline_at=PAST)
        await tasks.parts.originals.delete(stored.name)
        assert (await tasks.sweep())["overdue_uploads"] == 1
        expired = await tasks.row(row["id"])
        assert (expired["status"], expired["failure_code"]) == ("expired", "upload-expired")
        # A PUT that still lands is removed later.
        assert await tasks.discarded() == [(stored.name, None)]

    async def test_with_an_object_the_lost_event_is_published_again(self, tasks: Tasks) -> None:
        row, stored = await tasks.image("pending", deadline_at=PAST)
        assert (await tasks.sweep())["overdue_uploads"] == 1
        assert await tasks.events(row["id"]) == [("image.process", True)]
        assert str(stored.generation) in await tasks.rows.fetch_value(select(event.c.payload))
        asked = await tasks.row(row["id"])
        assert asked["status"] == "pending"
        assert asked["deadline_at"] > datetime.now(UTC)

    async def test_an_upload_that_was_asked_for_too_often_expires_with_its_object(self, tasks: Tasks) -> None:
        row, stored = await tasks.image("pending", deadline_at=PAST, attempts=3)
        await tasks.sweep()
        # An outage of less than a day costs no upload.
        assert (await tasks.row(row["id"]))["status"] == "pending"
        await tasks.set_row(row["id"], deadline_at=PAST, created_at=datetime.now(UTC) - timedelta(hours=25))
        await tasks.sweep()
        assert (await tasks.row(row["id"]))["status"] == "expired"
        assert await tasks.discarded() == [(stored.name, None)]

    async def test_an_upload_within_its_deadline_is_left_alone(self, tasks: Tasks) -> None:
        await tasks.image("pending")
        assert (await tasks.sweep())["overdue_uploads"] == 0


async def test_what_the_sweep_ends_or_purges_is_not_counted_any_more(tasks: Tasks) -> None:
    team_id = await testing.add_team(tasks.rows)
    ready, _ = await tasks.image("ready", b"a picture", team_id)
    _, overdue = await tasks.image("pending", None, team_id, deadline_at=PAST, expected_bytes=500)
    await tasks.parts.originals.delete(overdue.name)
    usage = await tasks.rows.fetch_one(select(storage_usage))
    assert usage is not None
    assert (usage["bytes"], usage["images"]) == (9 + 500, 2)
    await tasks.set_row(ready["id"], deleted_at=PAST)
    await tasks.sweep()
    usage = await tasks.rows.fetch_one(select(storage_usage))
    assert usage is not None
    assert (usage["bytes"], usage["images"]) == (0, 0)


async def test_expired_uploads_go_after_their_time(tasks: Tasks) -> None:
    await tasks.image("expired", updated_at=PAST)
    await tasks.image("failed", updated_at=PAST)
    young, _ = await tasks.image("expired")
    assert (await tasks.sweep())["old_uploads"] == 1
    left = await tasks.rows.fetch(select(image.c.id).where(image.c.status == "expired"))
    assert [row["id"] for row in left] == [young["id"]]
