"""Upload sessions of Cloud Storage, which a writer uses itself, or the API opens for a client.

Whoever knows the address of a session may send its bytes, without other credentials.
Source: https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

from collections.abc import Mapping

from image_core.storage.connection import GcsConnection, MalformedResponse

COMPLETE_STATUSES = (200, 201)
INCOMPLETE_STATUS = 308
_CANCELLED_STATUSES = (204, 499)
_GONE_STATUSES = (404, 410)


async def open_session(gcs: GcsConnection, url: str, headers: Mapping[str, str]) -> str:
    """Open a session and return its address.

    Raises:
        UnexpectedStatus: Storage refuses.
        MalformedResponse: Storage names no address.
    """
    _, answered, _ = await gcs.read_whole("POST", url, headers={**headers, "content-length": "0"})
    if "location" not in answered:
        raise MalformedResponse("no session is named")
    return answered["location"]


async def received_bytes(gcs: GcsConnection, address: str, size_bytes: int) -> int | None:
    """Return how many bytes of an upload with a known size have arrived; None if the session has ended without it."""
    headers = {"content-range": f"bytes */{size_bytes}", "content-length": "0"}
    expected = (*COMPLETE_STATUSES, INCOMPLETE_STATUS, *_GONE_STATUSES, *_CANCELLED_STATUSES)
    status, answered, _ = await gcs.read_whole("PUT", address, headers=headers, expected=expected)
    if status in COMPLETE_STATUSES:
        return size_bytes
    return parse_received(answered) if status == INCOMPLETE_STATUS else None


async def cancel(gcs: GcsConnection, address: str) -> None:
    """Cancel a session, so that nothing more arrives. One that has ended is left as it is."""
    # Storage answers 200 when the object is complete.
    expected = (*COMPLETE_STATUSES, *_CANCELLED_STATUSES, *_GONE_STATUSES)
    await gcs.read_whole("DELETE", address, expected=expected)


def parse_received(headers: Mapping[str, str]) -> int:
    """Return the number of bytes in a 308's `Range: bytes=0-n` header, 0 without one."""
    header = headers.get("Range")
    return int(header.rpartition("-")[2]) + 1 if header else 0
