"""The AsyncAPI document: the events of the table, and the three ways to hear of them: topic, feed and webhooks."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from image_core.events import EventType
from image_core.feed.event_types import EVENT_TYPES, EventDescription, QuotaLow, StorageLow
from image_core.feed.paths import path_of

TOPIC, FEED = "image-events", "/api/v1/events"
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


_STREAM_BINDINGS = {
    "http": {
        "method": "GET",
        "query": {
            "type": "object",
            "properties": {
                "after": {"type": "string", "description": "The cursor to begin after; without it, from now on."},
                "team_id": {"type": "string", "format": "uuid", "description": "For platform admins: the team."},
            },
        },
        "bindingVersion": "0.3.0",
    }
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
    in_feed = {kind.value: f"#/components/messages/{kind.value}" for kind, row in EVENT_TYPES.items() if row.in_feed}
    in_stream = {kind: f"#/components/messages/feed.{kind}" for kind in in_feed} | {
        "end": "#/components/messages/feed.end"
    }
    to_endpoints = {
        kind.value: f"#/components/messages/webhook.{kind.value}" for kind, row in EVENT_TYPES.items() if row.by_webhook
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": title,
            "version": version,
            "description": "What the service tells others of: on a topic, in a stream, and by webhooks. Delivery is at"
            " least once, so events of one `id` are one, and not in order, so that of two events about an image the one"
            " with the higher `revision` is the newer. Types and fields are only ever added.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "events": {
                "address": TOPIC,
                "title": "The topic of events",
                "description": "A Pub/Sub topic; each installation names its own. Attributes of each message are"
                " `event_id`, `event_type` and `team_id`, by which a subscription can filter.",
                "messages": _references(in_feed),
            },
            "feed": {
                "address": FEED,
                "title": "The feed of a team, as server-sent events",
                "description": "Each message has an `id:`, which is the cursor to go on after it. A message without an"
                " event has none or an `id:` alone; the last one, of the type `end`, says why the stream ends.",
                "messages": _references(in_stream),
            },
            "webhooks": {
                # Each webhook has a URL of its own.
                "address": None,
                "title": "Endpoints of webhooks",
                "description": "Requests by Standard Webhooks 1.0.0 to the URL of each webhook, signed with its secret."
                " The id and the team are not in the body: `webhook-id` is the event's id.",
                "messages": _references(to_endpoints),
            },
        },
        "operations": {
            "publishEvents": _sends("events", in_feed, "Publishes what happened, directly after it did."),
            "streamEvents": _sends("feed", in_stream, "Sends what happened after a cursor, and what happens.")
            | {"security": [{"$ref": "#/components/securitySchemes/key"}], "bindings": _STREAM_BINDINGS},
            "callWebhooks": _sends("webhooks", to_endpoints, "Calls the webhooks of a team.")
            | {"bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}}},
        },
        "components": {
            "messages": _messages(),
            "schemas": schemas(),
            "securitySchemes": {"key": {"type": "httpApiKey", "name": "X-API-KEY", "in": "header"}},
        },
    }


def _references(addresses: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"$ref": address} for name, address in addresses.items()}


def _sends(channel: str, messages: Iterable[str], summary: str) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }


def _messages() -> dict[str, Any]:
    """Return each message by the way that it takes; those of the topic have the names of the types."""
    messages = {kind.value: _message(kind, row) for kind, row in EVENT_TYPES.items()}
    for kind, row in EVENT_TYPES.items():
        whole = messages[kind.value]
        shared = {name: whole[name] for name in ("name", "title", "summary")}
        if row.in_feed:
            payload = {"$ref": f"#/components/messages/{kind.value}/payload"}
            messages[f"feed.{kind.value}"] = shared | {"payload": payload, "examples": whole["examples"]}
        if row.by_webhook:
            messages[f"webhook.{kind.value}"] = shared | _webhook(whole)
    reason = {"type": "string", "description": "Such as time-over, idle or shutting-down, or the code of an error."}
    messages["feed.end"] = {
        "name": "end", "title": "end", "summary": "The stream ends; go on after the last `id:`, unless it is an error.",
        "payload": {"type": "object", "required": ["reason"], "properties": {"reason": reason}},
        "examples": [{"payload": {"reason": "time-over"}}],
    }  # fmt: skip
    return messages


def _webhook(message: dict[str, Any]) -> dict[str, Any]:
    """Return headers, body and example of a webhook's request."""
    names = ("type", "timestamp", "data")
    payload, (shown,) = message["payload"], message["examples"]
    headers = {name: {"type": "string"} for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}
    return {
        "headers": {"type": "object", "required": list(headers), "properties": headers},
        "payload": payload | {
            "required": list(names), "properties": {name: payload["properties"][name] for name in names},
        },
        "examples": [{"payload": {name: shown["payload"][name] for name in names}}],
    }  # fmt: skip


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
