"""What housekeeping counts and removes beside rows that stay."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, select

from image_api.tasks import queries
from image_core import testing
from image_core.db import Database
from image_core.ids import new_id
from image_core.models import discarded_object, event

PAST, FUTURE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


async def add_event(rows: Database, created_at: datetime, published_at: datetime | None) -> Any:
    event_id = new_id()
    values = {"created_at": created_at, "published_at": published_at}
    await rows.execute(insert(event).values(id=event_id, **testing.TRASHED_EVENT, **values))
    return event_id


async def test_only_removals_that_are_overdue_are_counted(rows: Database) -> None:
    for remove_after in (PAST, FUTURE):
        values = {"bucket": "originals", "object_name": "x", "remove_after": remove_after}
        await rows.execute(insert(discarded_object).values(id=new_id(), **values))
    assert await queries.count_overdue_removals(rows) == 1


async def test_the_oldest_rows_that_meet_a_condition_are_removed(rows: Database) -> None:
    unpublished = await add_event(rows, PAST, None)
    published = [await add_event(rows, PAST + timedelta(days=days), PAST) for days in (1, 2, 3)]
    young = await add_event(rows, datetime.now(UTC), PAST)

    async def remove(most: int) -> int:
        conditions = [event.c.published_at.is_not(None)]
        return await queries.remove_oldest(rows, event.c.created_at, timedelta(days=1), conditions, most)

    assert await remove(1) == 1
    assert {row["id"] for row in await rows.fetch(select(event.c.id))} == {unpublished, *published[1:], young}
    assert await remove(10) == 2
    assert {row["id"] for row in await rows.fetch(select(event.c.id))} == {unpublished, young}
