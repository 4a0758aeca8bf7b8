"""Reads a message that Pub/Sub has given up. Whatever it holds, it can be stored: nobody would take it otherwise."""

import base64
import binascii
import hashlib
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from image_core.images.object_names import parse_original_name
from image_core.intake.envelope import PushMessage
from image_core.models import MAX_DEAD_LETTER_BYTES

ADDED_BY_PUBSUB = "CloudPubSubDeadLetterSource"
"""How the attributes begin that say where a dead letter comes from. Source: Pub/Sub documentation, "Dead-letter
topics"."""
UNKNOWN_SUBSCRIPTION = "unknown"
_MOST_KEY, _MOST_NAME = 1200, 255


def read(message: PushMessage) -> dict[str, Any]:
    """Return the columns of a dead letter."""
    attributes = {key: value for key, value in message.attributes.items() if not key.startswith(ADDED_BY_PUBSUB)}
    added = {
        key.removeprefix(ADDED_BY_PUBSUB): value
        for key, value in message.attributes.items()
        if key.startswith(ADDED_BY_PUBSUB)
    }
    data, shown = _decode(message.data), orjson.dumps(attributes)
    size_bytes = len(data) + len(shown)
    # JSONB has no place for a zero.
    is_kept = size_bytes <= MAX_DEAD_LETTER_BYTES and b"\\u0000" not in shown
    attempts = added.get("DeliveryCount", "")
    return {
        "subscription": _name(added.get("Subscription", "")),
        "work_key": _work_key(attributes, data),
        **_ids(attributes, data),
        "data": data if is_kept else None,
        "attributes": shown.decode() if is_kept else "{}",
        "size_bytes": size_bytes,
        "attempts": int(attempts) if attempts.isascii() and attempts.isdecimal() and len(attempts) < 6 else 0,
        "source_published_at": _time(added.get("TopicPublishTime") or message.publish_time),
    }


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return text.encode(errors="replace")


def _name(subscription: str) -> str:
    """Return the name of a subscription without its project."""
    name = subscription.rsplit("/", 1)[-1]
    return name if name.isprintable() and 0 < len(name) <= _MOST_NAME else UNKNOWN_SUBSCRIPTION


def _work_key(attributes: dict[str, str], data: bytes) -> str:
    """Return what a message is about: messages with the same key ask for the same work."""
    if name := attributes.get("objectId"):
        key = f"{attributes.get('bucketId', '')}/{name}#{attributes.get('objectGeneration', '')}"
    elif event_id := attributes.get("event_id"):
        key = f"event {event_id}"
    else:
        key = ""
    if key and len(key) <= _MOST_KEY and key.isprintable():
        return key
    whole = orjson.dumps([sorted(attributes.items()), hashlib.sha256(data).hexdigest()])
    return f"sha256 {hashlib.sha256(whole).hexdigest()}"


def _ids(attributes: dict[str, str], data: bytes) -> dict[str, UUID | None]:
    if original := parse_original_name(attributes.get("objectId", "")):
        return {"team_id": original.team_id, "image_id": original.image_id}
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        body = None
    named = body if isinstance(body, dict) else {}
    return {"team_id": _uuid(named.get("team_id")), "image_id": _uuid(named.get("image_id"))}


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _time(text: str) -> datetime:
    now = datetime.now(UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return now
    return min(found if found.tzinfo else found.replace(tzinfo=UTC), now)
