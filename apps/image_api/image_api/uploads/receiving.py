"""Receiving the bytes of a file: detected, limited and hashed on their way into a bucket."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import anyio.to_thread

from image_api.server.shutdown import Shutdown
from image_api.uploads.body_buffer import BodyBuffer, check_size
from image_api.uploads.fields import UploadSource
from image_core import errors
from image_core.images import picture_header
from image_core.images.picture_header import PREFIX_BYTES, PictureHeader
from image_core.settings import ServiceSettings, UploadLimitSettings
from image_core.storage.protocol import Buffer, ObjectStorage, StoredObject

RECEIPT_MARGIN_SECONDS = 10
"""How long before the row's deadline the receipt of a body ends."""
_HASH_IN_THREAD_BYTES = 512 * 1024


class ReceivingParts(Protocol):
    """What receiving needs of the API's services."""

    @property
    def shutdown(self) -> Shutdown: ...

    @property
    def settings(self) -> UploadLimitSettings: ...


@dataclass(frozen=True)
class Received:
    """A file that is stored completely."""

    stored: StoredObject
    sha256: bytes


@asynccontextmanager
async def receive_timeout(services: ReceivingParts) -> AsyncIterator[None]:
    """Limit the time for receiving one body.

    Raises:
        errors.UploadTooSlow: The body took too long to arrive.
        errors.ShuttingDown: This instance is shutting down.
    """
    seconds = services.settings.upload_deadline_seconds - RECEIPT_MARGIN_SECONDS
    try:
        async with services.shutdown.deadline(seconds):
            yield
    except TimeoutError as error:
        if services.shutdown.stopping:
            raise errors.ShuttingDown("This instance is shutting down. Send the upload again.") from error
        raise errors.UploadTooSlow(f"Upload too slow: the limit is {seconds} s. Send the file again.") from error


async def read(services: ReceivingParts, chunks: AsyncIterator[bytes]) -> bytes:
    """Read a file without storing it; return its SHA-256.

    Raises:
        errors.UploadTooLarge: The file is larger than allowed.
        errors.UploadTooSlow: The body took too long to arrive.
        errors.ShuttingDown: This instance is shutting down.
    """
    digest, total = hashlib.sha256(), 0
    async with receive_timeout(services):
        async for chunk in chunks:
            total += len(chunk)
            check_size(total, services.settings.upload_max_bytes)
            digest.update(chunk)
    return digest.digest()


async def open_body(source: UploadSource, limit_bytes: int) -> BodyBuffer:
    """Read enough of a file to detect its format.

    Raises:
        errors.UploadEmpty: The body is empty.
        errors.UploadTooLarge: The body is larger than allowed; later calls of the buffer raise this, too.
    """
    body = BodyBuffer(source.chunks(), source.declared_bytes, limit_bytes)
    await body.fill(PREFIX_BYTES)
    if not body.total_bytes:
        raise errors.UploadEmpty("The file is empty. Send the bytes of an image.")
    return body


async def read_whole(body: BodyBuffer) -> bytes | None:
    """Read the rest and return the SHA-256 of a body that fits the buffer; None for a longer one."""
    await body.fill()
    if not body.is_whole:
        return None
    digest = hashlib.sha256()
    await _update(digest, body.held)
    return digest.digest()


def check_header(prefix: Buffer, settings: ServiceSettings) -> PictureHeader:
    """Return the header found in the first bytes.

    Raises:
        errors.NotAnImage: The bytes are not an image.
        errors.FormatNotAllowed: Images in this format are not allowed.
        errors.VariantNotSupported: The image is intact but uses an unsupported feature.
        errors.DimensionsInvalid: The image's dimensions are not valid.
        errors.TooManyPixels: The image has more pixels than allowed.
    """
    formats, max_pixels = settings.image_formats, settings.image_max_pixels
    first = bytes(prefix[:PREFIX_BYTES])
    header = picture_header.detect(first)
    if header is None:
        kind = picture_header.describe_unknown(first)
        what = f"The file is {kind}" if kind else "The file has no known image format"
        raise errors.NotAnImage(f"{what}. Send one of: {', '.join(formats)}.", allowed_formats=formats)
    if header.format not in formats:
        raise errors.FormatNotAllowed(
            f"Format not allowed: {header.format}. Send one of: {', '.join(formats)}.", allowed_formats=formats
        )
    if header.unsupported is not None:
        raise errors.VariantNotSupported(
            f"Not supported: {header.unsupported}. Save the image in another way and send it again."
        )
    if header.max_pixels is not None:
        max_pixels = min(max_pixels, header.max_pixels)
    width, height = header.width_px, header.height_px
    if width is not None and height is not None:
        if width < 1 or height < 1:
            raise errors.DimensionsInvalid(
                f"Dimensions not valid: {width} × {height} pixels. Both sides must be at least 1.",
                width=width,
                height=height,
            )
        if width * height > max_pixels:
            raise errors.TooManyPixels(
                f"Too many pixels: {width} × {height}; the limit is {max_pixels / 1e6:g} million. Scale it down.",
                width=width,
                height=height,
                max_pixels=max_pixels,
            )
    return header


async def store(
    storage: ObjectStorage, name: str, content_type: str, body: BodyBuffer, sha256: bytes | None
) -> Received:
    """Store a file: in one request if it is held whole and its hash is known, else in chunks as they arrive.

    Raises:
        errors.StorageUnavailable: Object storage does not respond.
    """
    if sha256 is not None:
        return Received(await storage.put(name, body.held, content_type), sha256)
    digest = hashlib.sha256()
    async with storage.writer(name, content_type) as writer:
        while not body.ended:
            await _update(digest, body.held)
            await writer.write(body.held)
            body.clear()
            await body.fill()
        await _update(digest, body.held)
        return Received(await writer.finish(body.held), digest.digest())


async def _update(digest: "hashlib._Hash", data: memoryview) -> None:
    """Update a hash, in a thread if the data is large."""
    if len(data) > _HASH_IN_THREAD_BYTES:
        await anyio.to_thread.run_sync(digest.update, data)
    else:
        digest.update(data)
