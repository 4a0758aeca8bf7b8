"""Object storage on Google Cloud Storage.

Objects are written under a name that is used once, with the precondition that it does not exist. A retry whose
first try did arrive therefore meets its own object, and recognises it by its checksum
(googleapis/python-storage#1294).
"""

import io
from typing import Any

from image_core.gcs_connection import GcsConnection, crc32c, crc32c_text, described, request_options
from image_core.gcs_writer import GcsWriter
from image_core.storage import ObjectMissing, ObjectTooLarge, Sink, StoredObject


class GcsClient(GcsConnection):
    """One authorised client for all buckets."""

    def bucket(self, name: str) -> "GcsStorage":
        """The storage of one bucket."""
        return GcsStorage(self, name)


class GcsStorage:
    """One bucket of Google Cloud Storage."""

    def __init__(self, client: GcsConnection, bucket: str) -> None:
        self._gcs, self.bucket = client, bucket

    def _blob(self, name: str, generation: int | None = None) -> Any:
        return self._gcs.connect().bucket(self.bucket).blob(name, generation=generation)

    async def put(self, name: str, body: bytes | bytearray, content_type: str) -> StoredObject:
        def call() -> StoredObject:
            from google.api_core.exceptions import PreconditionFailed

            blob = self._blob(name)
            try:
                blob.upload_from_file(
                    io.BytesIO(body),
                    size=len(body),
                    content_type=content_type,
                    if_generation_match=0,
                    checksum="crc32c",
                    **request_options(),
                )
            except PreconditionFailed:
                blob.reload(**request_options())
                if blob.crc32c != crc32c_text(crc32c(body)):
                    raise
            return described(blob)

        return await self._gcs.store(call)

    def writer(self, name: str, content_type: str) -> GcsWriter:
        return GcsWriter(self._gcs, self.bucket, name, content_type)

    async def stat(self, name: str) -> StoredObject | None:
        def call() -> StoredObject:
            blob = self._blob(name)
            blob.reload(**request_options())
            return described(blob)

        try:
            return await self._gcs.run(call, abandon=True)
        except ObjectMissing:
            return None

    async def read(self, name: str, generation: int | None, start: int, end: int) -> bytes:
        def call() -> bytes:
            data: bytes = self._blob(name, generation).download_as_bytes(
                start=start, end=end, raw_download=True, checksum=None, **request_options()
            )
            if len(data) != end - start + 1:
                raise OSError(f"asked for {end - start + 1} bytes, got {len(data)}")
            return data

        return await self._gcs.run(call, abandon=True)

    async def download(self, name: str, generation: int, file: Sink, limit_bytes: int) -> None:
        def call() -> None:
            # A transcoded download would be of another length than the object; raw is what is stored.
            self._blob(name, generation).download_to_file(
                _LimitedFile(file, limit_bytes), raw_download=True, checksum="crc32c", **request_options()
            )

        await self._gcs.run(call)

    async def delete(self, name: str, generation: int | None = None) -> None:
        generations = [generation] if generation else [found.generation for found in await self._exactly(name)]
        for each in generations:
            try:
                await self._gcs.run(lambda each=each: self._blob(name, each).delete(**request_options()))  # type: ignore[misc]
            except ObjectMissing:
                continue

    async def _exactly(self, name: str) -> list[StoredObject]:
        return [found for found in await self.list(name) if found.name == name]

    async def list(self, prefix: str) -> list[StoredObject]:
        def call() -> list[StoredObject]:
            blobs = self._gcs.connect().list_blobs(self.bucket, prefix=prefix, versions=True, **request_options())
            return [described(blob) for blob in blobs]

        return await self._gcs.run(call, abandon=True)

    async def check(self) -> None:
        def call() -> None:
            next(iter(self._gcs.connect().list_blobs(self.bucket, max_results=1, timeout=2, retry=None)), None)

        await self._gcs.run(call, abandon=True)


class _LimitedFile:
    """Passes writes on until more bytes came than were allowed. The size in a message or a row is only a claim."""

    def __init__(self, file: Sink, limit_bytes: int) -> None:
        self._file, self._left = file, limit_bytes

    def write(self, data: bytes) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise ObjectTooLarge
        return self._file.write(data)
