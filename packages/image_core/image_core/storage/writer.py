"""The resumable upload: a body in chunks, without copying the caller's chunk.

Source of the protocol: Cloud Storage documentation, "Resumable uploads".
"""

from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

import anyio

from image_core import errors
from image_core.storage import sessions
from image_core.storage.connection import (
    GcsConnection,
    MalformedResponse,
    UnexpectedStatus,
    crc32c_in_thread,
    crc32c_text,
    parse_json_object,
    parse_stored_object,
    split_into_pieces,
)
from image_core.storage.protocol import Buffer, ObjectMissing, StoredObject


class GcsWriter:
    """An upload in pieces. `stat` returns the object as it is in the bucket."""

    def __init__(
        self,
        client: GcsConnection,
        start_url: str,
        content_type: str,
        stat: Callable[[], Awaitable[StoredObject]],
    ) -> None:
        self._gcs, self._start_url, self._content_type, self._stat = client, start_url, content_type, stat
        self._session_url: str | None = None
        self._offset = 0
        self._crc32c = 0
        self._finished = False

    async def write(self, chunk: Buffer) -> None:
        await self._send(chunk, last=False)

    async def finish(self, chunk: Buffer) -> StoredObject:
        answer = await self._send(chunk, last=True)
        stored = await self._gcs.store(self._stat) if answer is None else _confirmed(answer)
        if stored.size_bytes != self._offset or stored.crc32c != crc32c_text(self._crc32c):
            raise errors.StorageUnavailable("The stored object differs from what was sent. Try again.")
        self._finished = True
        return stored

    async def _send(self, chunk: Buffer, *, last: bool) -> bytes | None:
        """Send a chunk; return the object's resource if it was the last chunk and its response arrived."""
        if self._session_url is None:
            self._session_url = await self._gcs.store(self._start)
        self._crc32c = await crc32c_in_thread(chunk, self._crc32c)
        transfer = _Transfer(self._gcs, self._session_url, chunk, self._offset, last=last)
        answer = await self._gcs.store(transfer.resume)
        self._offset += len(chunk)
        return answer

    async def _start(self) -> str:
        return await sessions.open_session(self._gcs, self._start_url, {"x-upload-content-type": self._content_type})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session_url is None or self._finished:
            return
        url = self._session_url
        # The session would expire within a week; cancelling it is optional and may fail.
        with anyio.move_on_after(3, shield=True):
            try:
                await self._gcs.run_once(lambda: sessions.cancel(self._gcs, url), 3.0)
            except (errors.StorageUnavailable, ObjectMissing):
                return


class _Transfer:
    """One chunk in transfer; a second attempt queries what storage has and sends only the rest."""

    def __init__(self, gcs: GcsConnection, session_url: str, chunk: Buffer, start: int, *, last: bool) -> None:
        self._gcs, self._url, self._chunk, self._start = gcs, session_url, chunk, start
        self._end = start + len(chunk)
        self._total = self._end if last else None
        self._attempts = 0

    async def resume(self) -> bytes | None:
        """Send the rest of the chunk; return the object's resource once it is complete."""
        self._attempts += 1
        try:
            status, headers, answer = await self._put(await self._received() if self._attempts > 1 else self._start)
        except UnexpectedStatus as error:
            # A retry of the last chunk may find that the first attempt completed the object.
            if error.status == 412 and self._total is not None:
                return None
            raise
        if status != 308:
            return answer
        if self._total is not None or sessions.parse_received(headers) < self._end:
            raise ConnectionError("the chunk was not taken whole")
        return None

    async def _put(self, have: int) -> tuple[int, Mapping[str, str], bytes]:
        if have < self._end:
            body, span = memoryview(self._chunk)[have - self._start :], f"{have}-{self._end - 1}"
        else:
            body, span = memoryview(b""), "*"
        content_range = f"bytes {span}/{'*' if self._total is None else self._total}"
        headers = {"content-range": content_range, "content-length": str(len(body))}
        return await self._gcs.read_whole(
            "PUT", self._url, headers=headers, pieces=split_into_pieces(body), expected=(200, 201, 308)
        )

    async def _received(self) -> int:
        """Query how many bytes of the object storage has; all of them when the object is complete."""
        headers = {"content-range": f"bytes */{'*' if self._total is None else self._total}", "content-length": "0"}
        status, answered, _ = await self._gcs.read_whole("PUT", self._url, headers=headers, expected=(200, 201, 308))
        return sessions.parse_received(answered) if status == 308 else self._end


def _confirmed(answer: bytes) -> StoredObject:
    try:
        return parse_stored_object(parse_json_object(answer))
    except MalformedResponse as error:
        raise errors.StorageUnavailable("Object storage did not confirm the object. Try again.") from error
