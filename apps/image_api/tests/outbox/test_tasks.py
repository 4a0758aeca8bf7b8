"""Events that were left behind, and those that are kept no longer."""

from datetime import UTC, datetime

from sqlalchemy import insert, select

from image_core import testing
from image_core.events import EventType, Topic, image_event, record
from image_core.ids import new_id
from image_core.models import event, feed_epoch

from ..housekeeping import PAST, Tasks


class TestOutbox:
    async def test_what_was_left_behind_is_published_under_its_id(self, tasks: Tasks) -> None:
        row, _ = await tasks.image("ready")
        happened = image_event(EventType.TRASHED, row["id"], row["team_id"], 2)
        async with tasks.rows.transaction() as transaction:
            await record(transaction, happened)
        assert (await tasks.sweep())["events_published"] == 0
        await tasks.let_time_pass(event, "created_at")
        assert (await tasks.sweep())["events_published"] == 1
        assert await tasks.rows.fetch_value(select(event.c.id)) == happened.event_id
        assert await tasks.events() == [("image.trashed", True)]
        assert (await tasks.sweep())["events_published"] == 0


async def test_the_feed_goes_from_its_beginning_on_and_remembers_where_it_begins(tasks: Tasks) -> None:
    for published_at in (PAST, PAST, datetime.now(UTC), PAST, None):
        values = {**testing.TRASHED_EVENT, "published_at": published_at}
        await tasks.rows.execute(insert(event).values(id=new_id(), **values))
    before = await tasks.rows.fetch(select(event.c.xact, event.c.position).order_by(event.c.xact))
    await testing.until_feed_shows_all(tasks.rows)
    assert (await tasks.sweep())["old_events"] == 2
    kept = await tasks.rows.fetch(select(event.c.xact).order_by(event.c.xact))
    assert [row["xact"] for row in kept] == [row["xact"] for row in before[2:]]
    removed = await tasks.rows.fetch_one(select(feed_epoch.c.removed_xact, feed_epoch.c.removed_position))
    assert removed == before[1]


async def test_published_messages_go_after_their_time(tasks: Tasks) -> None:
    for published_at in (PAST, None, datetime.now(UTC)):
        values = {**testing.TRASHED_EVENT, "topic": Topic.ANALYSES, "published_at": published_at}
        await tasks.rows.execute(insert(event).values(id=new_id(), **values))
    assert (await tasks.sweep())["old_events"] == 1
    assert await tasks.count(event) == 2
