"""Calls of the Google client: in threads, with deadlines and retries, their failures translated.

The client blocks, so each call runs in a thread of a bounded pool; nobody outside the files `gcs…` sees a thread. No
thread ever waits for a client of ours: bodies are handed over, and read, in whole chunks.
"""

import base64
import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from image_core import errors
from image_core.storage import ObjectMissing, StoredObject

_REQUEST_TIMEOUT_SECONDS = (3.05, 8.0)  # to connect, and between two bytes
_RETRY_SECONDS = 12.0
_THREADS = 32
_CRC_PIECE_BYTES = 256 * 1024
_NO_BUCKET = "specified bucket does not exist"

T = TypeVar("T")


class GcsConnection:
    """One authorised client for all buckets, made at the first use because its import is slow."""

    def __init__(self, project: str | None, emulator_host: str | None, credentials_path: str | None) -> None:
        self._project, self._emulator_host, self._credentials_path = project, emulator_host, credentials_path
        self._lock = threading.Lock()
        self._limiter: anyio.CapacityLimiter | None = None
        self._client: Any = None

    def connect(self) -> Any:
        """The `google.cloud.storage.Client`; blocks, so call it in a thread."""
        with self._lock:
            if self._client is None:
                self._client = self._make_client()
            return self._client

    def _make_client(self) -> Any:
        import requests.adapters
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage  # type: ignore[attr-defined]
        from google.oauth2 import service_account

        options: dict[str, Any] = {"project": self._project}
        if self._emulator_host:
            options["credentials"] = AnonymousCredentials()  # type: ignore[no-untyped-call]
            options["client_options"] = {"api_endpoint": _with_scheme(self._emulator_host)}
        elif self._credentials_path:
            options["credentials"] = service_account.Credentials.from_service_account_file(  # type: ignore[no-untyped-call]
                self._credentials_path
            )
        client = storage.Client(**options)
        adapter = requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=_THREADS)
        for scheme in ("https://", "http://"):
            client._http.mount(scheme, adapter)  # noqa: SLF001 (the documented way to a larger pool)
        return client

    async def run(self, call: Callable[[], T], *, abandon: bool = False) -> T:
        """Runs a blocking call in a thread and translates its failures.

        `abandon` lets a cancelled caller go at once; only for calls that change nothing.
        """
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(_THREADS)
        return await anyio.to_thread.run_sync(
            functools.partial(_translated, call), limiter=self._limiter, abandon_on_cancel=abandon
        )

    async def store(self, call: Callable[[], T]) -> T:
        """Runs a blocking call that writes: here a bucket or a session that is not there is a fault of storage's."""
        try:
            return await self.run(call)
        except ObjectMissing as error:
            raise errors.StorageUnavailable("Object storage does not take the object. Try again.") from error


def request_options() -> dict[str, Any]:
    """How long a call may take and how it is retried: what `timeout=` and `retry=` of the Google client take."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    retry = DEFAULT_RETRY.with_timeout(_RETRY_SECONDS).with_delay(initial=0.2, maximum=2.0)
    return {"timeout": _REQUEST_TIMEOUT_SECONDS, "retry": retry}


def _with_scheme(host: str) -> str:
    return host if "://" in host else f"http://{host}"


def _translated(call: Callable[[], T]) -> T:
    import google.auth.exceptions
    import requests
    import urllib3.exceptions
    from google.api_core.exceptions import GoogleAPIError, NotFound
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

    try:
        return call()
    except NotFound as error:
        if _NO_BUCKET in str(error):
            # That says nothing about the object, which may be there when the bucket is.
            raise errors.StorageUnavailable("The bucket is not there. Try again.") from error
        raise ObjectMissing(str(error)) from error
    except (
        GoogleAPIError,
        InvalidResponse,
        DataCorruption,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        google.auth.exceptions.GoogleAuthError,
        OSError,
    ) as error:
        raise errors.StorageUnavailable("Object storage does not answer as it should. Try again.") from error


def described(blob: Any) -> StoredObject:
    """What the client knows of a blob."""
    return StoredObject(blob.name, int(blob.generation), int(blob.size), blob.content_type, blob.crc32c)


def crc32c(body: bytes | bytearray, so_far: int = 0) -> int:
    """The CRC-32C of `body` after bytes whose CRC is `so_far`."""
    import google_crc32c

    # The extension takes nothing that may change under it, so it is given small copies of what may.
    view = memoryview(body)
    for offset in range(0, len(view), _CRC_PIECE_BYTES):
        so_far = google_crc32c.extend(so_far, bytes(view[offset : offset + _CRC_PIECE_BYTES]))
    return so_far


def crc32c_text(value: int) -> str:
    """A CRC-32C as storage writes it: big-endian, in base64."""
    return base64.b64encode(value.to_bytes(4, "big")).decode()
