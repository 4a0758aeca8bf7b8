"""The buffer that a body passes through on its way into storage."""

from collections.abc import AsyncIterator

from image_core import errors
from image_core.storage.protocol import CHUNK_BYTES, ONE_REQUEST_BYTES

_UNIT_BYTES = 256 * 1024
"""A piece of a resumable upload that is not the last has a multiple of this. Source: Cloud Storage documentation."""


class BodyBuffer:
    """One buffer of a fixed size, filled and emptied again and again: what an upload holds in memory.

    Attributes:
        total_bytes: what has arrived of the body.
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
        """Read until `least_bytes` are here, else until more is here than fits, or the body has ended.

        Raises:
            errors.UploadTooLarge: more has arrived than is allowed.
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
        """What has arrived and was not let go of. Valid until the next call of another method."""
        return memoryview(self._buffer)[: self._used]

    @property
    def is_whole(self) -> bool:
        """Whether the whole body is held."""
        return self.ended and self._used == self.total_bytes

    def clear(self) -> None:
        """Let go of what is held, and hold what did not fit."""
        self._used = 0
        self._absorb(self._rest)

    def _absorb(self, piece: bytes) -> None:
        fitting = min(len(piece), len(self._buffer) - self._used)
        self._buffer[self._used : self._used + fitting] = memoryview(piece)[:fitting]
        self._used += fitting
        self._rest = piece[fitting:]


def check_size(total_bytes: int, limit_bytes: int) -> None:
    """Raise `errors.UploadTooLarge` where more has arrived than is allowed."""
    if total_bytes > limit_bytes:
        raise errors.UploadTooLarge(f"File too large: the limit is {limit_bytes} bytes.", limit_bytes=limit_bytes)


def _capacity_bytes(declared_bytes: int | None) -> int:
    if declared_bytes is None:
        return ONE_REQUEST_BYTES
    if declared_bytes > ONE_REQUEST_BYTES:
        return CHUNK_BYTES
    return -(-max(declared_bytes, 1) // _UNIT_BYTES) * _UNIT_BYTES
