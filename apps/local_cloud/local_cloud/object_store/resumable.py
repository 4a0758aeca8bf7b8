"""Resumable upload sessions: they survive requests and restarts, and leave nothing when they are cancelled.

Source: https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

import asyncio
import contextlib
import json
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

from local_cloud.object_store.api.http import Request
from local_cloud.object_store.api.ranges import ContentRange, content_range
from local_cloud.object_store.catalog import now
from local_cloud.object_store.content import QUANTUM_BYTES, ContentWriter
from local_cloud.object_store.errors import ClientGoneError, StoreError, invalid, no_such_session, session_gone
from local_cloud.object_store.records import Preconditions, StoredObject, UploadTarget
from local_cloud.object_store.store import ObjectStore


def _check_piece(sent: ContentRange | None, max_bytes: int | None) -> None:
    """Refuse a piece before its bytes are read, so that the session stays as it was.

    The service refuses a piece of less than 256 KiB that is not the last one (the message is in
    https://github.com/googleapis/google-cloud-node/issues/1044), and its documentation demands multiples for all but
    the last. What it does with larger pieces that are no multiple, and with more bytes than announced, is not known;
    whatever passes here passes there.

    Raises:
        StoreError: The piece is not the last one and no multiple of 256 KiB, or exceeds the announced size.
    """
    if sent is None or sent.first is None or sent.last is None:
        return
    end, size = sent.last + 1, sent.last + 1 - sent.first
    if max_bytes is not None and max(end, sent.total or 0) > max_bytes:
        raise invalid(f"The upload was announced with {max_bytes} bytes.")
    if end != sent.total and size % QUANTUM_BYTES:
        raise invalid(
            f"The number of bytes uploaded must be a multiple of {QUANTUM_BYTES}, except for the final request. "
            f"The received request contained {size} bytes."
        )


@dataclass
class _Progress:
    """In-memory state of an open session, in addition to its row."""

    writer: ContentWriter
    resumed: bool = False
    consumer: "asyncio.Task[int | StoredObject] | None" = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True)
class _Session:
    id: str
    target: UploadTarget
    file_name: str
    status: str
    generation: int | None


class ResumableUploads:
    """All sessions of one store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._open: dict[str, _Progress] = {}

    def start(self, target: UploadTarget) -> str:
        """Open a session and return its id, which suffices to use it."""
        self._store.catalog.bucket(target.bucket)
        session_id = uuid.uuid4().hex + uuid.uuid4().hex
        writer = self._store.new_writer(target)
        self._store.catalog.connection.execute(
            "INSERT INTO session VALUES (?, ?, ?, ?, ?, 'open', NULL, ?)",
            (session_id, target.bucket, target.name, json.dumps(asdict(target)), writer.file_name, now()),
        )
        self._open[session_id] = _Progress(writer, resumed=True)
        return session_id

    def origin(self, session_id: str) -> str | None:
        """Return the origin for which a session was opened; `None` if there is no origin or no such session."""
        try:
            return self._session(session_id).target.origin
        except StoreError:
            return None

    async def put(self, session_id: str, request: Request) -> int | StoredObject:
        """Receive bytes, or report the progress of the session.

        Returns:
            The object once it is complete; before that the number of bytes stored.

        Raises:
            StoreError: The session does not exist, a chunk does not fit, or a precondition does not hold.
        """
        session = self._session(session_id)
        if session.status == "done":
            return self._store.get(session.target.bucket, session.target.name, session.generation)
        progress = self._progress(session)
        # A client that returns has given up its previous request, which may hang on a dead connection.
        if progress.consumer is not None:
            progress.consumer.cancel()
        async with progress.lock:
            if self._session(session_id).status != "open":
                return await self.put(session_id, request)
            await self._resume(progress)
            progress.consumer = asyncio.create_task(self._consume(session, progress.writer, request))
            try:
                return await asyncio.shield(progress.consumer)
            except asyncio.CancelledError:
                progress.consumer.cancel()
                await asyncio.wait([progress.consumer])
                message = "Another request took this upload session over."
                raise StoreError(503, "backendError", "ServiceUnavailable", message) from None
            finally:
                progress.consumer = None

    async def cancel(self, session_id: str) -> None:
        """Remove the session and its bytes; its object is never created."""
        session = self._session(session_id)
        if session.status == "done":
            return
        progress = self._progress(session)
        if progress.consumer is not None:
            progress.consumer.cancel()
        async with progress.lock:
            # The session may have been completed while this request waited for the lock.
            if self._session(session_id).status == "open":
                await self._forget(session, progress.writer, "cancelled")

    async def _consume(self, session: _Session, writer: ContentWriter, request: Request) -> int | StoredObject:
        sent = content_range(request.headers.get("content-range"))
        _check_piece(sent, session.target.max_bytes)
        try:
            received = await self._take(writer, sent, request)
        except (ClientGoneError, asyncio.CancelledError):
            await writer.keep_quanta()
            raise
        except StoreError as error:
            if error.xml_code == "EntityTooLarge":
                await self._forget(session, writer, "cancelled")
            raise
        total = received if sent is None else sent.total
        if total is None or received < total:
            return await writer.keep_quanta()
        if received > total:
            raise invalid(f"The upload has {received} bytes already, more than the {total} announced.")
        return await self._complete(session, writer)

    async def _take(self, writer: ContentWriter, sent: ContentRange | None, request: Request) -> int:
        first = 0 if sent is None or sent.first is None else sent.first
        already = writer.size_bytes - first
        if already < 0:
            raise invalid(f"The chunk begins at byte {first}, but only {writer.size_bytes} are there.")
        expected = None if sent is None or sent.first is None or sent.last is None else sent.last - sent.first + 1
        if expected is not None and request.content_length not in {None, expected}:
            raise invalid("Content-Range and Content-Length disagree.")
        seen = 0
        async for chunk in request.body():
            if sent is not None and sent.is_query:
                raise invalid("A status query carries no bytes.")
            # Clients that did not receive the response send bytes again that are already stored.
            fresh = chunk[max(0, already - seen) :]
            seen += len(chunk)
            if expected is not None and seen > expected:
                raise invalid("The body is longer than its Content-Range.")
            if fresh:
                await writer.write(fresh)
        if expected is not None and seen < expected:
            raise ClientGoneError
        return writer.size_bytes

    async def _complete(self, session: _Session, writer: ContentWriter) -> StoredObject:
        content = await writer.finish()
        try:
            stored = self._store.commit(session.target, content, session.id)
        except StoreError:
            await self._forget(session, writer, "cancelled")
            raise
        self._open.pop(session.id, None)
        return stored

    async def _forget(self, session: _Session, writer: ContentWriter, status: str) -> None:
        self._store.catalog.connection.execute("UPDATE session SET status = ? WHERE id = ?", (status, session.id))
        self._open.pop(session.id, None)
        await writer.discard()

    def _session(self, session_id: str) -> _Session:
        row = self._store.catalog.connection.execute(
            "SELECT target, file_name, status, generation FROM session WHERE id = ?", (session_id,)
        ).fetchone()
        if row is None:
            raise no_such_session()
        if row[2] == "cancelled":
            raise session_gone()
        values: dict[str, Any] = json.loads(row[0])
        target = UploadTarget(**{**values, "preconditions": Preconditions(**values["preconditions"])})
        return _Session(session_id, target, row[1], row[2], row[3])

    def _progress(self, session: _Session) -> _Progress:
        progress = self._open.get(session.id)
        if progress is None:
            writer = ContentWriter(self._store.blobs, self._store.executor, session.file_name)
            writer.max_bytes = session.target.max_bytes
            progress = self._open[session.id] = _Progress(writer)
        return progress

    async def _resume(self, progress: _Progress) -> None:
        if not progress.resumed:
            with contextlib.suppress(FileNotFoundError):
                await progress.writer.resume()
            progress.resumed = True
