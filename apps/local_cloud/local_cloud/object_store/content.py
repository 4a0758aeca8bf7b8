"""Writing of bytes to disk: buffered, hashed and written in threads, so that the event loop stays free."""

import asyncio
import base64
import contextlib
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c

from local_cloud.object_store.errors import invalid
from local_cloud.object_store.records import Content

FLUSH_BYTES = 1 << 20
READ_BYTES = 1 << 19
# Passing less than this to a thread costs more than hashing and writing it here.
INLINE_BYTES = 1 << 16
# The service stores incomplete uploads in multiples of this size. Source: resumable uploads, "chunk size".
QUANTUM_BYTES = 256 * 1024
# The package has no annotations.
_new_crc32c: Callable[[], Any] = google_crc32c.Checksum


class ContentWriter:
    """Writes one file; while one buffer is hashed and written in a thread, the next one fills."""

    def __init__(self, folder: Path, executor: ThreadPoolExecutor, file_name: str | None = None) -> None:
        self.file_name = file_name or uuid.uuid4().hex
        self.path = folder / self.file_name
        self.max_bytes: int | None = None
        self._executor = executor
        self._chunks: list[bytes] = []
        self._buffered_bytes = 0
        self._stored_bytes = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc32c = _new_crc32c()
        self._file: BinaryIO | None = None
        self._pending: asyncio.Future[None] | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes received so far, whether or not they have reached the disk."""
        return self._stored_bytes + self._buffered_bytes

    async def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            StoreError: The content exceeds `max_bytes`.
        """
        self._chunks.append(data)
        self._buffered_bytes += len(data)
        if self.max_bytes is not None and self.size_bytes > self.max_bytes:
            raise invalid(f"Your proposed upload is larger than {self.max_bytes} bytes.", "EntityTooLarge")
        if self._buffered_bytes >= FLUSH_BYTES:
            await self._flush(self._buffered_bytes - self._buffered_bytes % QUANTUM_BYTES)

    async def finish(self) -> Content:
        """Write the rest and close the file."""
        if not self._stored_bytes and self._buffered_bytes <= INLINE_BYTES:
            self._stored_bytes = self._buffered_bytes
            self._store(self._take_chunks(self._buffered_bytes))
        else:
            await self._flush(self._buffered_bytes)
            await self._settle()
        self._close()
        digests = (base64.b64encode(digest).decode() for digest in (self._md5.digest(), self._crc32c.digest()))
        return Content(self.file_name, self._stored_bytes, *digests)

    async def keep_quanta(self) -> int:
        """Store whole multiples of 256 KiB, drop the rest, and return how many bytes are stored."""
        await self._flush(self._buffered_bytes - self._buffered_bytes % QUANTUM_BYTES)
        await self._settle()
        self._take_chunks(self._buffered_bytes)
        return self._stored_bytes

    async def discard(self) -> None:
        """Remove the file."""
        # The cause of an earlier failed write has been reported to its caller.
        with contextlib.suppress(OSError):
            await self._settle()
        self._close()
        self.path.unlink(missing_ok=True)

    async def resume(self) -> None:
        """Continue a file that an earlier process left, in whole multiples of 256 KiB."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._rehash)

    def _rehash(self) -> None:
        size = self.path.stat().st_size if self.path.exists() else 0
        with self.path.open("r+b" if size else "w+b") as file:
            file.truncate(size - size % QUANTUM_BYTES)
            while chunk := file.read(FLUSH_BYTES):
                self._md5.update(chunk)
                self._crc32c.update(chunk)
                self._stored_bytes += len(chunk)

    async def _flush(self, length: int) -> None:
        await self._settle()
        if not length:
            return
        chunks = self._take_chunks(length)
        self._stored_bytes += length
        self._pending = asyncio.get_running_loop().run_in_executor(self._executor, self._store, chunks)

    def _take_chunks(self, length: int) -> list[bytes]:
        """Take the first `length` bytes out of the buffer, splitting a chunk if needed."""
        taken, self._chunks = self._chunks, []
        excess = self._buffered_bytes - length
        self._buffered_bytes = excess
        while excess > 0:
            last = taken.pop()
            if len(last) > excess:
                taken.append(last[:-excess])
                last = last[-excess:]
            self._chunks.insert(0, last)
            excess -= len(last)
        return taken

    async def _settle(self) -> None:
        # Shielded, so that a cancelled request never leaves a write that nobody awaits.
        if self._pending is not None:
            pending = self._pending
            try:
                await asyncio.shield(pending)
            finally:
                if pending.done() and self._pending is pending:
                    self._pending = None

    def _store(self, chunks: list[bytes]) -> None:
        if self._file is None:
            self._file = self.path.open("ab")
        for chunk in chunks:
            self._md5.update(chunk)
            self._crc32c.update(chunk)
            self._file.write(chunk)
        self._file.flush()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


async def read_file(file: FileIO, start: int, length: int, executor: ThreadPoolExecutor) -> AsyncIterator[bytes]:
    """Yield `length` bytes from `start` of an open file, then close it."""
    loop = asyncio.get_running_loop()
    with file:
        file.seek(start)
        while length > 0:
            chunk_bytes = min(length, READ_BYTES)
            if chunk_bytes <= INLINE_BYTES:
                chunk = file.read(chunk_bytes)
            else:
                chunk = await loop.run_in_executor(executor, file.read, chunk_bytes)
            if not chunk:
                return
            length -= len(chunk)
            yield chunk
