"""The object store: files in one folder, a catalog, and pending notifications."""

import asyncio
import contextlib
import fcntl
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from image_core.telemetry import log_unexpected
from local_cloud.object_store.catalog import AFTER_ALL, Catalog, Listing, ListPosition, now
from local_cloud.object_store.content import ContentWriter, read_file
from local_cloud.object_store.errors import no_such_object
from local_cloud.object_store.records import Content, Preconditions, StoredObject, UploadTarget, found_or_404

Publish = Callable[[str, bytes, dict[str, str]], Awaitable[None]]
HASHING_THREADS = 8
PUBLISH_RETRY_SECONDS = 0.5
OVERDUE_PAUSE_SECONDS = 60.0
OVERDUE_BATCH = 100


class ObjectStore:
    """Objects under one folder, for one process at a time; survives being killed at any moment."""

    def __init__(self, folder: Path, *, publish: Publish | None = None, base_url: str = "http://127.0.0.1") -> None:
        """Open the store and remove what a killed process left incomplete.

        Args:
            folder: created if absent.
            publish: called with topic, data and attributes for each new object of a bucket that has a
                notification; until it returns without an error the notification stays pending.
            base_url: appears in the links of notifications, which belong to no request.
        """
        self.blobs = folder / "blobs"
        self.blobs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock_fd = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.executor = ThreadPoolExecutor(HASHING_THREADS, "object-store")
        self.catalog = Catalog(folder / "catalog.sqlite", self._describe)
        self._publish = publish
        self._base_url = base_url
        self._owed = asyncio.Event()
        self._remove_unnamed_files()

    def close(self) -> None:
        """Release the folder."""
        self.executor.shutdown()
        self.catalog.close()
        os.close(self._lock_fd)

    def new_writer(self, target: UploadTarget) -> ContentWriter:
        """Begin a file that nothing names yet."""
        writer = ContentWriter(self.blobs, self.executor)
        writer.max_bytes = target.max_bytes
        return writer

    async def receive(self, target: UploadTarget, body: AsyncIterator[bytes]) -> StoredObject:
        """Store a whole body as one object; after a failure, nothing of it remains."""
        writer = self.new_writer(target)
        try:
            async for chunk in body:
                await writer.write(chunk)
            return self.commit(target, await writer.finish())
        except BaseException:
            await writer.discard()
            raise

    def commit(self, target: UploadTarget, content: Content, session_id: str | None = None) -> StoredObject:
        """Make complete bytes visible as the live generation, and add the notification, in one transaction."""
        target.check_content(content)
        stored, unnamed = self.catalog.insert(target, content, session_id)
        self.remove_files(unnamed)
        self._owed.set()
        return stored

    def open(self, found: StoredObject, start: int, length: int) -> AsyncIterator[bytes]:
        """Open the bytes of an object for reading; overwriting it does not affect the reader."""
        try:
            file = (self.blobs / found.content.file_name).open("rb", buffering=0)
        except FileNotFoundError:
            raise no_such_object(found.bucket, found.name) from None
        return read_file(file, start, length, self.executor)

    async def copy(self, source: StoredObject, target: UploadTarget) -> StoredObject:
        """Create a new object with the bytes of another one, without copying them."""
        writer = self.new_writer(target)
        content = Content(writer.file_name, source.content.size_bytes, source.content.md5, source.content.crc32c)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self.executor, os.link, self.blobs / source.content.file_name, writer.path)
        try:
            return self.commit(target, content)
        except BaseException:
            await writer.discard()
            raise

    async def restore(
        self, bucket: str, name: str, generation: int | None, preconditions: Preconditions
    ) -> StoredObject:
        """Create a new live object with bytes and metadata of a soft-deleted generation, which stays as it is."""
        self.catalog.bucket(bucket)
        found = found_or_404(self.catalog.find_soft_deleted(bucket, name, generation), bucket, name)
        return await self.copy(found, UploadTarget(bucket, name, found.attributes, preconditions))

    def get(self, bucket: str, name: str, generation: int | None = None) -> StoredObject:
        """Return an object, or raise 404."""
        self.catalog.bucket(bucket)
        return found_or_404(self.catalog.find(bucket, name, generation), bucket, name)

    def list_page(
        self, listing: Listing, position: ListPosition, limit: int
    ) -> tuple[list[StoredObject], list[str], ListPosition | None]:
        """Return objects, common prefixes, and where the next page begins, if there is one."""
        self.catalog.bucket(listing.bucket)
        objects: list[StoredObject] = []
        prefixes: list[str] = []
        while True:
            wanted = limit - len(objects) - len(prefixes)
            batch = self.catalog.list_batch(listing, position, wanted + 1)
            for found in batch:
                if len(objects) + len(prefixes) == limit:
                    return objects, prefixes, position
                end = found.name.find(listing.delimiter, len(listing.prefix)) if listing.delimiter else -1
                if end >= 0:
                    prefixes.append(found.name[: end + len(listing.delimiter)])
                    position = ListPosition(prefixes[-1] + AFTER_ALL)
                    break
                objects.append(found)
                position = ListPosition(found.name, found.generation)
            else:
                return objects, prefixes, None

    def remove_files(self, names: list[str]) -> None:
        """Remove files that nothing names."""
        for name in names:
            (self.blobs / name).unlink(missing_ok=True)

    def remove_overdue(self) -> None:
        """Remove the bytes of what can no longer be restored."""
        while unnamed := self.catalog.remove_overdue(OVERDUE_BATCH):
            self.remove_files(unnamed)

    async def keep_removing_overdue(self) -> None:
        """Remove them forever, each within a minute after its time."""
        while True:
            self.remove_overdue()
            await asyncio.sleep(OVERDUE_PAUSE_SECONDS)

    async def send_notifications(self) -> None:
        """Publish pending notifications forever; retry topics that are unreachable."""
        while True:
            self._owed.clear()
            try:
                owed = self.catalog.owed_notifications()
                for notification in owed:
                    if self._publish is not None:
                        await self._publish(notification.topic, notification.data, notification.attributes)
                    self.catalog.notification_published(notification.id)
            except Exception as error:  # noqa: BLE001 (whatever keeps a notification from leaving, it stays owed)
                log_unexpected(error)
                await asyncio.sleep(PUBLISH_RETRY_SECONDS)
                continue
            if not owed:
                await self._owed.wait()

    def _remove_unnamed_files(self) -> None:
        self.catalog.forget_old_sessions()
        self.remove_overdue()
        named = self.catalog.named_files()
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.blobs):
                if entry.name not in named:
                    Path(entry.path).unlink()

    def _describe(self, stored: StoredObject, overwritten: int | None) -> tuple[bytes, dict[str, str]]:
        """Build the notification about a new object.

        Source: https://cloud.google.com/storage/docs/pubsub-notifications
        """
        attributes = {
            "notificationConfig": f"projects/_/buckets/{stored.bucket}/notificationConfigs/1",
            "eventType": "OBJECT_FINALIZE",
            "payloadFormat": "JSON_API_V1",
            "bucketId": stored.bucket,
            "objectId": stored.name,
            "objectGeneration": str(stored.generation),
            "eventTime": now(),
        }
        if overwritten is not None:
            attributes["overwroteGeneration"] = str(overwritten)
        resource: dict[str, Any] = stored.resource(self._base_url)
        return json.dumps(resource, indent=2).encode(), attributes
