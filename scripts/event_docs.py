"""Write docs/events.md, the table of events: `python scripts/event_docs.py [--check]`."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from image_core.events import EventType
from image_core.feed.asyncapi import example, schemas
from image_core.feed.event_types import EVENT_TYPES, is_about_keys

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "events.md"
HEAD = """\
# Events

The service announces what happens to images, analyses, keys, quotas, links and long operations, so that other systems
need not ask again and again. Each event is published to the Pub/Sub topic `image-events` (`PUBSUB_EVENTS_TOPIC`).

To receive the pictures that are ready, create a subscription and pull from it:

```sh
gcloud pubsub subscriptions create ready-pictures --topic image-events \\
  --message-filter 'attributes.event_type = "image.ready"'
gcloud pubsub subscriptions pull ready-pictures --auto-ack --format 'value(message.data.decode(base64))'
```

```json
{ready}
```

Every event has these five members:

| member | meaning |
|---|---|
| `id` | the event's id, the same each time it is delivered |
| `type` | one of the types below |
| `timestamp` | when it happened |
| `team_id` | the team that it concerns; null for the platform's own keys |
| `data` | depends on the type; see below |

The message's attributes `event_id`, `event_type` and `team_id` repeat the first of them for filters. The API serves the
same description as an AsyncAPI 3 document at `/asyncapi.json`, for code generators and validators.

## What you can rely on

- **At least once.** An event is written in the transaction of the change that it tells of, so none is lost and none
  tells of something that did not happen. It may be delivered twice: remember the `id`.
- **Not in order.** Every event about an image has its `revision` after the change. If you keep a copy of an image's
  state, drop events with a lower revision than you have.
- **Thin.** Events have ids and what changed, never filenames, tags, metadata, names of keys or the token of a link.
  Read the rest with a GET at `path`, which is the API's.
- **Types and fields are only added.** Ignore those that you do not know.

The steps of processing between `image.created` and `image.ready` or `image.failed` raise the revision without an event:
an image that is claimed, given back or asked for again. An upload has no events before its bytes are stored. If it is
refused, broken off or found by the API to be a duplicate, the answer says so and no event follows.

Processing an image again is told of twice: `image.changed` with `status` when it is queued, then `image.ready`. If that
fails, the image keeps its pictures, and the second event is `image.changed` with `status` again.

## Types

`scripts/event_docs.py` generates this page from the table in `image_core/feed/event_types.py`.

"""


_LINES = (("id", "type"), ("timestamp", "team_id"), ("data",))


def page() -> str:
    """Return the page."""
    found = schemas()
    parts = [HEAD.format(ready=_json(EventType.READY))]
    parts += ["| type | when |\n|---|---|\n"]
    parts += [f"| [`{kind.value}`](#{_anchor(kind)}) | {row.summary} |\n" for kind, row in EVENT_TYPES.items()]
    for kind, row in EVENT_TYPES.items():
        parts.append(f"\n### {kind.value}\n\n{row.summary}{_reach(kind)}\n\n")
        parts.append(_fields(found[row.data.__name__], found))
        parts.append(f"\n```json\n{_json(kind)}\n```\n")
    return "".join(parts)


def _anchor(kind: EventType) -> str:
    return kind.value.replace(".", "")


def _reach(kind: EventType) -> str:
    """Return to whom the event is shown, where that is not everybody who reads events."""
    row = EVENT_TYPES[kind]
    said = [] if row.by_webhook else ["No webhook gets it."]
    said += ["It needs the scope `keys:self`."] if is_about_keys(kind) else []
    return "".join(f" {each}" for each in said)


def _json(kind: EventType) -> str:
    shown = example(kind)
    lines = [json.dumps({name: shown[name] for name in names})[1:-1] for names in _LINES]
    return "{" + ",\n ".join(lines) + "}"


def _fields(schema: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Return the table of an object's fields, one for each form that it may have."""
    if forms := schema.get("oneOf"):
        return "\n".join(_fields(_resolved(form, found), found) for form in forms)
    rows = ["| field | type | meaning |\n|---|---|---|\n"]
    for name, field in schema["properties"].items():
        optional = "" if name in schema["required"] else ", may be absent"
        rows.append(f"| `{name}` | {_type(field, found)}{optional} | {field.get('description', '')} |\n")
    return "".join(rows)


def _resolved(schema: Mapping[str, Any], found: Mapping[str, Any]) -> Mapping[str, Any]:
    return found[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


def _type(field: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    field = _resolved(field, found)
    if forms := field.get("anyOf"):
        return " or ".join(_type(form, found) for form in forms)
    if values := field.get("enum") or ([field["const"]] if "const" in field else None):
        return ", ".join(f"`{value}`" for value in values)
    if field["type"] == "array":
        return f"list of {_type(field['items'], found)}"
    return str(field.get("format", field["type"]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or check whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the page is out of date")
    if not parser.parse_args(arguments).check:
        PAGE.write_text(page())
        return 0
    if PAGE.exists() and PAGE.read_text() == page():
        return 0
    sys.stderr.write("docs/events.md is out of date: run `python scripts/event_docs.py`.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
