"""The resumable upload: a body in chunks, of which no more is held than the caller's own."""

import itertools
from types import TracebackType
from typing import Any, Self

import anyio

from image_core import errors
from image_core.gcs_connection import GcsConnection, crc32c, crc32c_text, described, request_options
from image_core.storage import ObjectMissing, StoredObject


class GcsWriter:
    """A resumable upload that holds no more of the body than the caller's own chunk.

    `BlobWriter` is not used because one that is dropped finalizes the truncated object when it is collected, and
    because it copies each chunk twice. Source of the protocol: Cloud Storage documentation, "Resumable uploads".
    """

    def __init__(self, client: GcsConnection, bucket: str, name: str, content_type: str) -> None:
        self._gcs, self._bucket, self._name, self._content_type = client, bucket, name, content_type
        self._session_url: str | None = None
        self._offset = 0
        self._crc32c = 0
        self._finished = False

    async def write(self, chunk: bytes | bytearray) -> None:
        await self._gcs.store(lambda: self._send(chunk, last=False))

    async def finish(self, chunk: bytes | bytearray) -> StoredObject:
        stored = await self._gcs.store(lambda: self._send(chunk, last=True))
        self._finished = True
        if stored is None:
            raise errors.StorageUnavailable("Object storage did not confirm the object. Try again.")
        return stored

    def _blob(self) -> Any:
        return self._gcs.connect().bucket(self._bucket).blob(self._name)

    def _send(self, chunk: bytes | bytearray, *, last: bool) -> StoredObject | None:
        from google.api_core.exceptions import PreconditionFailed

        options = request_options()
        if self._session_url is None:
            self._session_url = self._blob().create_resumable_upload_session(
                content_type=self._content_type, if_generation_match=0, checksum=None, **options
            )
        start, end = self._offset, self._offset + len(chunk)
        self._crc32c = crc32c(chunk, self._crc32c)
        tries = itertools.count()
        try:
            options["retry"](
                lambda: self._put_range(chunk, start, total=end if last else None, again=next(tries) > 0)
            )()
        except PreconditionFailed:
            # A retry of the last chunk may meet the object that its first try completed.
            if not last:
                raise
        self._offset = end
        return self._confirmed() if last else None

    def _put_range(self, chunk: bytes | bytearray, start: int, *, total: int | None, again: bool) -> None:
        """Sends `chunk`, whose first byte is the object's byte `start`; a second try only what is missing of it."""
        from google.api_core.exceptions import from_http_response

        have = self._received_bytes(total) if again else start
        end = start + len(chunk)
        if have is None or (have >= end and total is None):
            return
        span = f"{have}-{end - 1}" if have < end else "*"
        response = self._request(
            memoryview(chunk)[have - start :] if have < end else b"",
            f"bytes {span}/{'*' if total is None else total}",
        )
        if response.status_code not in (200, 201, 308):
            raise from_http_response(response)  # type: ignore[no-untyped-call]
        if response.status_code == 308 and (total is not None or _received(response) < end):
            raise ConnectionError("the chunk was not taken whole")

    def _received_bytes(self, total: int | None) -> int | None:
        """How many bytes of the object storage has; None when the object is complete."""
        from google.api_core.exceptions import from_http_response

        response = self._request(b"", f"bytes */{'*' if total is None else total}")
        if response.status_code in (200, 201):
            return None
        if response.status_code == 308:
            return _received(response)
        raise from_http_response(response)  # type: ignore[no-untyped-call]

    def _request(self, body: bytes | memoryview, content_range: str) -> Any:
        return self._gcs.connect()._http.put(  # noqa: SLF001 (the client's own authorised session)
            self._session_url,
            data=body,
            headers={"Content-Range": content_range, "Content-Type": self._content_type},
            timeout=request_options()["timeout"],
        )

    def _confirmed(self) -> StoredObject:
        """The object as it stands, if it is the one that was sent."""
        blob = self._blob()
        blob.reload(**request_options())
        stored = described(blob)
        if stored.size_bytes != self._offset or stored.crc32c != crc32c_text(self._crc32c):
            raise OSError("the stored object is not the one that was sent")
        return stored

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session_url is None or self._finished:
            return

        def cancel() -> None:
            self._gcs.connect()._http.delete(self._session_url, timeout=3)  # noqa: SLF001

        # The session would lapse by itself within a week; asking it to go is a courtesy that may fail.
        with anyio.move_on_after(3, shield=True):
            try:
                await self._gcs.run(cancel, abandon=True)
            except (errors.StorageUnavailable, ObjectMissing):
                return


def _received(response: Any) -> int:
    """The number of bytes in a 308's `Range: bytes=0-n` header, 0 without one."""
    header = response.headers.get("Range")
    return int(header.rpartition("-")[2]) + 1 if header else 0
