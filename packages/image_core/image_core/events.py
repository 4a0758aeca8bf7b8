"""Domain events: written to the outbox in the transaction of the change, published after its commit.

There are five topics. `uploads` requests the processing of an image, in the format of Cloud Storage's OBJECT_FINALIZE
notification, so that the processor handles one kind of message. `analyses` requests an analysis, `renditions` a picture
that is made in the background, `tasks` a step of `image-tasks`. `events` announces what happened; its table is
`feed.event_types`. Delivery is at least once, and every message carries its event's id.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol, overload
from uuid import UUID

import orjson
from sqlalchemy import Integer, Interval, Text, Uuid, bindparam, func, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from image_core import errors, telemetry
from image_core.db import Database, Query, Record, Runner, Transaction, to_json
from image_core.feed.paths import path_of
from image_core.ids import new_id
from image_core.keys import api_keys
from image_core.models import event

PAYLOAD_VERSION = 1
TRACE_ATTRIBUTE = "googclient_traceparent"
COLUMNS = (
    event.c.id, event.c.topic, event.c.type, event.c.team_id, event.c.image_id, event.c.payload, event.c.trace_parent,
    event.c.created_at,
)  # fmt: skip
"""The columns that `of_row` needs."""


class Topic(StrEnum):
    """The topics that the services publish to, by role; their names are settings."""

    UPLOADS = "uploads"
    EVENTS = "events"
    ANALYSES = "analyses"
    RENDITIONS = "renditions"
    TASKS = "tasks"


class EventType(StrEnum):
    """The types of events. `feed.event_types` has the schema of each that is published on the topic `events`."""

    IMAGE_CREATED = "image.created"
    READY = "image.ready"
    FAILED = "image.failed"
    IMAGE_DUPLICATE = "image.duplicate"
    IMAGE_CHANGED = "image.changed"
    TRASHED = "image.trashed"
    RESTORED = "image.restored"
    PURGED = "image.purged"
    ANALYZED = "analysis.completed"
    ANALYSIS_FAILED = "analysis.failed"
    KEY_CREATED = "credential.created"
    KEY_ROTATED = "credential.rotated"
    KEY_EXPIRING = "credential.expiring"
    KEY_LEAKED = "credential.leaked"
    KEY_REVOKED = "credential.revoked"
    QUOTA_LOW = "quota.low"
    DELIVERY_QUOTA_LOW = "delivery.quota_low"
    OPERATION_PROGRESSED = "operation.progressed"
    OPERATION_FINISHED = "operation.finished"
    LINK_CREATED = "link.created"
    LINK_ENDED = "link.ended"
    WEBHOOK_TEST = "webhook.test"
    WEBHOOK_DISABLED = "webhook.disabled"

    # Requests, on the topics of their own.
    PROCESS = "image.process"
    ANALYZE = "analysis.requested"
    RENDER = "rendition.requested"
    DISCARD_PRESET = "preset.removed"
    NUDGED = "task.nudged"


@dataclass(frozen=True)
class Message:
    """A Pub/Sub message: JSON bytes and attributes."""

    data: bytes
    attributes: dict[str, str]


@overload
def time_text(time: datetime) -> str: ...
@overload
def time_text(time: datetime | None) -> str | None: ...
def time_text(time: datetime | None) -> str | None:
    """Return a time as the API writes it, in UTC; None for none."""
    return None if time is None else time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def envelope(
    event_id: UUID,
    kind: str,
    created_at: datetime,
    team_id: UUID | None,
    image_id: UUID | None,
    payload: Mapping[str, Any],
) -> dict[str, Any]:
    """Return an event as messages, the feed and webhooks show it, in the types of JSON."""
    data = {**({"image_id": str(image_id)} if image_id else {}), **payload}
    if (path := path_of(kind, data)) is not None:
        data["path"] = path
    return {
        "id": str(event_id),
        "type": kind,
        "timestamp": time_text(created_at),
        "team_id": str(team_id) if team_id else None,
        # Sorted, because the database keeps the fields in an order of its own, and a message stays the same.
        "data": dict(sorted(data.items())),
    }


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
        if self.team_id:
            attributes["team_id"] = str(self.team_id)
        return Message(orjson.dumps(self.envelope() if self.topic is Topic.EVENTS else self._request()), attributes)

    def envelope(self) -> dict[str, Any]:
        """Return the event as others are told of it."""
        return envelope(self.event_id, self.type, self.created_at, self.team_id, self.image_id, self.payload)

    def _request(self) -> dict[str, Any]:
        return {
            "id": str(self.event_id),
            "type": self.type,
            "version": PAYLOAD_VERSION,
            "occurred_at": self.created_at.isoformat(),
            "team_id": str(self.team_id) if self.team_id else None,
            "image_id": str(self.image_id) if self.image_id else None,
            "data": self.payload,
        }


def of_row(row: Record) -> OutboxEvent:
    """Return the event of a row with the columns `COLUMNS`."""
    return OutboxEvent(
        Topic(row["topic"]), EventType(row["type"]), orjson.loads(row["payload"]), row["team_id"], row["image_id"],
        row["trace_parent"], row["id"], row["created_at"],
    )  # fmt: skip


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
    revision: int,
    payload: Mapping[str, Any] | None = None,
    trace_parent: str | None = None,
) -> OutboxEvent:
    """Build an event about an image; `revision` is the row's after the change, by which readers put them in order."""
    return OutboxEvent(Topic.EVENTS, kind, {"revision": revision, **(payload or {})}, team_id, image_id, trace_parent)


def team_event(kind: EventType, team_id: UUID | None, payload: dict[str, Any]) -> OutboxEvent:
    """Build an event about anything else of a team; without a team, it is about the platform's own."""
    return OutboxEvent(Topic.EVENTS, kind, payload, team_id)


def credential_event(
    kind: EventType, team_id: UUID | None, row: Record | Mapping[str, Any], payload: Mapping[str, Any] | None = None
) -> OutboxEvent:
    """Build an event about a credential by its `id`, `user_id` and `public_id`; without a team, it is an admin's."""
    about = {
        "credential_id": str(row["id"]), "user_id": str(row["user_id"]),
        "key_prefix": api_keys.PREFIX + row["public_id"],
    }  # fmt: skip
    return team_event(kind, team_id, {**about, **(payload or {})})


def link_event(kind: EventType, team_id: UUID, link_id: UUID, payload: Mapping[str, Any]) -> OutboxEvent:
    """Build an event about a share link; its token is in none."""
    return team_event(kind, team_id, {"link_id": str(link_id), **payload})


def operation_event(
    kind: EventType, team_id: UUID | None, operation_id: UUID, payload: Mapping[str, Any]
) -> OutboxEvent:
    """Build an event about a long operation: its kind, status and counts."""
    return team_event(kind, team_id, {"operation_id": str(operation_id), **payload})


def webhook_event(
    kind: EventType, team_id: UUID, webhook_id: UUID, payload: Mapping[str, Any] | None = None
) -> OutboxEvent:
    """Build an event about a webhook."""
    return team_event(kind, team_id, {"webhook_id": str(webhook_id), **(payload or {})})


def analysis_request(analysis_id: UUID, team_id: UUID, trace_parent: str | None) -> OutboxEvent:
    """Build a request to run the analysis described by a row."""
    return OutboxEvent(
        Topic.ANALYSES, EventType.ANALYZE, {"analysis_id": str(analysis_id)}, team_id, trace_parent=trace_parent
    )


class Publisher(Protocol):
    """Sends messages. Raises `errors.MessagingUnavailable` when they may not have arrived."""

    async def publish(self, topic: Topic, messages: Sequence[Message], timeout_seconds: float) -> None: ...


_record = Query(insert(event).values({each.name: bindparam(each.name, type_=each.type) for each in COLUMNS}))


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
    select(*COLUMNS)
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
    committed: list[OutboxEvent] = []
    async with collecting(database, committed) as transaction:
        yield transaction
    if committed:
        await publish(database, publisher, committed)


@asynccontextmanager
async def collecting(database: Database, committed: list[OutboxEvent]) -> AsyncIterator[Transaction]:
    """Open a transaction; after its commit, run its callbacks and add its events to `committed`.

    Whoever opens many of them publishes their events together.
    """
    async with database.transaction() as transaction:
        yield transaction
    for call in transaction.on_commit:
        call()
    committed += transaction.recorded


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
        outbox_events = [of_row(row) for row in rows]
        published = await publish(database, publisher, outbox_events, timeout_seconds=10)
        total += published
        if published < len(outbox_events):
            break
    return total


async def outbox_age_seconds(runner: Runner) -> float:
    """Return the age of the oldest unpublished event; 0 if there is none."""
    return float(await runner.fetch_value(_outbox_age))
