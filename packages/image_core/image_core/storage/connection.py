"""Requests to Cloud Storage's JSON API: authorization, deadlines, retries, and translation of failures.

Source: https://cloud.google.com/storage/docs/json_api/v1; for retries,
https://cloud.google.com/storage/docs/retry-strategy
"""

import asyncio
import base64
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

import anyio.to_thread
import orjson

from image_core import errors
from image_core.storage.protocol import Buffer, ObjectMissing, StoredObject
from image_core.storage.token import CredentialsUnavailable, GcsToken

if TYPE_CHECKING:
    import aiohttp

_CONNECT_SECONDS = 3.05
_STALL_SECONDS = 8.0  # between two pieces, in either direction
_RESPONSE_SECONDS = 20.0  # for a response that is read whole
_RETRY_SECONDS = 12.0
_FIRST_DELAY_SECONDS, _MAX_DELAY_SECONDS = 0.2, 2.0
_TRANSIENT_STATUSES = frozenset({401, 408, 429, 500, 502, 503, 504})
_CONNECTIONS = 64
_ERROR_BODY_BYTES = 4096
_NO_BUCKET = b"specified bucket does not exist"
_PIECE_BYTES = 256 * 1024
_HASH_IN_THREAD_BYTES = 1024 * 1024
FIELDS = "name,generation,size,contentType,crc32c"
"""The fields requested of an object."""

T = TypeVar("T")


class UnexpectedStatus(Exception):
    """Storage answered with an unexpected status."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"status {status}")
        self.status, self.body = status, body


class MalformedResponse(Exception):
    """Storage answered with a malformed response."""


class GcsConnection:
    """One authorised HTTP client for all buckets, created at first use because its import is slow."""

    def __init__(self, emulator_host: str | None, credentials_path: str | None) -> None:
        self.base_url = _with_scheme(emulator_host) if emulator_host else "https://storage.googleapis.com"
        self._token = None if emulator_host else GcsToken(credentials_path)
        self._session: aiohttp.ClientSession | None = None

    def warm(self) -> None:
        """Load what the first request needs; blocks, so call it in a thread."""
        import aiohttp  # noqa: F401

        if self._token is not None:
            self._token.warm()

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Run an attempt, retry transient failures, and translate errors.

        Raises:
            ObjectMissing: Storage answers 404.
            errors.StorageUnavailable: Any other failure.
        """
        give_up_at, delay = time.monotonic() + _RETRY_SECONDS, _FIRST_DELAY_SECONDS
        while True:
            try:
                return await attempt()
            except _transient_errors() as error:
                pause = random.uniform(0, delay)  # noqa: S311 (jitter is no secret)
                if not _is_transient(error) or time.monotonic() + pause > give_up_at:
                    raise _translate_error(error) from error
            await asyncio.sleep(pause)
            delay = min(2 * delay, _MAX_DELAY_SECONDS)

    async def run_once(self, attempt: Callable[[], Awaitable[T]], seconds: float) -> T:
        """Run a single attempt within a deadline.

        Raises:
            ObjectMissing: Storage answers 404.
            errors.StorageUnavailable: Any other failure.
        """
        try:
            async with asyncio.timeout(seconds):
                return await attempt()
        except _transient_errors() as error:
            raise _translate_error(error) from error

    async def store(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Run an attempt that writes: a missing bucket or session is a fault of storage, not of the caller.

        Raises:
            errors.StorageUnavailable: The object was not stored.
        """
        try:
            return await self.run(attempt)
        except ObjectMissing as error:
            raise errors.StorageUnavailable("Object storage rejected the object. Try again.") from error

    @asynccontextmanager
    async def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        pieces: Callable[[], AsyncIterator[bytes | memoryview]] | None = None,
        expected: tuple[int, ...] = (200,),
    ) -> "AsyncIterator[aiohttp.ClientResponse]":
        """Send one request, its body in pieces, and yield the response before its body is read.

        Raises:
            Refused: The status is not one of those expected.
        """
        session = self._session or self._make_session()
        sent_headers = {**(headers or {}), **await self._authorization()}
        async with asyncio.timeout(_CONNECT_SECONDS + _STALL_SECONDS) as stalled:
            body = None if pieces is None else _sending(stalled, pieces())
            response = await session.request(
                method, _with_encoded_path(url), headers=sent_headers, data=body, allow_redirects=False
            )
        async with response:
            if response.status not in expected:
                if response.status == 401 and self._token is not None:
                    self._token.forget()
                raise UnexpectedStatus(response.status, await response.content.read(_ERROR_BODY_BYTES))
            yield response

    async def read_whole(self, method: str, url: str, **options: Any) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request and return status, headers and body of the response; takes the arguments of `open`.

        Raises:
            Refused: The status is not one of those expected.
        """
        # An upload may take longer, as long as it makes progress.
        seconds = None if "pieces" in options else _RESPONSE_SECONDS
        async with asyncio.timeout(seconds), self.open(method, url, **options) as response:
            return response.status, response.headers, await response.read()

    async def _authorization(self) -> dict[str, str]:
        return {} if self._token is None else {"authorization": f"Bearer {await self._token.get()}"}

    def _make_session(self) -> "aiohttp.ClientSession":
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS, ttl_dns_cache=300),
            # A transcoded response would differ in length from the object; the raw response is what is stored.
            headers={"accept-encoding": "gzip", "user-agent": "image-manager"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_STALL_SECONDS),
            read_bufsize=_PIECE_BYTES,
        )
        return self._session


def _with_encoded_path(url: str) -> Any:
    from yarl import URL

    return URL(url, encoded=True)


def _transient_errors() -> tuple[type[Exception], ...]:
    import aiohttp

    # A name that cannot be resolved, a timeout and unavailable credentials are all kinds of OSError.
    return (UnexpectedStatus, MalformedResponse, aiohttp.ClientError, OSError)


def _is_transient(error: Exception) -> bool:
    if isinstance(error, UnexpectedStatus):
        return error.status in _TRANSIENT_STATUSES
    # Credentials have had their own retries.
    return not isinstance(error, MalformedResponse | CredentialsUnavailable)


def _translate_error(error: Exception) -> Exception:
    # A missing bucket says nothing about the object, which may exist once the bucket does.
    if isinstance(error, UnexpectedStatus) and error.status == 404 and _NO_BUCKET not in error.body:
        return ObjectMissing(str(error))
    return errors.StorageUnavailable("Object storage sent an unexpected response. Try again.")


def _with_scheme(host: str) -> str:
    return host if "://" in host else f"http://{host}"


async def _sending(
    stalled: asyncio.Timeout, pieces: AsyncIterator[bytes | memoryview]
) -> AsyncIterator[bytes | memoryview]:
    """Extend the deadline with each piece that is sent, because the client has no timeout for sending."""
    async for piece in pieces:
        # A response that arrives before the body has been sent ends the deadline early.
        if (when := stalled.when()) is not None and not stalled.expired():
            stalled.reschedule(max(when, asyncio.get_running_loop().time() + _STALL_SECONDS))
        yield piece


def split_into_pieces(*parts: Buffer) -> Callable[[], AsyncIterator[bytes | memoryview]]:
    """Split the parts of a body into pieces small enough to be sent without copying the whole."""

    async def pieces() -> AsyncIterator[bytes | memoryview]:
        for part in parts:
            with memoryview(part) as view:
                for offset in range(0, len(view), _PIECE_BYTES):
                    yield view[offset : offset + _PIECE_BYTES]

    return pieces


def query(**parameters: object) -> str:
    """Build a query string of the parameters that are not None."""
    return urlencode({name: value for name, value in parameters.items() if value is not None}, quote_via=quote)


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object that storage sent.

    Raises:
        BadAnswer: The body is not a JSON object.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedResponse("no JSON") from error
    if not isinstance(document, dict):
        raise MalformedResponse("no JSON object")
    return document


def parse_stored_object(found: Mapping[str, Any]) -> StoredObject:
    """Return the object that a resource describes.

    Raises:
        BadAnswer: The resource is incomplete or malformed.
    """
    try:
        return StoredObject(
            found["name"], int(found["generation"]), int(found["size"]), found.get("contentType"), found.get("crc32c")
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedResponse("no object is described") from error


async def crc32c_in_thread(body: Buffer, so_far: int = 0) -> int:
    """Return the CRC-32C of `body` appended to bytes with CRC `so_far`; large bodies are hashed in a thread."""
    if len(body) > _HASH_IN_THREAD_BYTES:
        return await anyio.to_thread.run_sync(crc32c, body, so_far)
    return crc32c(body, so_far)


def crc32c(body: Buffer, so_far: int = 0) -> int:
    """Return the CRC-32C of `body` appended to bytes with CRC `so_far`."""
    import google_crc32c

    # The extension rejects mutable buffers, so they are passed as small copies.
    view = memoryview(body)
    for offset in range(0, len(view), _PIECE_BYTES):
        so_far = google_crc32c.extend(so_far, bytes(view[offset : offset + _PIECE_BYTES]))
    return so_far


def crc32c_text(value: int) -> str:
    """Return a CRC-32C as storage writes it: big-endian, in base64."""
    return base64.b64encode(value.to_bytes(4, "big")).decode()
