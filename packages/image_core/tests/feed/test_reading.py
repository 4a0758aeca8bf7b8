"""The feed as its readers see it, over real transactions."""

import asyncio
from uuid import UUID

import asyncpg
from sqlalchemy import update

from image_core import events
from image_core.db import Database, DatabaseConfig, _prepare, migration_engine
from image_core.events import EventType, image_event
from image_core.feed import epoch, reading
from image_core.feed.reading import Page, Position
from image_core.ids import new_id
from image_core.models import event, feed_epoch

KEY = {"id": new_id(), "user_id": new_id(), "public_id": "12345678"}
START = Position(1, 0)
"""After the events that an upgrade found."""


async def record(rows: Database, team_id: UUID | None = None, count: int = 1) -> list[UUID]:
    """Write events in one transaction; return their ids."""
    written = [image_event(EventType.IMAGE_CREATED, new_id(), team_id or new_id(), 1) for _ in range(count)]
    async with rows.transaction() as transaction:
        await events.record(transaction, *written)
    return [one.event_id for one in written]


async def read_until(rows: Database, count: int, after: Position, limit: int = 100, team: UUID | None = None) -> Page:
    """Read as soon as so many events are there: what other databases of the server write holds up this one, too."""
    async with asyncio.timeout(30):
        while len((page := await reading.read(rows, team, after, limit)).events) < count:
            await asyncio.sleep(0.02)
    return page


def ids(page: Page) -> list[UUID]:
    return [one.event_id for one in page.events]


async def test_an_event_that_commits_late_is_not_skipped(rows: Database) -> None:
    before = await reading.newest(rows)
    async with rows.transaction() as late:
        slow = image_event(EventType.IMAGE_CREATED, new_id(), new_id(), 1)
        await events.record(late, slow)
        fast = await record(rows)
        # The later event is committed, but a reader that saw it now would never see the earlier one.
        held = await reading.read(rows, None, before, 100)
        assert (held.events, held.has_more) == ([], False)
        again = await reading.read(rows, None, held.next_position, 100)
        assert again.events == []
    page = await read_until(rows, 2, again.next_position)
    assert ids(page) == [slow.event_id, *fast]


async def test_a_thousand_events_come_once_each_and_alike_to_every_reader(rows: Database) -> None:
    before = await reading.newest(rows)
    team_id, written = new_id(), list[UUID]()
    for _ in range(10):
        written += await record(rows, team_id, 100)
    await record(rows)
    await read_until(rows, 1000, before, 1000)

    async def everything() -> list[UUID]:
        found, page = list[UUID](), await reading.read(rows, team_id, before, 300)
        while page.has_more:
            found += ids(page)
            page = await reading.read(rows, team_id, page.next_position, 300)
        return found + ids(page)

    first, second = await asyncio.gather(everything(), everything())
    assert first == second == written


async def test_the_position_of_a_team_without_events_does_not_age(rows: Database) -> None:
    before = await reading.newest(rows)
    await record(rows)
    await read_until(rows, 1, before)
    page = await reading.read(rows, new_id(), before, 10)
    assert page.events == []
    assert page.next_position > before


async def test_other_topics_and_events_of_before_the_upgrade_are_not_in_the_feed(rows: Database) -> None:
    (kept,) = await record(rows)
    (other, old) = await record(rows, count=2)
    await rows.execute(update(event).where(event.c.id == other).values(topic="uploads"))
    await rows.execute(update(event).where(event.c.id == old).values(xact=0))
    assert ids(await read_until(rows, 1, START)) == [kept]


async def test_events_about_keys_can_be_left_out(rows: Database) -> None:
    team_id = new_id()
    await record(rows, team_id, 2)
    written = events.credential_event(EventType.KEY_REVOKED, team_id, KEY)
    async with rows.transaction() as transaction:
        await events.record(transaction, written)
    page = await read_until(rows, 3, START)
    assert [one.type for one in page.events].count("credential.revoked") == 1
    page = await reading.read(rows, team_id, START, 100, with_credentials=False)
    assert [one.type for one in page.events] == ["image.created", "image.created"]


async def test_what_lies_before_the_beginning_or_after_the_end_is_incomplete(rows: Database) -> None:
    end = await reading.newest(rows)
    assert (await reading.read(rows, None, end, 10)).is_complete
    await rows.execute(update(feed_epoch).values(removed_xact=end.xact, removed_position=7))
    assert not (await reading.read(rows, None, Position(end.xact, 6), 10)).is_complete
    assert (await reading.read(rows, None, Position(end.xact, 7), 10)).is_complete
    assert not (await reading.read(rows, None, Position(2**62, 0), 10)).is_complete


async def test_a_new_epoch_is_needed_when_events_are_ahead_of_the_server(rows: Database, urls: object) -> None:
    (event_id,) = await record(rows)
    assert not await epoch.is_needed(rows)
    await rows.execute(update(event).where(event.c.id == event_id).values(xact=2**62))
    assert await epoch.is_needed(rows)
    before = (await reading.read(rows, None, START, 1)).epoch
    begun = epoch.begin(migration_engine(DatabaseConfig(url=urls.owner)))  # type: ignore[attr-defined]
    assert not await epoch.is_needed(rows)
    page = await reading.read(rows, None, START, 1)
    assert str(page.epoch) == begun != str(before)
    assert page.events == []


async def test_services_read_the_feed_and_nobody_else_moves_it(rows: Database, urls: object) -> None:
    for url in (urls.api, urls.tasks):  # type: ignore[attr-defined]
        database = Database(DatabaseConfig(url=url))
        await database.open()
        await reading.read(database, None, START, 1)
        assert await epoch.is_needed(database) is False
        await database.close()
    for url in (urls.api, urls.processor, urls.delivery):  # type: ignore[attr-defined]
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("UPDATE feed_epoch SET removed_position = 1")
        except asyncpg.InsufficientPrivilegeError:
            pass
        else:
            raise AssertionError(url)
        finally:
            await connection.close()


async def test_the_feed_is_read_by_an_index(rows: Database) -> None:
    """Whoever reads after the last event must not read the table, whatever plan the server settles on."""
    for team_id, index in ((None, "ix_event_feed"), (new_id(), "ix_event_team_feed")):
        statement = reading._reading(team_id is not None, True)
        values = {"xact": 1, "position": 0, "limit": 10, "team_id": team_id}
        sql, arguments = _prepare(statement, values)
        async with rows.transaction() as transaction:
            connection = transaction._connection
            await connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = force_generic_plan")
            plan = await connection.fetch(f"EXPLAIN {sql}", *arguments)
        assert index in str(plan)
