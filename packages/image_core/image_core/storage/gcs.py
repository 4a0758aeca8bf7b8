"""Object storage on Google Cloud Storage.

Objects are written once, under a unique name, with the precondition that it does not exist. A retry whose first attempt
did arrive therefore finds its own object, and recognises it by its checksum (googleapis/python-storage#1294).
"""

import builtins
import secrets
from urllib.parse import quote

import orjson

from image_core.storage import copies, sessions
from image_core.storage.connection import (
    FIELDS,
    GcsConnection,
    MalformedResponse,
    UnexpectedStatus,
    crc32c,
    crc32c_in_thread,
    crc32c_text,
    parse_json_object,
    parse_stored_object,
    query,
    split_into_pieces,
)
from image_core.storage.protocol import (
    Buffer,
    ListedObject,
    ObjectMissing,
    ObjectStorage,
    ObjectTooLarge,
    Sink,
    StoredObject,
)
from image_core.storage.writer import GcsWriter

_PAGE_FIELDS = f"items({FIELDS}),nextPageToken"
_CHECK_SECONDS = 2.0
_CANCEL_SECONDS = 3.0


class GcsClient(GcsConnection):
    """One authorised client for all buckets."""

    def bucket(self, name: str) -> "GcsStorage":
        """Return the storage of one bucket."""
        return GcsStorage(self, name)


class GcsStorage:
    """One bucket of Google Cloud Storage."""

    def __init__(self, client: GcsConnection, bucket: str) -> None:
        self._gcs, self.bucket = client, bucket
        self._objects_url = f"{client.base_url}/storage/v1/b/{quote(bucket, safe='')}/o"
        self._media_url = f"{client.base_url}/download/storage/v1/b/{quote(bucket, safe='')}/o"
        self._upload_url = f"{client.base_url}/upload/storage/v1/b/{quote(bucket, safe='')}/o"

    async def put(self, name: str, body: Buffer, content_type: str) -> StoredObject:
        checksum = crc32c_text(await crc32c_in_thread(body))
        boundary = secrets.token_hex(16)
        resource = {"name": name, "contentType": content_type, "crc32c": checksum}
        head = (
            f"--{boundary}\r\ncontent-type: application/json\r\n\r\n{orjson.dumps(resource).decode()}\r\n"
            f"--{boundary}\r\ncontent-type: {content_type}\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--".encode()
        url = f"{self._upload_url}?{query(uploadType='multipart', ifGenerationMatch=0, fields=FIELDS)}"
        headers = {
            "content-type": f"multipart/related; boundary={boundary}",
            "content-length": str(len(head) + len(body) + len(tail)),
        }

        async def attempt() -> StoredObject:
            try:
                _, _, answer = await self._gcs.read_whole(
                    "POST", url, headers=headers, pieces=split_into_pieces(head, body, tail)
                )
                return parse_stored_object(parse_json_object(answer))
            except UnexpectedStatus as error:
                if error.status != 412:
                    raise
                found = await self._stat(name)
                if found.crc32c != checksum:
                    raise
                return found

        return await self._gcs.store(attempt)

    def writer(self, name: str, content_type: str) -> GcsWriter:
        return GcsWriter(self._gcs, self._session_url(name), content_type, lambda: self._stat(name))

    def _session_url(self, name: str) -> str:
        return f"{self._upload_url}?{query(uploadType='resumable', name=name, ifGenerationMatch=0, fields=FIELDS)}"

    async def open_session(self, name: str, content_type: str, size_bytes: int, origin: str | None) -> str:
        headers = {"x-upload-content-type": content_type, "x-upload-content-length": str(size_bytes)}
        headers |= {"origin": origin} if origin else {}
        return await self._gcs.store(lambda: sessions.open_session(self._gcs, self._session_url(name), headers))

    async def received_bytes(self, address: str, size_bytes: int) -> int | None:
        return await self._gcs.run(lambda: sessions.received_bytes(self._gcs, address, size_bytes))

    async def cancel_session(self, address: str) -> None:
        await self._gcs.run_once(lambda: sessions.cancel(self._gcs, address), _CANCEL_SECONDS)

    async def _stat(self, name: str) -> StoredObject:
        _, _, answer = await self._gcs.read_whole("GET", f"{self._url(name)}?{query(fields=FIELDS)}")
        return parse_stored_object(parse_json_object(answer))

    def _url(self, name: str) -> str:
        return f"{self._objects_url}/{quote(name, safe='')}"

    async def stat(self, name: str) -> StoredObject | None:
        try:
            return await self._gcs.run(lambda: self._stat(name))
        except ObjectMissing:
            return None

    def _media(self, name: str, generation: int | None) -> str:
        return f"{self._media_url}/{quote(name, safe='')}?{query(alt='media', generation=generation)}"

    async def read(self, name: str, generation: int | None, start: int, end: int) -> bytes:
        url, headers = self._media(name, generation), {"range": f"bytes={start}-{end}"}

        async def attempt() -> bytes:
            _, _, data = await self._gcs.read_whole("GET", url, headers=headers, expected=(200, 206))
            if len(data) != end - start + 1:
                raise OSError(f"asked for {end - start + 1} bytes, got {len(data)}")
            return data

        return await self._gcs.run(attempt)

    async def download(self, name: str, generation: int | None, file: Sink, limit_bytes: int) -> str:
        download = _Download(self._media(name, generation), file, limit_bytes)
        return await self._gcs.run(lambda: download.resume(self._gcs))

    async def delete(self, name: str, generation: int | None = None) -> None:
        generations = [generation] if generation else [found.generation for found in await self._generations_of(name)]
        for number in generations:
            url = f"{self._url(name)}?{query(generation=number)}"
            try:
                await self._gcs.run(lambda url=url: self._gcs.read_whole("DELETE", url, expected=(200, 204)))  # type: ignore[misc]
            except ObjectMissing:
                continue

    async def _generations_of(self, name: str) -> list[StoredObject]:
        return [found for found in await self.list(name) if found.name == name]

    async def list(self, prefix: str) -> list[StoredObject]:
        return await self._list(prefix, versions="true")

    async def soft_deleted(self, name: str) -> "builtins.list[StoredObject]":
        return [found for found in await self._list(name, softDeleted="true") if found.name == name]

    async def _list(self, prefix: str, **kind: str) -> "builtins.list[StoredObject]":
        found, token = await self._page(prefix, None, kind)
        while token:
            more, token = await self._page(prefix, token, kind)
            found += more
        return found

    async def _page(
        self, prefix: str, token: str | None, kind: dict[str, str]
    ) -> "tuple[builtins.list[StoredObject], str | None]":
        parameters = query(prefix=prefix, **kind, pageToken=token, fields=_PAGE_FIELDS)
        return await self._gcs.run(lambda: _list_page(self._gcs, f"{self._objects_url}?{parameters}"))

    async def live_objects(self, prefix: str, after: str, limit: int) -> "builtins.list[ListedObject]":
        return await copies.live_objects(self._gcs, self._objects_url, prefix, after, limit)

    async def copy_from(
        self, source: ObjectStorage, source_name: str, source_generation: int, name: str, content_type: str
    ) -> StoredObject:
        url = copies.rewrite_url(self._gcs, (source.bucket, source_name), source_generation, (self.bucket, name))
        return await self._gcs.run(lambda: copies.rewrite(self._gcs, url, content_type, lambda: self._stat(name)))

    async def bring_back(self, name: str, generation: int) -> StoredObject:
        url = copies.bring_back_url(self._gcs, (self.bucket, name), generation)
        return await self._gcs.run(lambda: copies.rewrite(self._gcs, url, None, lambda: self._stat(name)))

    async def restore(self, name: str, generation: int) -> StoredObject:
        url = f"{self._url(name)}/restore?{query(generation=generation, ifGenerationMatch=0, fields=FIELDS)}"
        return await self._gcs.run(lambda: copies.restore(self._gcs, url, lambda: self._stat(name)))

    async def check(self) -> None:
        url = f"{self._objects_url}?{query(maxResults=1, fields=_PAGE_FIELDS)}"
        await self._gcs.run_once(lambda: self._gcs.read_whole("GET", url), _CHECK_SECONDS)


async def _list_page(gcs: GcsConnection, url: str) -> tuple[list[StoredObject], str | None]:
    """Return one page of objects and the token of the next."""
    _, _, answer = await gcs.read_whole("GET", url)
    page = parse_json_object(answer)
    return [parse_stored_object(item) for item in page.get("items", [])], page.get("nextPageToken")


class _Download:
    """A download of a whole object that a new attempt resumes where the last one ended."""

    def __init__(self, url: str, file: Sink, limit_bytes: int) -> None:
        self._url, self._file, self._limit_bytes = url, file, limit_bytes
        self._written = 0
        self._crc32c = 0

    async def resume(self, gcs: GcsConnection) -> str:
        """Download the remaining bytes; return the CRC-32C of all.

        Raises:
            ObjectTooLarge: The object is longer than allowed; the size in a message or a row is only a claim.
            BadAnswer: The bytes do not match the stored checksum.
        """
        headers = {"range": f"bytes={self._written}-"} if self._written else {}
        async with gcs.open("GET", self._url, headers=headers, expected=(206 if self._written else 200,)) as response:
            async for chunk in response.content.iter_any():
                if self._written + len(chunk) > self._limit_bytes:
                    raise ObjectTooLarge
                self._file.write(chunk)
                self._written += len(chunk)
                self._crc32c = crc32c(chunk, self._crc32c)
            checksum = crc32c_text(self._crc32c)
            if f"crc32c={checksum}" not in ",".join(response.headers.getall("x-goog-hash", [])):
                raise MalformedResponse("the bytes are not those of the object")
            return checksum
