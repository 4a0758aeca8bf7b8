"""The rules of dead letters: admins of the platform look at them, publish them again, or discard them."""

from typing import Any
from uuid import UUID

import orjson

from image_api import audit
from image_api.actor import Actor, require_admin
from image_api.dead_letters import queries
from image_api.http.pagination import Cursor
from image_api.services import Services
from image_api.settings import ApiSettings
from image_core import errors, events
from image_core.db import Record, Runner, Transaction
from image_core.events import Message, Topic
from image_core.states import DeadLetterStatus

_PUBLISH_SECONDS = 5.0
_REDRIVEN = (Topic.UPLOADS, Topic.ANALYSES, Topic.RENDITIONS)
"""Topics whose subscriptions have dead letters."""


async def list_dead_letters(
    runner: Runner, actor: Actor, status: DeadLetterStatus | None, cursor: Cursor | None, limit: int
) -> list[Record]:
    """Return dead letters, newest first.

    Raises:
        errors.RoleMissing: The caller is no admin.
    """
    require_admin(actor)
    return await queries.page(runner, status, cursor, limit)


async def get_dead_letter(runner: Runner, actor: Actor, dead_letter_id: UUID) -> Record:
    """Return a dead letter.

    Raises:
        errors.RoleMissing: The caller is no admin.
        errors.DeadLetterNotFound: It does not exist.
    """
    require_admin(actor)
    found = await queries.find(runner, dead_letter_id)
    if found is None:
        raise errors.DeadLetterNotFound
    return found


async def redrive(services: Services, actor: Actor, dead_letter_id: UUID) -> Record:
    """Publish a dead letter to the topic that it came from, then mark it. Repeating it asks for the same work again.

    Raises:
        errors.RoleMissing: The caller is no admin.
        errors.DeadLetterNotFound: It does not exist.
        errors.DeadLetterNotRedrivable: Its topic is not known, or its bytes were not kept.
        errors.MessagingUnavailable: Pub/Sub does not respond; it stays as it is.
    """
    row = await get_dead_letter(services.database, actor, dead_letter_id)
    topic = topic_of(services.settings, row)
    if topic is None or row["data"] is None:
        raise errors.DeadLetterNotRedrivable(
            f"The message was larger than is kept: it has {row['size_bytes']} bytes."
            if row["data"] is None
            else f"No topic belongs to the subscription {row['subscription']}."
        )
    message = Message(row["data"], orjson.loads(row["attributes"]))
    # No transaction is open, so a slow Pub/Sub holds no connection. A failure after this leaves the row open.
    await services.publisher.publish(topic, [message], _PUBLISH_SECONDS)
    async with events.committing(services.database, services.publisher) as transaction:
        marked = await queries.mark(transaction, dead_letter_id, row["arrivals"], DeadLetterStatus.REDRIVEN)
        await _record(transaction, actor, "dead_letter.redriven", row)
    return marked or await get_dead_letter(services.database, actor, dead_letter_id)


async def discard(transaction: Transaction, actor: Actor, dead_letter_id: UUID) -> Record:
    """Mark an open dead letter as not needed; one that is handled stays as it is.

    Raises:
        errors.RoleMissing: The caller is no admin.
        errors.DeadLetterNotFound: It does not exist.
    """
    row = await get_dead_letter(transaction, actor, dead_letter_id)
    if DeadLetterStatus(row["status"]) is not DeadLetterStatus.OPEN:
        return row
    marked = await queries.mark(transaction, dead_letter_id, row["arrivals"], DeadLetterStatus.DISCARDED)
    if marked is None:
        return await get_dead_letter(transaction, actor, dead_letter_id)
    await _record(transaction, actor, "dead_letter.discarded", row)
    return marked


async def _record(transaction: Transaction, actor: Actor, action: str, row: Record) -> None:
    after = {"subscription": row["subscription"], "work_key": row["work_key"]}
    await audit.record(transaction, actor, action, ("dead_letter", row["id"]), team_id=row["team_id"], after=after)


def topic_of(settings: ApiSettings, row: Record) -> Topic | None:
    """Return the topic of the subscription that gave a message up; None if it is none of ours."""
    by_subscription = {f"{settings.topics[topic]}-push": topic for topic in _REDRIVEN}
    return by_subscription.get(row["subscription"])


def body_of(settings: ApiSettings, row: Record) -> dict[str, Any]:
    """Return a dead letter as it is shown."""
    topic, preview = topic_of(settings, row), row["preview"]
    return {
        **row,
        "topic": None if topic is None else settings.topics[topic],
        "attributes": orjson.loads(row["attributes"]),
        "preview": None if preview is None else preview.decode(errors="replace"),
        "is_redrivable": topic is not None and row["is_kept"],
    }
