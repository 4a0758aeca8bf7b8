"""The body of a `multipart/related` upload: a JSON document, then the bytes, which are streamed.

Source: RFC 2387 and https://cloud.google.com/storage/docs/uploading-objects#uploading-an-object
"""

import re
from collections.abc import AsyncIterator
from typing import Any

from local_cloud.object_store.api.http import MAX_DOCUMENT_BYTES, parse_document
from local_cloud.object_store.errors import invalid

_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^;\s]+))', re.IGNORECASE)
_CONTENT_TYPE = re.compile(rb"^content-type:\s*(.+?)\s*$", re.IGNORECASE | re.MULTILINE)


class RelatedBody:
    """Reads the document first; the media can then be iterated once."""

    def __init__(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        match = _BOUNDARY.search(content_type)
        if match is None:
            raise invalid("A multipart upload needs a boundary in its Content-Type.")
        self._delimiter = b"--" + (match[1] or match[2]).encode("latin-1")
        self._body = body
        self._buffer = b""
        self.media_type: str | None = None

    async def read_document(self) -> dict[str, Any]:
        """Return the JSON document of the first part, and stop at the beginning of the media."""
        await self._until(self._delimiter)
        await self._until(b"\r\n\r\n")
        document = await self._until(b"\r\n" + self._delimiter)
        headers = await self._until(b"\r\n\r\n")
        match = _CONTENT_TYPE.search(headers)
        self.media_type = match[1].decode("latin-1") if match else None
        return parse_document(document)

    async def media(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the second part.

        Raises:
            StoreError: The body ends before the part does.
        """
        end = b"\r\n" + self._delimiter
        keep = len(end) - 1
        buffer = self._buffer
        while True:
            found = buffer.find(end)
            if found >= 0:
                yield buffer[:found]
                break
            if len(buffer) > keep:
                yield buffer[:-keep]
                buffer = buffer[-keep:]
            chunk = await anext(self._body, None)
            if chunk is None:
                raise invalid("The multipart body has no closing boundary.")
            buffer += chunk
        # The rest of the body is read, so that the connection can be reused.
        async for _ in self._body:
            pass

    async def _until(self, mark: bytes) -> bytes:
        while (found := self._buffer.find(mark)) < 0:
            chunk = await anext(self._body, None)
            if chunk is None or len(self._buffer) > MAX_DOCUMENT_BYTES:
                raise invalid("The multipart body is broken.")
            self._buffer += chunk
        head, self._buffer = self._buffer[:found], self._buffer[found + len(mark) :]
        return head
