"""Storage of published and unacknowledged messages in SQLite."""

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from local_cloud.pubsub.records import Message, Subscription, Switches
from local_cloud.transactions import transaction

_SCHEMA = """
CREATE TABLE IF NOT EXISTS topic (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS subscription (
    name TEXT PRIMARY KEY, settings TEXT NOT NULL, switches TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS message (
    id TEXT PRIMARY KEY, data BLOB NOT NULL, attributes TEXT NOT NULL, ordering_key TEXT NOT NULL,
    published_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS delivery (
    message_id TEXT NOT NULL REFERENCES message (id), subscription TEXT NOT NULL, attempt INTEGER NOT NULL,
    PRIMARY KEY (message_id, subscription)
) WITHOUT ROWID;
"""


class Journal:
    """The only part of the broker that accesses the disk; each method is one transaction."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def topics(self) -> list[str]:
        """Return the names of all topics."""
        return [row[0] for row in self._connection.execute("SELECT name FROM topic ORDER BY name")]

    def add_topic(self, name: str) -> None:
        """Store a topic."""
        self._connection.execute("INSERT OR IGNORE INTO topic VALUES (?)", (name,))

    def remove_topic(self, name: str) -> None:
        """Remove a topic."""
        self._connection.execute("DELETE FROM topic WHERE name = ?", (name,))

    def subscriptions(self) -> list[tuple[Subscription, Switches]]:
        """Return all subscriptions with their switches."""
        rows = self._connection.execute("SELECT settings, switches FROM subscription ORDER BY name")
        return [(Subscription(**json.loads(row[0])), Switches(**json.loads(row[1]))) for row in rows]

    def put_subscription(self, subscription: Subscription, switches: Switches) -> None:
        """Store a subscription, or its changed settings."""
        values = (subscription.name, json.dumps(subscription.as_dict()), json.dumps(vars(switches)))
        self._connection.execute("INSERT OR REPLACE INTO subscription VALUES (?, ?, ?)", values)

    def remove_subscription(self, name: str) -> None:
        """Remove a subscription and its undelivered messages."""
        with transaction(self._connection):
            self._connection.execute("DELETE FROM subscription WHERE name = ?", (name,))
            self._connection.execute("DELETE FROM delivery WHERE subscription = ?", (name,))
            self._connection.execute("DELETE FROM message WHERE id NOT IN (SELECT message_id FROM delivery)")

    def deliveries(self) -> list[tuple[str, int, Message]]:
        """Return subscription, number of attempts and message of everything unacknowledged."""
        rows = self._connection.execute(
            "SELECT subscription, attempt, id, data, attributes, ordering_key, published_at"
            " FROM delivery JOIN message ON id = message_id ORDER BY published_at, id"
        )
        return [(row[0], row[1], Message(row[2], row[3], json.loads(row[4]), row[5], row[6])) for row in rows]

    def publish(self, messages: Iterable[Message], subscriptions: list[str]) -> None:
        """Store messages for each of the subscriptions."""
        with transaction(self._connection):
            for message in messages:
                attributes = json.dumps(message.attributes)
                self._connection.execute(
                    "INSERT INTO message VALUES (?, ?, ?, ?, ?)",
                    (message.id, message.data, attributes, message.ordering_key, message.published_at),
                )
                self._connection.executemany(
                    "INSERT INTO delivery VALUES (?, ?, 0)", [(message.id, name) for name in subscriptions]
                )

    def attempted(self, message_id: str, subscription: str, attempt: int) -> None:
        """Store how often a message has been delivered."""
        self._connection.execute(
            "UPDATE delivery SET attempt = ? WHERE message_id = ? AND subscription = ?",
            (attempt, message_id, subscription),
        )

    def acknowledged(self, message_id: str, subscription: str) -> None:
        """Remove a delivery, and with its last one the message."""
        with transaction(self._connection):
            self._connection.execute(
                "DELETE FROM delivery WHERE message_id = ? AND subscription = ?", (message_id, subscription)
            )
            self._connection.execute(
                "DELETE FROM message WHERE id = ? AND NOT EXISTS (SELECT 1 FROM delivery WHERE message_id = ?)",
                (message_id, message_id),
            )
