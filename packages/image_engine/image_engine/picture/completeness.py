"""Check that all pixels of a file are present, before any codec reads it.

Codecs are lenient: of a truncated animation they return the complete frames. And they are strict where it does not
matter: a file with all its pixels is complete, whether its end mark is missing or something follows it. For TIFF, the
codec looks up every strip by its offset.
"""

import os
import struct
import zlib
from collections.abc import Callable
from mmap import ACCESS_READ, mmap

from image_core.images.heif_items import boxes, read_items
from image_core.images.picture_header import PictureFormat
from image_engine.contract.rejections import PictureRejected
from image_engine.picture.gif_blocks import gif_has_pixels
from image_engine.picture.jpeg_scans import has_end_mark, has_every_scan
from image_engine.picture.mended_file import jpeg_ignores_appended_bytes

_HEIF_BOXES = {b"ftyp", b"meta", b"moov", b"mdat", b"idat"}
_WEBP_STILL, _WEBP_FRAME, _WEBP_TEXTS = {b"VP8 ", b"VP8L"}, b"ANMF", {b"EXIF", b"XMP "}
# The headers of a frame and of the picture in it, of 8, 16 and 8 bytes.
_SHORTEST_WEBP_FRAME_BYTES = 32
_PART_BYTES = 1024 * 1024


def check_complete(descriptor: int, picture_format: PictureFormat) -> bool:
    """Refuse a file that lacks pixels; return whether the file may have to be mended before a codec sees it.

    Raises:
        PictureRejected: With `image-truncated`.
    """
    has_pixels = _CHECKS.get(picture_format)
    if has_pixels is None or os.fstat(descriptor).st_size == 0:
        return True
    with mmap(descriptor, 0, access=ACCESS_READ) as content:
        if picture_format == "jpeg" and has_end_mark(content):
            return False
        try:
            complete = has_pixels(content)
        except (struct.error, IndexError):
            complete = False
    if not complete or (picture_format == "jpeg" and not jpeg_ignores_appended_bytes(descriptor)):
        raise PictureRejected("image-truncated")
    return True


def _png_has_pixels(content: mmap) -> bool:
    """Source: PNG (Third Edition), 5.3: length, type, data and check of each chunk; 10.1: one zlib stream of all.

    In an animation each frame has its own stream (11.3.6).
    """
    position, streams, announced = 8, [list[tuple[int, int]]()], 0
    while position + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        start, end = position + 8, position + 12 + int(length)
        if kind == b"IEND":
            return True
        if end > len(content):
            break
        if kind == b"acTL":
            (announced,) = struct.unpack_from(">I", content, start)
        elif kind == b"fcTL" and streams[-1]:
            streams.append([])
        elif kind in {b"IDAT", b"fdAT"}:
            # A sequence number precedes a frame's data.
            streams[-1].append((start + (4 if kind == b"fdAT" else 0), end - 4))
        position = end
    # The file ends after its pixels only if their last stream is complete.
    return len(streams) >= announced and _stream_ends(content, streams[-1])


def _stream_ends(content: mmap, parts: list[tuple[int, int]]) -> bool:
    stream = zlib.decompressobj()
    try:
        for start, end in parts:
            rest = content[start:end]
            while rest and not stream.eof:
                stream.decompress(rest, _PART_BYTES)
                rest = stream.unconsumed_tail
    except zlib.error:
        # Damaged, which the decoder reports, but not truncated.
        return True
    return stream.eof


def _webp_has_pixels(content: mmap) -> bool:
    """Source: RFC 9649, 2.4: the RIFF header counts all bytes after its first eight; 2.7: chunks and their order."""
    announced: int = struct.unpack_from("<I", content, 4)[0] + 8
    if announced <= len(content):
        return True
    position, still, frames = 12, False, 0
    while position + 8 <= len(content):
        kind, size = struct.unpack_from("<4sI", content, position)
        end = position + 8 + int(size)
        if end > len(content):
            # Text chunks follow all pixels.
            return kind in _WEBP_TEXTS and (still or frames > 0)
        still, frames = still or kind in _WEBP_STILL, frames + (kind == _WEBP_FRAME)
        position = end + end % 2
    return still or (frames > 0 and announced - position < _SHORTEST_WEBP_FRAME_BYTES)


def _heif_has_pixels(content: mmap) -> bool:
    """Check the items of the file if it lists them; phones append notes of their own after the last box."""
    for box in boxes(content, 0, len(content)):
        if box.kind in _HEIF_BOXES and box.end > len(content):
            return False
    items = read_items(content)
    return (items.is_complete or items.primary is None) and all(end <= len(content) for end in items.ends.values())


_CHECKS: dict[PictureFormat, Callable[[mmap], bool]] = {
    "jpeg": has_every_scan,
    "png": _png_has_pixels,
    "webp": _webp_has_pixels,
    "gif": gif_has_pixels,
    "avif": _heif_has_pixels,
    "heic": _heif_has_pixels,
}
