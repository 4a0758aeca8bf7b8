"""Domain events: written to the outbox in the transaction of the change, published after its commit.

There are four topics. `uploads` requests the processing of an image, in the format of Cloud Storage's OBJECT_FINALIZE
notification, so that the processor handles one kind of message. `analyses` requests an analysis, `renditions` a picture
that is made in the background. `events` announces what happened. Delivery is at least once; every message carries its
event's id.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

import orjson
from sqlalchemy import Integer, Interval, Text, Uuid, bindparam, func, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from image_core import errors, telemetry
from image_core.db import Database, Query, Record, Runner, Transaction, to_json
from image_core.ids import new_id
from image_core.models import event

PAYLOAD_VERSION = 1
TRACE_ATTRIBUTE = "googclient_traceparent"


class Topic(StrEnum):
    """The topics that the services publish to, by role; their names are settings."""

    UPLOADS = "uploads"
    EVENTS = "events"
    ANALYSES = "analyses"
    RENDITIONS = "renditions"


class EventType(StrEnum):
    """The types of events."""

    PROCESS = "image.process"
    READY = "image.ready"
    FAILED = "image.failed"
    TRASHED = "image.trashed"
    RESTORED = "image.restored"
    PURGED = "image.purged"
    QUOTA_LOW = "quota.low"
    KEY_EXPIRING = "credential.expiring"
    KEY_LEAKED = "credential.leaked"
    ANALYZE = "analysis.requested"
    ANALYZED = "analysis.completed"
    ANALYSIS_FAILED = "analysis.failed"
    RENDER = "rendition.requested"
    DISCARD_PRESET = "preset.removed"
    LINK_CREATED = "link.created"
    LINK_ENDED = "link.ended"


@dataclass(frozen=True)
class Message:
    """A Pub/Sub message: JSON bytes and attributes."""

    data: bytes
    attributes: dict[str, str]


@dataclass(frozen=True)
class OutboxEvent:
    """A row of the outbox."""

    topic: Topic
    type: EventType
    payload: dict[str, Any]
    team_id: UUID | None = None
    image_id: UUID | None = None
    trace_parent: str | None = None
    event_id: UUID = field(default_factory=new_id)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def message(self) -> Message:
        """Return the message of this event; repeated calls return the same message."""
        attributes = {"event_id": str(self.event_id), "event_type": self.type, "version": str(PAYLOAD_VERSION)}
        if self.trace_parent:
            attributes[TRACE_ATTRIBUTE] = self.trace_parent
        if self.topic is Topic.UPLOADS:
            attributes |= {
                "eventType": "OBJECT_FINALIZE",
                "payloadFormat": "JSON_API_V1",
                "bucketId": self.payload["bucket"],
                "objectId": self.payload["name"],
                "objectGeneration": self.payload["generation"],
            }
            return Message(orjson.dumps(self.payload), attributes)
        body = {
            "id": str(self.event_id),
            "type": self.type,
            "version": PAYLOAD_VERSION,
            "occurred_at": self.created_at.isoformat(),
            "team_id": str(self.team_id) if self.team_id else None,
            "image_id": str(self.image_id) if self.image_id else None,
            "data": self.payload,
        }
        if self.team_id:
            attributes["team_id"] = str(self.team_id)
        return Message(orjson.dumps(body), attributes)


def process_request(row: Record | Mapping[str, Any], bucket: str) -> OutboxEvent:
    """Build a request to process a stored image, in the format of a finalize notification.

    Args:
        row: the image's `id`, `team_id`, `object_name`, `generation` and `trace_parent`.
        bucket: real name of the bucket of the originals. The outbox keeps it, so that whoever publishes what was left
            behind sends the same message.
    """
    payload = {"bucket": bucket, "name": row["object_name"], "generation": str(row["generation"])}
    return OutboxEvent(Topic.UPLOADS, EventType.PROCESS, payload, row["team_id"], row["id"], row["trace_parent"])


def image_event(
    kind: EventType,
    image_id: UUID,
    team_id: UUID,
    payload: dict[str, Any] | None = None,
    trace_parent: str | None = None,
) -> OutboxEvent:
    """Build an event about an image."""
    return OutboxEvent(Topic.EVENTS, kind, payload or {}, team_id, image_id, trace_parent)


def credential_event(kind: EventType, team_id: UUID | None, payload: dict[str, Any]) -> OutboxEvent:
    """Build an event about a credential; without a team, the credential is an admin's."""
    return OutboxEvent(Topic.EVENTS, kind, payload, team_id)


def link_event(kind: EventType, team_id: UUID, link_id: UUID, payload: dict[str, Any]) -> OutboxEvent:
    """Build an event about a share link; its token is in none."""
    return OutboxEvent(Topic.EVENTS, kind, {"link_id": str(link_id), **payload}, team_id)


def analysis_request(analysis_id: UUID, team_id: UUID, trace_parent: str | None) -> OutboxEvent:
    """Build a request to run the analysis described by a row."""
    return OutboxEvent(
        Topic.ANALYSES, EventType.ANALYZE, {"analysis_id": str(analysis_id)}, team_id, trace_parent=trace_parent
    )


class Publisher(Protocol):
    """Sends messages. Raises `errors.MessagingUnavailable` when they may not have arrived."""

    async def publish(self, topic: Topic, messages: Sequence[Message], timeout_seconds: float) -> None: ...


class PubSubPublisher:
    """A publisher to Google Cloud Pub/Sub on its asyncio client: a publish can be awaited, timed and cancelled."""

    def __init__(self, project: str, topics: dict[Topic, str], emulator_host: str | None) -> None:
        self._paths = {role: f"projects/{project}/topics/{name}" for role, name in topics.items()}
        self._emulator_host = emulator_host
        self._client: Any = None

    def warm(self) -> None:
        """Import the client, which takes a third of a second; call it in a thread."""
        import google.pubsub_v1  # noqa: F401

    def _connect(self) -> Any:
        import grpc.aio
        from google.pubsub_v1 import PublisherAsyncClient
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport

        if self._emulator_host:
            channel = grpc.aio.insecure_channel(self._emulator_host)
            return PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel))
        return PublisherAsyncClient()

    async def publish(self, topic: Topic, messages: Sequence[Message], timeout_seconds: float) -> None:
        import google.auth.exceptions
        import grpc
        from google.api_core.exceptions import GoogleAPIError
        from google.pubsub_v1.types import PubsubMessage

        if self._client is None:
            self._client = self._connect()
        batch = [PubsubMessage(data=message.data, attributes=message.attributes) for message in messages]
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._client.publish(
                    topic=self._paths[topic], messages=batch, timeout=timeout_seconds, retry=None
                )
        except (GoogleAPIError, grpc.RpcError, google.auth.exceptions.GoogleAuthError, TimeoutError, OSError) as error:
            raise errors.MessagingUnavailable("Pub/Sub does not respond. Try again.") from error

    async def close(self) -> None:
        """Close the channel."""
        if self._client is not None:
            await self._client.transport.close()


_RECORDED = ("id", "topic", "type", "team_id", "image_id", "payload", "trace_parent", "created_at")
_record = Query(insert(event).values({name: bindparam(name, type_=event.c[name].type) for name in _RECORDED}))


async def record(transaction: Transaction, *outbox_events: OutboxEvent) -> None:
    """Write events to the outbox, in the transaction of their change."""
    for outbox_event in outbox_events:
        await transaction.execute(
            _record,
            id=outbox_event.event_id,
            topic=outbox_event.topic,
            type=outbox_event.type,
            team_id=outbox_event.team_id,
            image_id=outbox_event.image_id,
            payload=to_json(outbox_event.payload),
            trace_parent=outbox_event.trace_parent,
            created_at=outbox_event.created_at,
        )
        transaction.recorded.append(outbox_event)


_mark_published = Query(
    update(event)
    .where(event.c.id == func.any(bindparam("event_ids", type_=ARRAY(Uuid))))
    .values(published_at=func.now())
)
_count_attempt = Query(
    update(event)
    .where(event.c.id == func.any(bindparam("event_ids", type_=ARRAY(Uuid))))
    .values(attempts=event.c.attempts + 1)
)
_unpublished = Query(
    select(
        event.c.id, event.c.topic, event.c.type, event.c.payload, event.c.team_id, event.c.image_id,
        event.c.trace_parent, event.c.created_at,
    )
    .where(
        event.c.published_at.is_(None), event.c.topic == bindparam("role", type_=Text),
        event.c.created_at < func.now() - bindparam("age", type_=Interval),
    )
    .order_by(event.c.created_at, event.c.id)
    .limit(bindparam("limit", type_=Integer))
)  # fmt: skip

_outbox_age = Query(
    select(
        func.coalesce(func.extract("epoch", func.now() - func.min(event.c.created_at)), 0)
    ).where(event.c.published_at.is_(None))
)  # fmt: skip


async def publish(
    database: Database, publisher: Publisher, outbox_events: Sequence[OutboxEvent], timeout_seconds: float = 1.0
) -> int:
    """Publish committed events and mark them as published; return how many.

    It never raises: events that fail are left for the sweep. Callers await it, because Cloud Run may take the CPU away
    once the response is sent.
    """
    batches = {
        topic: [outbox_event for outbox_event in outbox_events if outbox_event.topic is topic] for topic in Topic
    }
    # Topics are published separately, so that a failing topic does not hold up the others.
    sent = await asyncio.gather(
        *(_publish_batch(publisher, topic, batch, timeout_seconds) for topic, batch in batches.items() if batch)
    )
    published = [event_id for event_ids in sent for event_id in event_ids]
    failed = [outbox_event.event_id for outbox_event in outbox_events if outbox_event.event_id not in set(published)]
    try:
        if published:
            await database.execute(_mark_published, event_ids=published)
        if failed:
            await database.execute(_count_attempt, event_ids=failed)
    except errors.DatabaseUnavailable:
        telemetry.log("events_not_marked", severity="WARNING", count=len(published))
    return len(published)


async def _publish_batch(
    publisher: Publisher, topic: Topic, batch: Sequence[OutboxEvent], timeout_seconds: float
) -> list[UUID]:
    """Publish a batch; return the ids of its events, or an empty list if it failed."""
    try:
        await publisher.publish(topic, [outbox_event.message() for outbox_event in batch], timeout_seconds)
    except errors.MessagingUnavailable as error:
        reason = type(error.__cause__).__qualname__
        telemetry.log("events_not_published", severity="WARNING", topic=topic, count=len(batch), reason=reason)
        return []
    return [outbox_event.event_id for outbox_event in batch]


@asynccontextmanager
async def committing(database: Database, publisher: Publisher) -> AsyncIterator[Transaction]:
    """Open a transaction; after its commit, run its callbacks and publish its events."""
    async with database.transaction() as transaction:
        yield transaction
    for call in transaction.on_commit:
        call()
    if transaction.recorded:
        await publish(database, publisher, transaction.recorded)


async def publish_backlog(
    database: Database,
    publisher: Publisher,
    older_than: timedelta,
    batch_size: int = 200,
    should_continue: Callable[[], bool] = lambda: True,
) -> int:
    """Publish unpublished events, by topic and oldest first, until a batch fails or `should_continue` returns False."""
    return sum(
        [
            await _publish_topic_backlog(database, publisher, topic, older_than, batch_size, should_continue)
            for topic in Topic
        ]
    )


async def _publish_topic_backlog(
    database: Database,
    publisher: Publisher,
    topic: Topic,
    older_than: timedelta,
    batch_size: int,
    should_continue: Callable[[], bool],
) -> int:
    total = 0
    while should_continue() and (
        rows := await database.fetch(_unpublished, role=topic, age=older_than, limit=batch_size)
    ):
        outbox_events = [
            OutboxEvent(
                Topic(row["topic"]), EventType(row["type"]), orjson.loads(row["payload"]), row["team_id"],
                row["image_id"], row["trace_parent"], row["id"], row["created_at"],
            )
            for row in rows
        ]  # fmt: skip
        published = await publish(database, publisher, outbox_events, timeout_seconds=10)
        total += published
        if published < len(outbox_events):
            break
    return total


async def outbox_age_seconds(runner: Runner) -> float:
    """Return the age of the oldest unpublished event; 0 if there is none."""
    return float(await runner.fetch_value(_outbox_age))
