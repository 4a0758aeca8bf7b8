"""The AsyncAPI document: the events of the table, and the topic that they are published on."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from image_core.events import EventType
from image_core.feed.event_types import EVENT_TYPES, EventDescription, QuotaLow, StorageLow
from image_core.feed.paths import path_of

TOPIC = "image-events"
_ID = "0199c0de-0000-7000-8000-0000000000{:02x}"
_TIME = "2026-03-01T09:30:00Z"
_EXAMPLES: Mapping[str, Any] = {
    "image_id": _ID.format(4), "revision": 4, "width": 4032, "height": 3024, "presets": ["thumb", "card"],
    "code": "image-truncated", "duplicate_of": _ID.format(9), "changed": ["rating", "tags"], "status": "ready",
    "analysis_id": _ID.format(0x11), "analyzer": "labels", "credential_id": _ID.format(3), "user_id": _ID.format(2),
    "key_prefix": "im_3kTz9QwX", "expires_at": "2030-01-01T00:00:00Z", "previous_expires_at": "2026-03-02T09:30:00Z",
    "quota": "storage", "used_bytes": 9663676417, "used_images": 2310, "quota_bytes": 10737418240,
    "quota_images": None, "month": "2026-03", "operation_id": _ID.format(0x12), "kind": "reprocess", "total": 1200,
    "done": 1187, "failed": 3, "link_id": _ID.format(0x13), "collection_id": _ID.format(0x14), "reason": "deleted",
    "webhook_id": _ID.format(0x15),
}  # fmt: skip
_OF_TYPE: Mapping[EventType, Mapping[str, Any]] = {
    EventType.ANALYSIS_FAILED: {"code": "analyzer-failed", "image_id": None},
    EventType.ANALYZED: {"image_id": None},
    EventType.OPERATION_PROGRESSED: {"status": "running", "done": 480},
    EventType.OPERATION_FINISHED: {"status": "succeeded", "done": 1197, "code": None},
    EventType.WEBHOOK_DISABLED: {"reason": "failing"},
}


def example(kind: EventType) -> dict[str, Any]:
    """Return an event of a type as its readers get it."""
    model = EVENT_TYPES[kind].data
    fields = (StorageLow if model is QuotaLow else model).model_fields
    values = {**_EXAMPLES, **_OF_TYPE.get(kind, {})}
    data = {name: values.get(name) for name in fields}
    data = {name: value for name, value in data.items() if value is not None or fields[name].is_required()}
    if "path" in data:
        data["path"] = path_of(kind, data)
    data = dict(sorted(data.items()))
    team_id = _ID.format(1)
    return {"id": _ID.format(0x10), "type": kind.value, "timestamp": _TIME, "team_id": team_id, "data": data}


def asyncapi_document(title: str, version: str) -> dict[str, Any]:
    """Return the document."""
    published = [kind for kind, row in EVENT_TYPES.items() if row.in_feed]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": title,
            "version": version,
            "description": "What the service tells others of. Delivery is at least once, so events of one `id` are one,"
            " and not in order, so that of two events about an image the one with the higher `revision` is the newer."
            " Types and fields are only ever added.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "events": {
                "address": TOPIC,
                "title": "The topic of events",
                "description": "A Pub/Sub topic; each installation names its own. Attributes of each message are"
                " `event_id`, `event_type` and `team_id`, by which a subscription can filter.",
                "messages": {kind.value: {"$ref": f"#/components/messages/{kind.value}"} for kind in published},
            }
        },
        "operations": {
            "publishEvents": {
                "action": "send",
                "channel": {"$ref": "#/channels/events"},
                "summary": "Publishes what happened, directly after it did.",
                "messages": [{"$ref": f"#/channels/events/messages/{kind.value}"} for kind in published],
            }
        },
        "components": {
            "messages": {kind.value: _message(kind, row) for kind, row in EVENT_TYPES.items()},
            "schemas": schemas(),
        },
    }


def _message(kind: EventType, row: EventDescription) -> dict[str, Any]:
    shown = example(kind)
    return {
        "name": kind.value,
        "title": kind.value,
        "summary": row.summary,
        "headers": {
            "type": "object",
            "required": ["event_id", "event_type"],
            "properties": {name: {"type": "string"} for name in ("event_id", "event_type", "team_id")},
        },
        "payload": {
            "type": "object",
            "required": list(shown),
            "properties": {
                "id": {"type": "string", "format": "uuid", "description": "The same each time it is delivered."},
                "type": {"const": kind.value},
                "timestamp": {"type": "string", "format": "date-time"},
                "team_id": {
                    "type": ["string", "null"], "format": "uuid", "description": "Null for what belongs to no team.",
                },
                "data": {"$ref": f"#/components/schemas/{row.data.__name__}"},
            },
        },
        "examples": [{"payload": shown}],
    }  # fmt: skip


def schemas() -> dict[str, Any]:
    """Return the schema of each type's data, by the name of its model. Readers have to accept fields that are added."""
    models: set[type[BaseModel]] = {row.data for row in EVENT_TYPES.values()}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, found = models_json_schema(
        [(model, "serialization") for model in ordered], ref_template="#/components/schemas/{model}"
    )
    definitions: dict[str, Any] = found["$defs"]
    for schema in definitions.values():
        # In AsyncAPI a discriminator is a name, and readers must not refuse the fields of later releases.
        schema.pop("discriminator", None)
        schema.pop("additionalProperties", None)
    return definitions
