"""The buffer through which a body passes on its way into storage."""

from collections.abc import AsyncIterator

from image_core import errors
from image_core.storage.protocol import CHUNK_BYTES, ONE_REQUEST_BYTES
from image_core.storage.sizes import format_size

_UNIT_BYTES = 256 * 1024
"""All pieces of a resumable upload but the last must be a multiple of this. Source: Cloud Storage documentation."""


class BodyBuffer:
    """One reusable buffer of a fixed size: the memory that an upload holds.

    Attributes:
        total_bytes: how much of the body has arrived.
        ended: whether that is all of it.
    """

    def __init__(self, chunks: AsyncIterator[bytes], declared_bytes: int | None, limit_bytes: int) -> None:
        self._chunks, self._limit_bytes = chunks, limit_bytes
        # Memory that is never written to costs nothing, so the buffer may be larger than the body.
        self._buffer = bytearray(_capacity_bytes(declared_bytes))
        self._used = 0
        self._rest = b""
        self.total_bytes = 0
        self.ended = False

    async def fill(self, least_bytes: int | None = None) -> None:
        """Read until `least_bytes` are held, the buffer overflows, or the body ends.

        Raises:
            errors.UploadTooLarge: The body is larger than allowed.
        """
        while not self.ended and not self._rest and (least_bytes is None or self._used < least_bytes):
            piece = await anext(self._chunks, None)
            if piece is None:
                self.ended = True
                return
            self.total_bytes += len(piece)
            check_size(self.total_bytes, self._limit_bytes)
            self._absorb(piece)

    @property
    def held(self) -> memoryview:
        """What has arrived and was not released. Valid until the next call of another method."""
        return memoryview(self._buffer)[: self._used]

    @property
    def is_whole(self) -> bool:
        """Whether the whole body is held."""
        return self.ended and self._used == self.total_bytes

    def clear(self) -> None:
        """Release what is held, and move what did not fit into the buffer."""
        self._used = 0
        self._absorb(self._rest)

    def _absorb(self, piece: bytes) -> None:
        fitting = min(len(piece), len(self._buffer) - self._used)
        self._buffer[self._used : self._used + fitting] = memoryview(piece)[:fitting]
        self._used += fitting
        self._rest = piece[fitting:]


def check_size(total_bytes: int, limit_bytes: int) -> None:
    """Check the size of a body.

    Raises:
        errors.UploadTooLarge: It is larger than allowed.
    """
    if total_bytes > limit_bytes:
        raise errors.UploadTooLarge(
            f"File too large: the limit is {format_size(limit_bytes)}. Send a smaller file.", limit_bytes=limit_bytes
        )


def _capacity_bytes(declared_bytes: int | None) -> int:
    if declared_bytes is None:
        return ONE_REQUEST_BYTES
    if declared_bytes > ONE_REQUEST_BYTES:
        return CHUNK_BYTES
    return -(-max(declared_bytes, 1) // _UNIT_BYTES) * _UNIT_BYTES
