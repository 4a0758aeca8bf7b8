"""Renditions that nobody asks for any more."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select

from image_core.ids import new_id
from image_core.models import discarded_object, image, rendition, rendition_failure

from ..housekeeping import Tasks

TODAY = select(func.current_date())


async def add(tasks: Tasks, days: int, **columns: Any) -> str:
    """A rendition that was used so many days ago."""
    row, _ = await tasks.image("ready")
    name, today = f"derivatives/{row['team_id']}/{row['id']}/1-x/y.webp", await tasks.rows.fetch_value(TODAY)
    await tasks.parts.derivatives.put(name, b"rendition", "image/webp")
    values = {
        "id": new_id(), "team_id": row["team_id"], "image_id": row["id"], "generation": row["generation"],
        "spec_hash": bytes(16), "format": "webp", "object_name": name, "width": 1, "height": 1, "frames": 1,
        "size_bytes": 9, "sha256": bytes(32), "last_used_on": today - timedelta(days=days),
    }  # fmt: skip
    await tasks.rows.execute(insert(rendition).values(values | columns))
    return name


async def test_what_was_not_used_for_thirty_days_goes_with_its_object(tasks: Tasks) -> None:
    old, fresh = await add(tasks, 31), await add(tasks, 30)
    eager = await add(tasks, 400, eager=True)
    assert (await tasks.sweep())["renditions_removed"] == 1
    left = {row["object_name"] for row in await tasks.rows.fetch(select(rendition))}
    assert left == {fresh, eager}
    # Rows in the memory of image-delivery may name the object for a while.
    (promised,) = await tasks.rows.fetch(select(discarded_object))
    assert promised["object_name"] == old
    assert promised["remove_after"] > datetime.now(UTC) + timedelta(minutes=50)

    await tasks.let_time_pass()
    assert (await tasks.sweep())["objects_removed"] == 1
    for name, is_there in ((old, False), (fresh, True), (eager, True)):
        assert (await tasks.parts.derivatives.stat(name) is not None) is is_there
    assert await tasks.count(image) == 3


async def test_what_could_not_be_made_is_forgotten_after_an_hour(tasks: Tasks) -> None:
    row, _ = await tasks.image("ready")
    values = {"image_id": row["id"], "spec_hash": bytes(16), "format": "avif", "code": "x", "message": "It failed."}
    for generation, minutes in ((1, 59), (2, 61)):
        failed_at = datetime.now(UTC) - timedelta(minutes=minutes)
        statement = insert(rendition_failure).values(**values, generation=generation, failed_at=failed_at)
        await tasks.rows.execute(statement)
    assert (await tasks.sweep())["rendition_failures_forgotten"] == 1
    assert [row["generation"] for row in await tasks.rows.fetch(select(rendition_failure))] == [1]
