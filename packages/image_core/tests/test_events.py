import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from google.api_core.client_options import ClientOptions
from google.cloud import pubsub_v1
from sqlalchemy import func, select, update

from image_core import errors, events, testing
from image_core.db import Database
from image_core.delivery.rendition_requests import rendition_request
from image_core.events import EventType, Message, OutboxEvent, Topic, image_event, process_request
from image_core.feed.pubsub import PubSubPublisher
from image_core.ids import new_id
from image_core.models import event

NOW = timedelta(seconds=-60)
"""Older than a minute from now: everything."""


class ScriptedPublisher:
    """Keeps what it is given; `broken` topics raise."""

    def __init__(self) -> None:
        self.sent: list[tuple[Topic, Message]] = []
        self.broken: set[Topic] = set()

    async def publish(self, topic: Topic, messages: Sequence[Message], timeout_seconds: float) -> None:
        if topic in self.broken:
            raise errors.MessagingUnavailable("away")
        self.sent += [(topic, message) for message in messages]

    @property
    def ids(self) -> list[str]:
        return [message.attributes["event_id"] for _, message in self.sent]


@pytest.fixture
def publisher() -> ScriptedPublisher:
    return ScriptedPublisher()


def ready() -> OutboxEvent:
    payload = {"width": 1, "height": 2, "presets": ["thumb"]}
    return image_event(EventType.READY, new_id(), new_id(), 3, payload, f"00-{'a' * 32}-{'b' * 16}-01")


def stored_row(object_name: str, generation: int, trace_parent: str | None = None) -> dict[str, Any]:
    ids = {"id": new_id(), "team_id": new_id()}
    return {**ids, "object_name": object_name, "generation": generation, "trace_parent": trace_parent}


async def recorded(rows: Database, *happened: OutboxEvent) -> None:
    async with rows.transaction() as transaction:
        await events.record(transaction, *happened)


async def published(rows: Database) -> set[str]:
    found = await rows.fetch(select(event.c.id).where(event.c.published_at.is_not(None)))
    return {str(row[0]) for row in found}


class TestOutbox:
    async def test_events_are_written_with_the_change_or_not_at_all(self, rows: Database) -> None:
        with pytest.raises(RuntimeError):
            async with rows.transaction() as transaction:
                await events.record(transaction, ready())
                raise RuntimeError
        assert await rows.fetch_value(select(func.count()).select_from(event)) == 0

    async def test_a_transaction_knows_what_was_recorded_in_it(self, rows: Database) -> None:
        first, second = ready(), ready()
        async with rows.transaction() as transaction:
            await events.record(transaction, first, second)
        assert transaction.recorded == [first, second]

    async def test_what_was_published_is_marked(self, rows: Database, publisher: ScriptedPublisher) -> None:
        happened = ready()
        await recorded(rows, happened)
        assert await events.publish(rows, publisher, [happened]) == 1
        assert await published(rows) == {str(happened.event_id)}

    async def test_what_fails_is_left_for_the_sweep_and_never_raised(
        self, rows: Database, publisher: ScriptedPublisher
    ) -> None:
        happened = ready()
        await recorded(rows, happened)
        publisher.broken = {Topic.EVENTS}
        assert await events.publish(rows, publisher, [happened]) == 0
        assert await published(rows) == set()
        assert await rows.fetch_value(select(event.c.attempts)) == 1
        publisher.broken = set()
        assert await events.publish_backlog(rows, publisher, NOW) == 1
        assert publisher.ids == [str(happened.event_id)]

    async def test_one_topic_that_fails_does_not_take_the_other_with_it(
        self, rows: Database, publisher: ScriptedPublisher
    ) -> None:
        asked = events.analysis_request(new_id(), new_id(), None)
        picture = rendition_request(new_id(), new_id(), 1, "card", "avif")
        nudge = OutboxEvent(Topic.TASKS, EventType.NUDGED, {"kind": "any"})
        happened = [process_request(stored_row("n", 1), "b"), asked, picture, nudge, ready()]
        for broken in Topic:
            await recorded(rows, *happened)
            publisher.broken = {broken}
            assert await events.publish(rows, publisher, happened) == len(Topic) - 1
            expected = {str(each.event_id) for each in happened if each.topic is not broken}
            assert await published(rows) == expected
            await rows.execute(event.delete())

    async def test_a_crash_after_publishing_delivers_again_under_the_same_id(
        self, rows: Database, publisher: ScriptedPublisher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        happened = ready()
        await recorded(rows, happened)

        async def away(*_: Any, **__: Any) -> int:
            raise errors.DatabaseUnavailable("away")

        with monkeypatch.context() as patched:
            patched.setattr(rows, "execute", away)
            assert await events.publish(rows, publisher, [happened]) == 1
        assert await events.publish_backlog(rows, publisher, NOW) == 1
        assert publisher.ids == [str(happened.event_id)] * 2
        assert publisher.sent[0] == publisher.sent[1]

    async def test_the_backlog_goes_oldest_first_and_in_batches(
        self, rows: Database, publisher: ScriptedPublisher
    ) -> None:
        happened = [ready() for _ in range(5)]
        await recorded(rows, *happened)
        assert await events.publish_backlog(rows, publisher, NOW, batch_size=2) == 5
        assert publisher.ids == [str(each.event_id) for each in happened]

    async def test_the_backlog_stops_where_nothing_goes_through(
        self, rows: Database, publisher: ScriptedPublisher
    ) -> None:
        await recorded(rows, *(ready() for _ in range(3)))
        publisher.broken = set(Topic)
        assert await events.publish_backlog(rows, publisher, NOW, batch_size=2) == 0

    async def test_what_has_just_been_recorded_is_not_taken_from_whoever_publishes_it(
        self, rows: Database, publisher: ScriptedPublisher
    ) -> None:
        await recorded(rows, ready())
        assert await events.publish_backlog(rows, publisher, timedelta(seconds=5)) == 0
        await rows.execute(update(event).values(created_at=func.now() - timedelta(seconds=6)))
        assert await events.publish_backlog(rows, publisher, timedelta(seconds=5)) == 1


class TestMessages:
    def test_a_request_to_process_has_the_shape_of_a_finalize_notification(self) -> None:
        message = process_request(stored_row("name", 7, "trace"), "bucket").message()
        assert orjson.loads(message.data) == {"bucket": "bucket", "name": "name", "generation": "7"}
        assert message.attributes["eventType"] == "OBJECT_FINALIZE"
        assert message.attributes["objectGeneration"] == "7"
        assert message.attributes["googclient_traceparent"] == "trace"

    def test_an_event_has_the_envelope_that_everybody_gets(self) -> None:
        happened = replace(ready(), created_at=datetime(2026, 3, 1, 12, tzinfo=UTC))
        message = happened.message()
        data = {
            "image_id": str(happened.image_id), "revision": 3, "width": 1, "height": 2, "presets": ["thumb"],
            "path": f"/api/v1/images/{happened.image_id}",
        }  # fmt: skip
        assert orjson.loads(message.data) == happened.envelope() == {
            "id": str(happened.event_id), "type": "image.ready", "timestamp": "2026-03-01T12:00:00Z",
            "team_id": str(happened.team_id), "data": data,
        }  # fmt: skip
        assert message.attributes["event_id"] == str(happened.event_id)

    def test_a_request_tells_its_version_id_and_time(self) -> None:
        asked = events.analysis_request(new_id(), new_id(), None)
        body = orjson.loads(asked.message().data)
        assert body["version"] == int(asked.message().attributes["version"]) == 1
        assert body["id"] == asked.message().attributes["event_id"] == str(asked.event_id)
        assert body["occurred_at"] == asked.created_at.isoformat()

    def test_a_message_is_the_same_each_time(self) -> None:
        happened = ready()
        assert happened.message() == happened.message()


class TestPubSub:
    """The real client, over the wire."""

    @pytest.fixture
    async def over_the_wire(self, emulators: Any) -> AsyncIterator[PubSubPublisher]:
        topics = {Topic.UPLOADS: "image-uploads", Topic.EVENTS: "image-events"}
        made = PubSubPublisher(emulators.settings["google_cloud_project"], topics, emulators.pubsub_host)
        await asyncio.to_thread(made.warm)
        yield made
        await made.close()

    async def test_what_is_published_arrives(
        self, emulators: Any, over_the_wire: PubSubPublisher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulators.pubsub_host)
        project = emulators.settings["google_cloud_project"]
        happened = ready()

        def subscribed() -> Any:
            client = pubsub_v1.SubscriberClient(client_options=ClientOptions())
            name = client.subscription_path(project, "seen")
            client.create_subscription(name=name, topic=client.topic_path(project, "image-events"))
            return client, name

        client, name = await asyncio.to_thread(subscribed)
        await over_the_wire.publish(Topic.EVENTS, [happened.message()], 5)
        pulled = await asyncio.to_thread(client.pull, subscription=name, max_messages=5, timeout=5)
        client.close()
        (received,) = pulled.received_messages
        assert received.message.data == happened.message().data
        assert dict(received.message.attributes) == happened.message().attributes

    async def test_a_broker_that_is_away_is_said_to_be_within_its_time(self) -> None:
        away = PubSubPublisher("p", {topic: topic for topic in Topic}, "127.0.0.1:9")
        with pytest.raises(errors.MessagingUnavailable):
            await away.publish(Topic.EVENTS, [ready().message()], 0.5)
        await away.close()

    async def test_a_broker_that_hangs_is_left_in_time(self) -> None:
        async def hang(_reader: Any, writer: Any) -> None:
            await asyncio.sleep(30)
            writer.close()

        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        hanging = PubSubPublisher("p", {topic: topic for topic in Topic}, f"127.0.0.1:{port}")
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(errors.MessagingUnavailable):
            await hanging.publish(Topic.EVENTS, [ready().message()], 0.3)
        assert loop.time() - started < 5
        await hanging.close()
        server.close()

    async def test_a_topic_that_is_not_there_is_no_success(self, emulators: Any) -> None:
        topics = dict.fromkeys(Topic, "no-such-topic")
        lost = PubSubPublisher(emulators.settings["google_cloud_project"], topics, emulators.pubsub_host)
        with pytest.raises(errors.MessagingUnavailable):
            await lost.publish(Topic.EVENTS, [ready().message()], 5)
        await lost.close()


async def test_the_age_of_the_outbox_is_that_of_what_is_not_published(rows: Database) -> None:
    assert await events.outbox_age_seconds(rows) == 0
    for hours, published_at in ((2, None), (5, func.now())):
        created_at = func.now() - timedelta(hours=hours)
        await rows.execute(
            event.insert().values(
                id=new_id(), created_at=created_at, published_at=published_at, **testing.TRASHED_EVENT
            )
        )
    assert 2 * 3600 <= await events.outbox_age_seconds(rows) < 5 * 3600


async def test_events_are_read_by_topic_up_to_a_limit_and_counted_one_by_one(rows: Database) -> None:
    created_at = func.now() - timedelta(hours=1)
    first, second, other = [new_id() for _ in range(3)]
    for event_id, topic in ((first, "events"), (second, "events"), (other, "analyses")):
        values = {**testing.TRASHED_EVENT, "topic": topic, "created_at": created_at}
        await rows.execute(event.insert().values(id=event_id, **values))
    for limit in (1, 10):
        found = await rows.fetch(events._unpublished, role="events", age=timedelta(0), limit=limit)
        assert [row["id"] for row in found] == [first, second][:limit]
    await rows.execute(events._count_attempt, event_ids=[second])
    attempts = await rows.fetch(select(event.c.id).where(event.c.attempts > 0))
    assert [row["id"] for row in attempts] == [second]
