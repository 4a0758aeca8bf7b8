"""The store's metadata in SQLite: an object becomes visible when its row is committed."""

import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from local_cloud.object_store.errors import StoreError, no_such_bucket
from local_cloud.object_store.records import (
    Bucket,
    Content,
    Preconditions,
    StoredObject,
    UploadTarget,
    found_or_404,
)
from local_cloud.transactions import transaction

_SCHEMA = """
CREATE TABLE IF NOT EXISTS bucket (
    name TEXT PRIMARY KEY, versioning INTEGER NOT NULL, topic TEXT, created_at TEXT NOT NULL,
    soft_delete_seconds INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS object (
    bucket TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL, metageneration INTEGER NOT NULL,
    file_name TEXT NOT NULL, size_bytes INTEGER NOT NULL, md5 TEXT NOT NULL, crc32c TEXT NOT NULL,
    attributes TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, deleted_at TEXT,
    PRIMARY KEY (bucket, name, generation)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS object_live ON object (bucket, name) WHERE deleted_at IS NULL;
CREATE TABLE IF NOT EXISTS soft_deleted (
    bucket TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL, metageneration INTEGER NOT NULL,
    file_name TEXT NOT NULL, size_bytes INTEGER NOT NULL, md5 TEXT NOT NULL, crc32c TEXT NOT NULL,
    attributes TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, deleted_at TEXT,
    soft_deleted_at TEXT NOT NULL, hard_delete_at TEXT NOT NULL, PRIMARY KEY (bucket, name, generation)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS soft_deleted_due ON soft_deleted (hard_delete_at);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notification (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, data BLOB NOT NULL, attributes TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS session (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, name TEXT NOT NULL, target TEXT NOT NULL, file_name TEXT NOT NULL,
    status TEXT NOT NULL, generation INTEGER, created_at TEXT NOT NULL
) WITHOUT ROWID;
"""
_OBJECT_COLUMNS = (
    "bucket, name, generation, metageneration, file_name, size_bytes, md5, crc32c, "
    "attributes, created_at, updated_at, deleted_at"
)
_SOFT_DELETED_COLUMNS = f"{_OBJECT_COLUMNS}, soft_deleted_at, hard_delete_at"
_BUCKET_COLUMNS = "name, versioning, topic, created_at, soft_delete_seconds"
# Sorts after every name with the preceding prefix.
AFTER_ALL = "\U0010ffff"
# Source: https://cloud.google.com/storage/docs/resumable-uploads, "session URIs".
SESSION_LIFETIME = timedelta(days=7)


@dataclass(frozen=True)
class Notification:
    """A message for a topic that is pending until it has been published."""

    id: int
    topic: str
    data: bytes
    attributes: dict[str, str]


@dataclass(frozen=True)
class ListPosition:
    """Where a listing continues: after this name and generation."""

    name: str = ""
    generation: int = 0


@dataclass(frozen=True)
class Listing:
    """The objects of a listing: names from `first` (inclusive) to `beyond` (exclusive)."""

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    first: str = ""
    beyond: str = AFTER_ALL
    versions: bool = False
    soft_deleted: bool = False


Describe = Callable[[StoredObject, int | None], tuple[bytes, dict[str, str]]]


class Catalog:
    """All state of the store except the bytes. Not thread-safe; every method is short."""

    def __init__(self, path: Path, describe: Describe) -> None:
        """Open or create the database.

        Args:
            path: of the SQLite file.
            describe: builds data and attributes of the notification about a new object; its second
                argument is the generation that the object replaced.
        """
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=NORMAL")
        self.connection.executescript(_SCHEMA)
        self._add_soft_delete_of_buckets()
        self._describe = describe

    def _add_soft_delete_of_buckets(self) -> None:
        """Add the column to the table of an earlier release."""
        columns = {row[1] for row in self.connection.execute("PRAGMA table_info(bucket)")}
        if "soft_delete_seconds" not in columns:
            self.connection.execute("ALTER TABLE bucket ADD COLUMN soft_delete_seconds INTEGER NOT NULL DEFAULT 0")

    def close(self) -> None:
        """Close the database."""
        self.connection.close()

    def create_bucket(self, name: str, *, versioning: bool = False, topic: str | None = None) -> Bucket:
        """Create a bucket.

        Raises:
            StoreError: 409, the bucket exists.
        """
        bucket = Bucket(name, versioning, topic, now())
        try:
            self.connection.execute(
                "INSERT INTO bucket (name, versioning, topic, created_at) VALUES (?, ?, ?, ?)",
                (name, versioning, topic, bucket.created_at),
            )
        except sqlite3.IntegrityError:
            message = "Your previous request to create the named bucket succeeded and you already own it."
            raise StoreError(409, "conflict", "BucketAlreadyOwnedByYou", message) from None
        return bucket

    def configure_bucket(
        self, name: str, *, versioning: bool, topic: str | None, soft_delete_seconds: int = 0
    ) -> Bucket:
        """Create the bucket if it does not exist, and set its versioning, notifications and soft delete.

        What is soft-deleted already is kept for as long as was promised then, as in the service.
        """
        self.connection.execute(
            f"INSERT INTO bucket ({_BUCKET_COLUMNS}) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE"  # noqa: S608
            " SET versioning = excluded.versioning, topic = excluded.topic,"
            " soft_delete_seconds = excluded.soft_delete_seconds",
            (name, versioning, topic, now(), soft_delete_seconds),
        )
        return self.bucket(name)

    def bucket(self, name: str) -> Bucket:
        """Return the bucket, or raise 404."""
        row = self.connection.execute(
            f"SELECT {_BUCKET_COLUMNS} FROM bucket WHERE name = ?",  # noqa: S608
            (name,),
        ).fetchone()
        if row is None:
            raise no_such_bucket(name)
        return _bucket(row)

    def buckets(self) -> list[Bucket]:
        """Return all buckets by name."""
        rows = self.connection.execute(f"SELECT {_BUCKET_COLUMNS} FROM bucket ORDER BY name")  # noqa: S608
        return [_bucket(row) for row in rows]

    def delete_bucket(self, name: str) -> None:
        """Remove an empty bucket. What is soft-deleted in it can no longer be found, and is removed when it is due.

        Raises:
            StoreError: 404, or 409 while it holds any generation of any object.
        """
        self.bucket(name)
        if self.connection.execute("SELECT 1 FROM object WHERE bucket = ? LIMIT 1", (name,)).fetchone():
            raise StoreError(409, "conflict", "BucketNotEmpty", "The bucket you tried to delete is not empty.")
        self.connection.execute("DELETE FROM bucket WHERE name = ?", (name,))

    def find(self, bucket: str, name: str, generation: int | None = None) -> StoredObject | None:
        """Return the live object, or the given generation of it, or `None`."""
        condition = "deleted_at IS NULL" if generation is None else "generation = ?"
        arguments = (bucket, name) if generation is None else (bucket, name, generation)
        row = self.connection.execute(
            f"SELECT {_OBJECT_COLUMNS} FROM object WHERE bucket = ? AND name = ? AND {condition}",  # noqa: S608
            arguments,
        ).fetchone()
        return None if row is None else _stored_object(row)

    def find_soft_deleted(self, bucket: str, name: str, generation: int | None) -> StoredObject | None:
        """Return a generation that can be restored, or `None`."""
        row = self.connection.execute(
            f"SELECT {_SOFT_DELETED_COLUMNS} FROM soft_deleted"  # noqa: S608
            " WHERE bucket = ? AND name = ? AND generation = ? AND hard_delete_at > ?",
            (bucket, name, generation, now()),
        ).fetchone()
        return None if row is None else _stored_object(row)

    def insert(
        self, target: UploadTarget, content: Content, session_id: str | None = None
    ) -> tuple[StoredObject, list[str]]:
        """Make `content` the live generation, if the preconditions hold now.

        Returns:
            The new object, and the files that nothing names any more.

        Raises:
            StoreError: 404 for the bucket, 412 for the preconditions.
        """
        with transaction(self.connection):
            bucket = self.bucket(target.bucket)
            live = self.find(target.bucket, target.name)
            target.preconditions.check_write(live)
            unnamed = [] if live is None else self._retire(bucket, live)
            stored = StoredObject(
                target.bucket,
                target.name,
                self._next_generation(),
                1,
                content,
                target.attributes,
                now(),
                now(),
                None,
            )
            self._write(stored)
            if session_id is not None:
                self.connection.execute(
                    "UPDATE session SET status = 'done', generation = ? WHERE id = ?", (stored.generation, session_id)
                )
            if bucket.topic is not None:
                data, attributes = self._describe(stored, live.generation if live else None)
                self.connection.execute(
                    "INSERT INTO notification (topic, data, attributes) VALUES (?, ?, ?)",
                    (bucket.topic, data, json.dumps(attributes)),
                )
        return stored, unnamed

    def delete(self, bucket: str, name: str, generation: int | None, preconditions: Preconditions) -> list[str]:
        """Remove one generation, or make the live one noncurrent if the bucket keeps versions.

        Returns:
            The files that nothing names any more.
        """
        with transaction(self.connection):
            kept_in = self.bucket(bucket)
            found = found_or_404(self.find(bucket, name, generation), bucket, name)
            preconditions.check_write(found)
            if generation is None:
                return self._retire(kept_in, found)
            return self._erase(kept_in, found)

    def patch(
        self, found: StoredObject, changes: dict[str, Any], preconditions: Preconditions, *, replace_all: bool = False
    ) -> StoredObject:
        """Change metadata and increment the metageneration; `None` removes a field or a metadata key."""
        preconditions.check_write(found)
        attributes: dict[str, Any] = {} if replace_all else dict(found.attributes)
        for name, value in changes.items():
            if name == "metadata" and isinstance(value, dict):
                merged = {**(attributes.get("metadata") or {}), **value}
                attributes["metadata"] = {key: item for key, item in merged.items() if item is not None}
            elif value is None:
                attributes.pop(name, None)
            else:
                attributes[name] = value
        changed = replace(found, attributes=attributes, metageneration=found.metageneration + 1, updated_at=now())
        self._write(changed)
        return changed

    def list_batch(self, listing: Listing, position: ListPosition, limit: int) -> list[StoredObject]:
        """Return objects of a listing after `position`."""
        table, condition = f"{_OBJECT_COLUMNS} FROM object", "true" if listing.versions else "deleted_at IS NULL"
        if listing.soft_deleted:
            table, condition = f"{_SOFT_DELETED_COLUMNS} FROM soft_deleted", f"hard_delete_at > '{now()}'"
        rows = self.connection.execute(
            f"SELECT {table} WHERE bucket = ? AND name >= ? AND name < ? AND {condition}"
            " AND (name, generation) > (?, ?) ORDER BY name, generation LIMIT ?",
            (listing.bucket, listing.first, listing.beyond, position.name, position.generation, limit),
        )
        return [_stored_object(row) for row in rows]

    def owed_notifications(self) -> list[Notification]:
        """Return the oldest pending notifications."""
        rows = self.connection.execute("SELECT id, topic, data, attributes FROM notification ORDER BY id LIMIT 100")
        return [Notification(row[0], row[1], row[2], json.loads(row[3])) for row in rows]

    def notification_published(self, notification_id: int) -> None:
        """Remove a notification that was published."""
        self.connection.execute("DELETE FROM notification WHERE id = ?", (notification_id,))

    def forget_old_sessions(self) -> None:
        """Remove upload sessions older than a week, as the service does; their files are then unnamed."""
        oldest = (datetime.now(UTC) - SESSION_LIFETIME).isoformat(timespec="milliseconds")
        self.connection.execute("DELETE FROM session WHERE created_at < ?", (oldest,))

    def remove_overdue(self, limit: int) -> list[str]:
        """Remove what can no longer be restored; return the files that nothing names any more."""
        rows = self.connection.execute(
            "DELETE FROM soft_deleted WHERE (bucket, name, generation) IN (SELECT bucket, name, generation"
            " FROM soft_deleted WHERE hard_delete_at <= ? LIMIT ?) RETURNING file_name",
            (now(), limit),
        )
        return [row[0] for row in rows.fetchall()]

    def named_files(self) -> set[str]:
        """Return every file that an object, live or deleted, or an open session names."""
        rows = self.connection.execute(
            "SELECT file_name FROM object UNION SELECT file_name FROM soft_deleted"
            " UNION SELECT file_name FROM session WHERE status = 'open'"
        )
        return {row[0] for row in rows}

    def _write(self, stored: StoredObject) -> None:
        content = stored.content
        self.connection.execute(
            f"INSERT OR REPLACE INTO object ({_OBJECT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (
                *(stored.bucket, stored.name, stored.generation, stored.metageneration),
                *(content.file_name, content.size_bytes, content.md5, content.crc32c),
                *(json.dumps(stored.attributes), stored.created_at, stored.updated_at, stored.deleted_at),
            ),
        )

    def _retire(self, bucket: Bucket, live: StoredObject) -> list[str]:
        if not bucket.versioning:
            return self._erase(bucket, live)
        self._write(replace(live, deleted_at=now()))
        return []

    def _erase(self, bucket: Bucket, stored: StoredObject) -> list[str]:
        """Remove a generation, which can be restored for as long as the bucket says; return the file if it cannot."""
        key = (stored.bucket, stored.name, stored.generation)
        if bucket.soft_delete_seconds:
            self.connection.execute(
                f"INSERT INTO soft_deleted ({_SOFT_DELETED_COLUMNS}) SELECT {_OBJECT_COLUMNS}, ?, ?"  # noqa: S608
                " FROM object WHERE bucket = ? AND name = ? AND generation = ?",
                (now(), now(timedelta(seconds=bucket.soft_delete_seconds)), *key),
            )
        self.connection.execute("DELETE FROM object WHERE bucket = ? AND name = ? AND generation = ?", key)
        return [] if bucket.soft_delete_seconds else [stored.content.file_name]

    def _next_generation(self) -> int:
        # Microseconds like the service's, but never going back when the clock does.
        row = self.connection.execute(
            "INSERT INTO counter VALUES ('generation', ?) ON CONFLICT (name)"
            " DO UPDATE SET value = max(value + 1, excluded.value) RETURNING value",
            (time.time_ns() // 1000,),
        ).fetchone()
        return int(row[0])


def now(later: timedelta = timedelta(0)) -> str:
    """Return the time, or a later one, in the JSON API's format: RFC 3339, UTC, milliseconds."""
    return (datetime.now(UTC) + later).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _bucket(row: tuple[Any, ...]) -> Bucket:
    return Bucket(row[0], bool(row[1]), row[2], row[3], row[4])


def _stored_object(row: tuple[Any, ...]) -> StoredObject:
    content = Content(row[4], row[5], row[6], row[7])
    return StoredObject(row[0], row[1], row[2], row[3], content, json.loads(row[8]), *row[9:])
