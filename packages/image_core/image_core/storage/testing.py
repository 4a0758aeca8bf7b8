"""A bucket in memory, for tests. No service imports this module."""

import builtins
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from image_core import errors
from image_core.storage.connection import crc32c, crc32c_text
from image_core.storage.protocol import (
    Buffer,
    ListedObject,
    ObjectChanged,
    ObjectMissing,
    ObjectStorage,
    ObjectTooLarge,
    Sink,
    StoredObject,
)

_FIRST_GENERATION = 1_700_000_000_000_001


@dataclass
class _Generation:
    stored: StoredObject
    body: bytes


@dataclass
class FakeStorage:
    """A versioned in-memory bucket that behaves like the real one; `fails` may raise before any call."""

    bucket: str = "bucket"
    fails: Callable[[str], None] = lambda _method: None
    _objects: dict[str, list[_Generation]] = field(default_factory=dict)
    _soft_deleted: dict[str, list[_Generation]] = field(default_factory=dict)
    _last_generation: int = _FIRST_GENERATION
    _sessions: dict[str, tuple[str, str, int, str | None]] = field(default_factory=dict)

    def _live(self, name: str) -> _Generation | None:
        return self._objects[name][-1] if self._objects.get(name) else None

    def _store(self, name: str, body: bytes, content_type: str) -> StoredObject:
        checksum = crc32c_text(crc32c(body))
        if (live := self._live(name)) is not None:
            # A retry whose first attempt did arrive finds its own object.
            if live.stored.crc32c == checksum:
                return live.stored
            raise errors.StorageUnavailable("There is another object of this name.")
        self._last_generation += 1
        stored = StoredObject(name, self._last_generation, len(body), content_type, checksum)
        self._objects.setdefault(name, []).append(_Generation(stored, body))
        return stored

    async def put(self, name: str, body: Buffer, content_type: str) -> StoredObject:
        """See `ObjectStorage`."""
        self.fails("put")
        return self._store(name, bytes(body), content_type)

    def writer(self, name: str, content_type: str) -> "FakeWriter":
        """See `ObjectStorage`."""
        return FakeWriter(self, name, content_type)

    async def open_session(self, name: str, content_type: str, size_bytes: int, origin: str | None) -> str:
        """See `ObjectStorage`. Nothing can be sent to this session."""
        self.fails("open_session")
        address = f"fake://{name}?{len(self._sessions)}"
        self._sessions[address] = (name, content_type, size_bytes, origin)
        return address

    async def received_bytes(self, address: str, size_bytes: int) -> int | None:
        """See `ObjectStorage`."""
        self.fails("received_bytes")
        session = self._sessions.get(address)
        if session is not None and session[2] != size_bytes:
            raise errors.StorageUnavailable("The session was opened for another size.")
        return None if session is None else 0

    async def cancel_session(self, address: str) -> None:
        """See `ObjectStorage`."""
        self.fails("cancel_session")
        self._sessions.pop(address, None)

    async def stat(self, name: str) -> StoredObject | None:
        """See `ObjectStorage`."""
        self.fails("stat")
        live = self._live(name)
        return live.stored if live else None

    def _find(self, name: str, generation: int | None) -> _Generation:
        for version in reversed(self._objects.get(name, [])):
            if generation in (None, version.stored.generation):
                return version
        raise ObjectMissing(name)

    async def read(self, name: str, generation: int | None, start: int, end: int) -> bytes:
        """See `ObjectStorage`."""
        self.fails("read")
        return self._find(name, generation).body[start : end + 1]

    async def download(self, name: str, generation: int | None, file: Sink, limit_bytes: int) -> str:
        """See `ObjectStorage`."""
        self.fails("download")
        body = self._find(name, generation).body
        if len(body) > limit_bytes:
            raise ObjectTooLarge
        file.write(body)
        return crc32c_text(crc32c(body))

    async def delete(self, name: str, generation: int | None = None) -> None:
        """See `ObjectStorage`."""
        self.fails("delete")
        versions = self._objects.get(name, [])
        self._objects[name] = [v for v in versions if generation not in (None, v.stored.generation)]
        deleted = [v for v in versions if v not in self._objects[name]]
        self._soft_deleted.setdefault(name, []).extend(deleted)

    async def list(self, prefix: str) -> list[StoredObject]:
        """See `ObjectStorage`."""
        self.fails("list")
        return [
            version.stored
            for name, generations in sorted(self._objects.items())
            if name.startswith(prefix)
            for version in generations
        ]

    async def live_objects(self, prefix: str, after: str, limit: int) -> "builtins.list[ListedObject]":
        """See `ObjectStorage`. Everything was created just now."""
        self.fails("live_objects")
        names = [name for name, kept in sorted(self._objects.items()) if kept and name.startswith(prefix)]
        live = [self._objects[name][-1].stored for name in names if name > after]
        return [ListedObject(stored, datetime.now(UTC), None, {}) for stored in live[:limit]]

    async def copy_from(
        self, source: ObjectStorage, source_name: str, source_generation: int, name: str, content_type: str
    ) -> StoredObject:
        """See `ObjectStorage`. The source is in memory too."""
        self.fails("copy_from")
        original: _Generation = source._find(source_name, None)  # type: ignore[attr-defined]  # noqa: SLF001
        if original.stored.generation != source_generation:
            raise ObjectChanged
        return self._live_or_stored(name, original.body, content_type)

    def _live_or_stored(self, name: str, body: bytes, content_type: str) -> StoredObject:
        live = self._live(name)
        return self._store(name, body, content_type) if live is None else live.stored

    async def bring_back(self, name: str, generation: int) -> StoredObject:
        """See `ObjectStorage`. This bucket keeps no older generations of what is removed."""
        self.fails("bring_back")
        raise ObjectMissing(f"{name} {generation}")

    async def soft_deleted(self, name: str) -> "builtins.list[StoredObject]":
        """See `ObjectStorage`. This bucket keeps them for as long as it is there."""
        self.fails("soft_deleted")
        return [version.stored for version in self._soft_deleted.get(name, [])]

    async def restore(self, name: str, generation: int) -> StoredObject:
        """See `ObjectStorage`."""
        self.fails("restore")
        for version in self._soft_deleted.get(name, []):
            if version.stored.generation == generation:
                return self._live_or_stored(name, version.body, version.stored.content_type or "")
        raise ObjectMissing(f"{name} {generation}")

    async def check(self) -> None:
        """See `ObjectStorage`."""
        self.fails("check")


@dataclass
class FakeWriter:
    """An upload in pieces into a `FakeStorage`."""

    storage: FakeStorage
    name: str
    content_type: str
    _body: bytearray = field(default_factory=bytearray)

    async def write(self, chunk: Buffer) -> None:
        """See `ObjectWriter`."""
        self.storage.fails("write")
        self._body += chunk

    async def finish(self, chunk: Buffer) -> StoredObject:
        """See `ObjectWriter`."""
        self.storage.fails("finish")
        return self.storage._store(self.name, bytes(self._body + chunk), self.content_type)  # noqa: SLF001

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._body.clear()
