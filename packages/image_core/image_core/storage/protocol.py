"""Object storage: what the services ask of it. `gcs` answers on Google Cloud Storage, `testing` in memory."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

ONE_REQUEST_BYTES = 8 * 1024 * 1024
"""Up to this size a body is one request; above it, chunks."""
CHUNK_BYTES = 4 * 1024 * 1024
"""The chunk of a body that is known to be longer, and so what one such upload holds in memory."""
READ_CHUNK_BYTES = 1024 * 1024
"""The piece in which content is read, and so what one slow reader holds in memory."""

Buffer = bytes | bytearray | memoryview


class ObjectMissing(Exception):
    """There is no such object, or not in this generation."""


class ObjectTooLarge(Exception):
    """The object has more bytes than the caller takes."""


@dataclass(frozen=True)
class StoredObject:
    """An object as storage describes it; `crc32c` is the big-endian checksum in base64."""

    name: str
    generation: int
    size_bytes: int
    content_type: str | None
    crc32c: str | None


class Sink(Protocol):
    """Whatever takes bytes, one after the other."""

    def write(self, data: bytes, /) -> int: ...


class ObjectWriter(Protocol):
    """An upload in pieces. Leaving the block without `finish` leaves nothing in storage."""

    async def write(self, chunk: Buffer) -> None:
        """Adds a piece whose size is a multiple of 256 KiB. The caller may reuse the buffer afterwards."""

    async def finish(self, chunk: Buffer) -> StoredObject:
        """Adds the last piece, of any size, and makes the object visible."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ObjectStorage(Protocol):
    """One bucket. Every method may raise `errors.StorageUnavailable`."""

    @property
    def bucket(self) -> str: ...

    async def put(self, name: str, body: Buffer, content_type: str) -> StoredObject:
        """Stores a body that fits in one request."""

    def writer(self, name: str, content_type: str) -> ObjectWriter:
        """Starts an upload in pieces."""

    async def stat(self, name: str) -> StoredObject | None:
        """The live generation, or None."""

    async def read(self, name: str, generation: int | None, start: int, end: int) -> bytes:
        """The bytes from `start` to `end`, both included, of a generation (or the live one). Raises `ObjectMissing`."""

    async def download(self, name: str, generation: int, file: Sink, limit_bytes: int) -> None:
        """Writes the whole object, its checksum verified, to `file`. Raises `ObjectMissing`, `ObjectTooLarge`."""

    async def delete(self, name: str, generation: int | None = None) -> None:
        """Removes one generation, or all of them. What is not there is removed already."""

    async def list(self, prefix: str) -> list[StoredObject]:
        """Every generation of every object under the prefix, in the order of names."""

    async def check(self) -> None:
        """Asks for one thing, to see whether storage answers at all."""


def content_chunks(
    storage: ObjectStorage, name: str, generation: int | None, start: int, end: int
) -> AsyncIterator[bytes]:
    """The bytes from `start` to `end`, both included, in pieces of at most `READ_CHUNK_BYTES`."""

    async def chunks() -> AsyncIterator[bytes]:
        for offset in range(start, end + 1, READ_CHUNK_BYTES):
            yield await storage.read(name, generation, offset, min(offset + READ_CHUNK_BYTES - 1, end))

    return chunks()
