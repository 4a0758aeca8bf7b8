"""The interface of object storage. `gcs` implements it on Google Cloud Storage, `testing` in memory."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

ONE_REQUEST_BYTES = 8 * 1024 * 1024
"""Bodies up to this size are sent in one request, larger ones in chunks."""
CHUNK_BYTES = 4 * 1024 * 1024
"""The chunk size of larger bodies, which is the memory held by one such upload."""
SESSION_UNIT_BYTES = 256 * 1024
"""The size of every piece that is sent to a session is a multiple of this, except for the last."""
READ_CHUNK_BYTES = 1024 * 1024
"""The size of the pieces in which content is read, which is the memory held by one slow reader."""

Buffer = bytes | bytearray | memoryview


class ObjectMissing(Exception):
    """The object does not exist, or not in this generation."""


class ObjectTooLarge(Exception):
    """The object has more bytes than the caller accepts."""


class BucketNotReadable(Exception):
    """The bucket does not exist, or this account may not list it."""


class ObjectChanged(Exception):
    """The object is no longer the generation that was asked for."""


@dataclass(frozen=True)
class StoredObject:
    """An object as storage describes it; `crc32c` is the big-endian checksum in base64."""

    name: str
    generation: int
    size_bytes: int
    content_type: str | None
    crc32c: str | None


@dataclass(frozen=True)
class ListedObject:
    """A live object in a listing, with what the one who stored it wrote beside it."""

    stored: StoredObject
    created_at: datetime
    content_encoding: str | None
    metadata: Mapping[str, str]


class Sink(Protocol):
    """Anything that takes bytes sequentially."""

    def write(self, data: bytes, /) -> int: ...


class ObjectWriter(Protocol):
    """An upload in pieces. Leaving the block without `finish` leaves nothing in storage."""

    async def write(self, chunk: Buffer) -> None:
        """Add a piece whose size is a multiple of 256 KiB. The caller may reuse the buffer afterwards."""

    async def finish(self, chunk: Buffer) -> StoredObject:
        """Add the last piece, of any size, and make the object visible."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ObjectStorage(Protocol):
    """One bucket. Every method may raise `errors.StorageUnavailable`."""

    @property
    def bucket(self) -> str: ...

    async def put(self, name: str, body: Buffer, content_type: str) -> StoredObject:
        """Store a body that fits in one request."""

    def writer(self, name: str, content_type: str) -> ObjectWriter:
        """Start an upload in pieces."""

    async def open_session(self, name: str, content_type: str, size_bytes: int, origin: str | None) -> str:
        """Open a session for somebody else's upload of `size_bytes`, and return its address, which is a secret.

        Whoever knows the address may send the bytes: a page only if it is of this origin.
        """

    async def received_bytes(self, address: str, size_bytes: int) -> int | None:
        """Return how many bytes a session has received; None if it was cancelled or is too old."""

    async def cancel_session(self, address: str) -> None:
        """End a session, so that it takes no more bytes. One that has ended is ignored."""

    async def stat(self, name: str) -> StoredObject | None:
        """Return the live generation, or None."""

    async def read(self, name: str, generation: int | None, start: int, end: int) -> bytes:
        """Return the bytes from `start` to `end` (inclusive) of a generation, or of the live one.

        Raises:
            ObjectMissing: The object or the generation does not exist.
        """

    async def download(self, name: str, generation: int | None, file: Sink, limit_bytes: int) -> str:
        """Write the whole object, of a generation or the live one, to `file`; verify and return its CRC-32C.

        Raises:
            ObjectMissing: The object or the generation does not exist.
            ObjectTooLarge: The object has more than `limit_bytes`.
        """

    async def delete(self, name: str, generation: int | None = None) -> None:
        """Remove one generation, or all of them. Absent objects are ignored."""

    async def live_objects(self, prefix: str, after: str, limit: int) -> list[ListedObject]:
        """Return the live objects under the prefix whose names follow `after`, in the order of names.

        Fewer than `limit` means that there are no more.

        Raises:
            BucketNotReadable: The bucket does not exist, or this account may not list it.
        """

    async def copy_from(
        self, source: "ObjectStorage", source_name: str, source_generation: int, name: str, content_type: str
    ) -> StoredObject:
        """Copy a live object of another bucket, or of this one, without reading its bytes.

        A copy of the same object that is already there is returned.

        Raises:
            ObjectMissing: The source has no such object.
            ObjectChanged: The source is no longer this generation, or there is another object of the new name.
        """

    async def bring_back(self, name: str, generation: int) -> StoredObject:
        """Make an older generation of an object that has no live one the live one again, as a new generation.

        Raises:
            ObjectMissing: There is no such generation.
            ObjectChanged: Another attempt of the kind is under way.
        """

    async def soft_deleted(self, name: str) -> list[StoredObject]:
        """Return the generations of an object that were deleted and can be restored, oldest first."""

    async def restore(self, name: str, generation: int) -> StoredObject:
        """Restore a soft-deleted generation of an object that has no live one, as a new generation.

        Raises:
            ObjectMissing: There is no such soft-deleted generation.
            ObjectChanged: Another attempt of the kind is under way.
        """

    async def list(self, prefix: str) -> list[StoredObject]:
        """Iterate over every generation of every object under the prefix, in the order of names."""

    async def check(self) -> None:
        """Send one request to check that storage responds."""


def content_chunks(
    storage: ObjectStorage, name: str, generation: int | None, start: int, end: int
) -> AsyncIterator[bytes]:
    """Return the bytes from `start` to `end` (inclusive) in pieces of at most `READ_CHUNK_BYTES`."""

    async def chunks() -> AsyncIterator[bytes]:
        for offset in range(start, end + 1, READ_CHUNK_BYTES):
            yield await storage.read(name, generation, offset, min(offset + READ_CHUNK_BYTES - 1, end))

    return chunks()
