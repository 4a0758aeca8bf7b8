"""What shows of the system without a request: its tables, its messages, its settings, its document."""

import json
import re
from pathlib import Path
from typing import Any

import asyncpg
import grpc
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from .normalising import Placeholders

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "image-manager-local"
TOPICS = ("image-events", "image-analyses", "image-renditions")
_BUSY = """
SELECT (SELECT count(*) FROM image WHERE status IN ('pending', 'stored', 'processing'))
     + (SELECT count(*) FROM analysis WHERE status IN ('requested', 'running'))
     + (SELECT count(*) FROM event WHERE published_at IS NULL AND team_id IS NOT NULL)
"""
"""What the start of the system told of its own key waits for the sweep, which is left out."""
_PROSE = {"description", "summary", "title", "example", "examples"}


async def is_busy(database: asyncpg.Connection) -> bool:
    """Whether work is under way that the last request began."""
    return bool(await database.fetchval(_BUSY))


async def rows(database: asyncpg.Connection, placeholders: Placeholders) -> dict[str, Any]:
    """Return every row of every table, in an order that does not depend on ids and times."""
    tables = await database.fetch(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"
    )
    found: dict[str, Any] = {}
    for (table,) in tables:
        if table == "request_usage":
            # Written once a minute, whatever has been counted by then.
            continue
        records = await database.fetch(f'SELECT row_to_json(t)::text FROM "{table}" t')
        parsed = [_comparable(table, json.loads(text)) for (text,) in records]
        parsed.sort(key=lambda row: json.dumps(placeholders.value(row, {}, masked=True)))
        found[table] = [placeholders.value(row, {}) for row in parsed]
    return found


def _comparable(table: str, row: dict[str, Any]) -> dict[str, Any]:
    if table == "image":
        # Upload and processor note the same at once, and whoever comes second may find nothing to change.
        return {**row, "revision": "<revision>"}
    if table == "delivery_key":
        return {**row, "number": "<drawn>"}
    if table == "event":
        return {**row, "payload": _without_revision(row["payload"]), "xact": "<drawn>", "position": "<drawn>"}
    return {**row, "body": _decoded(row["body"])} if table == "idempotency_key" and row["body"] else row


def _without_revision(payload: dict[str, Any]) -> dict[str, Any]:
    """Return the payload of an event; the revision of its image depends on who was faster."""
    return {**payload, "revision": "<revision>"} if "revision" in payload else payload


def _decoded(body: str) -> Any:
    """Return the JSON in a stored answer; one that shows a secret is encrypted."""
    try:
        return json.loads(bytes.fromhex(body.removeprefix("\\x")))
    except ValueError:
        return "<encrypted>"


class Subscription:
    """Pull subscriptions of the topics that the services publish to."""

    def __init__(self, host: str) -> None:
        self._channel = grpc.insecure_channel(host)
        self._client = SubscriberClient(transport=SubscriberGrpcTransport(channel=self._channel))
        for topic in TOPICS:
            self._client.create_subscription(name=self._name(topic), topic=f"projects/{PROJECT}/topics/{topic}")

    def _name(self, topic: str) -> str:
        return f"projects/{PROJECT}/subscriptions/wire-{topic}"

    def messages(self, placeholders: Placeholders) -> dict[str, Any]:
        """Return what was published since, by the order of the events' ids, which holds their time."""
        found = {}
        for topic in TOPICS:
            taken: dict[str, Any] = {}
            while pulled := self._client.pull(
                subscription=self._name(topic), max_messages=1000, timeout=5
            ).received_messages:
                self._client.acknowledge(subscription=self._name(topic), ack_ids=[each.ack_id for each in pulled])
                taken |= {each.message.attributes["event_id"]: each.message for each in pulled}
            found[topic] = [_shown(taken[event_id], placeholders) for event_id in sorted(taken)]
        return found

    def close(self) -> None:
        self._channel.close()


def _shown(message: Any, placeholders: Placeholders) -> Any:
    times: dict[str, str] = {}
    body = json.loads(message.data)
    if isinstance(body.get("data"), dict):
        body["data"] = _without_revision(body["data"])
    shown = {"attributes": dict(sorted(message.attributes.items())), "data": body}
    return placeholders.value(shown, times)


def document(openapi: Any, *, names_are_ours: bool = False) -> Any:
    """Return an OpenAPI document without its texts for people."""
    if isinstance(openapi, dict):
        kept = openapi if names_are_ours else {name: openapi[name] for name in openapi if name not in _PROSE}
        return {
            name: document(each, names_are_ours=not names_are_ours and name == "properties")
            for name, each in kept.items()
        }
    return [document(each) for each in openapi] if isinstance(openapi, list) else openapi


def settings() -> dict[str, dict[str, str]]:
    """Return name and default of every setting, from the page that is generated of them."""
    found: dict[str, dict[str, str]] = {}
    for section in (ROOT / "docs" / "settings.md").read_text().split("\n## ")[1:]:
        lines = re.findall(r"^\| `(\w+)` \| (.*?) \| ", section, re.MULTILINE)
        found[section.partition("\n")[0]] = dict(lines)
    return found
