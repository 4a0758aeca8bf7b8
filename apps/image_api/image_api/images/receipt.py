"""Receiving the bytes of a file: sniffed, bounded and hashed on their way into a bucket."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio.to_thread

from image_api.services import Services
from image_api.settings import ApiSettings
from image_core import errors, picture_header
from image_core.picture_header import PREFIX_BYTES, PictureHeader
from image_core.storage import ONE_REQUEST_BYTES, ObjectStorage, StoredObject

RECEIPT_MARGIN_SECONDS = 10
"""How long before its row's deadline the receipt of a body ends."""
_HASH_IN_THREAD_BYTES = 512 * 1024


@dataclass(frozen=True)
class Received:
    """A file that is stored whole."""

    stored: StoredObject
    sha256: bytes


@asynccontextmanager
async def in_time(services: Services) -> AsyncIterator[None]:
    """Bounds the receipt of one body. Raises `errors.UploadTooSlow`, `errors.ShuttingDown`."""
    seconds = services.settings.upload_deadline_seconds - RECEIPT_MARGIN_SECONDS
    try:
        async with services.shutdown.deadline(seconds):
            yield
    except TimeoutError as error:
        if services.shutdown.stopping:
            raise errors.ShuttingDown("This instance is stopping; send the upload again.") from error
        raise errors.UploadTooSlow(f"The body did not arrive within {seconds} s.") from error


async def read(services: Services, chunks: AsyncIterator[bytes]) -> bytes:
    """The SHA-256 of a file that is read and not stored.

    Raises `errors.UploadTooLarge`, `errors.UploadTooSlow`, `errors.ShuttingDown`.
    """
    digest, total = hashlib.sha256(), 0
    async with in_time(services):
        async for chunk in chunks:
            total += len(chunk)
            _check_size(total, services.settings.upload_max_bytes)
            digest.update(chunk)
    return digest.digest()


async def first_bytes(chunks: AsyncIterator[bytes]) -> bytearray:
    """Enough of the file to see what it is. Raises `errors.UploadEmpty`."""
    prefix = bytearray()
    async for chunk in chunks:
        prefix += chunk
        if len(prefix) >= PREFIX_BYTES:
            break
    if not prefix:
        raise errors.UploadEmpty("Send the bytes of an image.")
    return prefix


def check_header(prefix: bytes | bytearray, settings: ApiSettings) -> PictureHeader:
    """What the first bytes are.

    Raises `errors.NotAnImage`, `errors.FormatNotAllowed`, `errors.VariantNotSupported`, `errors.DimensionsInvalid`,
    `errors.TooManyPixels`.
    """
    formats, max_pixels = settings.image_formats, settings.image_max_pixels
    first = bytes(prefix[:PREFIX_BYTES])
    header = picture_header.detect(first)
    if header is None:
        kind = picture_header.describe_unknown(first)
        what = f"These bytes are {kind}" if kind else "These bytes are of no kind that is known here"
        raise errors.NotAnImage(f"{what}; send one of {', '.join(formats)}.", allowed_formats=formats)
    if header.format not in formats:
        raise errors.FormatNotAllowed(
            f"{header.format} is switched off here; send one of {', '.join(formats)}.", allowed_formats=formats
        )
    if header.unsupported is not None:
        raise errors.VariantNotSupported(
            f"Not supported here: {header.unsupported}. Save the image in another way and send it again."
        )
    width, height = header.width_px, header.height_px
    if width is not None and height is not None:
        if width < 1 or height < 1:
            raise errors.DimensionsInvalid(f"The header says {width} × {height} pixels.", width=width, height=height)
        if width * height > max_pixels:
            raise errors.TooManyPixels(
                f"{width} × {height} is more than {max_pixels} pixels.",
                width=width,
                height=height,
                max_pixels=max_pixels,
            )
    return header


async def store(
    storage: ObjectStorage,
    name: str,
    content_type: str,
    limit: int,
    body: bytearray,
    chunks: AsyncIterator[bytes],
    check: Callable[[bytes], Awaitable[None]],
) -> Received:
    """Streams a file to storage, holding at most one chunk of it.

    `check` gets the hash of a file that is here whole before it is stored, and keeps it out by raising.
    Raises `errors.UploadTooLarge`, `errors.StorageUnavailable`.
    """
    digest, total = hashlib.sha256(), len(body)
    writer = storage.writer(name, content_type)
    async with writer:
        async for chunk in chunks:
            total += len(chunk)
            _check_size(total, limit)
            body += chunk
            while len(body) > ONE_REQUEST_BYTES:
                full, body = body, body[ONE_REQUEST_BYTES:]
                del full[ONE_REQUEST_BYTES:]
                await update(digest, full)
                await writer.write(full)
                # The next chunk is gathered before this name is bound again.
                del full
        _check_size(total, limit)
        await update(digest, body)
        if total > ONE_REQUEST_BYTES:
            return Received(await writer.finish(body), digest.digest())
    # The whole body is here: what is known already is not stored a second time.
    await check(digest.digest())
    return Received(await storage.put(name, body, content_type), digest.digest())


def _check_size(total: int, limit: int) -> None:
    if total > limit:
        raise errors.UploadTooLarge(f"A file may have {limit} bytes.", limit_bytes=limit)


async def update(digest: "hashlib._Hash", data: bytearray) -> None:
    """Adds to a hash, off the event loop where that takes long."""
    if len(data) > _HASH_IN_THREAD_BYTES:
        await anyio.to_thread.run_sync(digest.update, data)
    else:
        digest.update(data)
