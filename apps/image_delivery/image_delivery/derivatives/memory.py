"""Small pictures in memory, by the names of their objects, which are never used for other bytes."""

import asyncio
from collections.abc import Awaitable, Callable

MOST_PICTURE_BYTES = 256 * 1024
"""Larger pictures are read from storage for each request."""
_ENTRY_BYTES = 256
"""What an entry takes beside its bytes, about."""


def name_of(bucket: str, object_name: str, generation: int | None = None) -> str:
    """Return the name under which the bytes of an object are held."""
    return f"{bucket}/{object_name}/{generation or ''}"


class PictureMemory:
    """Bytes by object name, those that were used last; several requests for the same name read it once."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._pictures: dict[str, bytes] = {}
        self._reading: dict[str, asyncio.Task[bytes]] = {}

    @property
    def size_bytes(self) -> int:
        """How much is held."""
        return self._bytes

    def peek(self, name: str) -> bytes | None:
        """Return what is held under a name, which thereby was used last."""
        picture = self._pictures.pop(name, None)
        if picture is not None:
            self._pictures[name] = picture
        return picture

    async def get(self, name: str, read: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return the bytes of a name, read where they are not held. Raises what `read` raises."""
        if (picture := self.peek(name)) is not None:
            return picture
        reading = self._reading.get(name)
        if reading is None:
            reading = self._reading[name] = asyncio.create_task(self._read(name, read))
            reading.add_done_callback(lambda done: self._forget(name, done))
        # A caller that goes away must not take the others' bytes with it.
        return await asyncio.shield(reading)

    def _forget(self, name: str, done: asyncio.Task[bytes]) -> None:
        del self._reading[name]
        if not done.cancelled():
            # All who waited may have left: nobody has to see the error.
            done.exception()

    async def _read(self, name: str, read: Callable[[], Awaitable[bytes]]) -> bytes:
        picture = await read()
        self.put(name, picture)
        return picture

    def put(self, name: str, picture: bytes) -> None:
        """Hold the bytes of a name, unless they are many."""
        if len(picture) > MOST_PICTURE_BYTES or len(picture) + _ENTRY_BYTES > self._most_bytes:
            return
        if name not in self._pictures:
            self._bytes += len(picture) + _ENTRY_BYTES
        self._pictures[name] = picture
        while self._bytes > self._most_bytes:
            self._bytes -= len(self._pictures.pop(next(iter(self._pictures)))) + _ENTRY_BYTES
