"""Write a derivative or a rendition."""

import struct
import zlib
from collections.abc import Callable
from itertools import pairwise

import pyvips

from image_core.delivery.spec import Format
from image_engine.contract.rejections import PictureRejected
from image_engine.picture.memory_room import has_room_for

# Photographs become a third smaller than without filters, for a few milliseconds.
_PNG_OPTIONS = {"compression": 6, "filter": "all"}
# What encoders take beside the pixels, opaque and with alpha, measured at 4 and 16 megapixels. The others work by rows.
_NEEDED_BYTES_PER_PIXEL: dict[Format, tuple[int, int]] = {
    "webp": (6, 35), "avif": (22, 38), "jpeg": (0, 0), "png": (0, 0),
}  # fmt: skip
# Tables of one's own make a file a few hundredths smaller, and take six bytes a pixel until they are known.
_MOST_OPTIMIZED_PIXELS = 8_000_000
# In the first byte of flags of WebP.
_WEBP_ALPHA = 0x10
# Signature and IHDR.
_PNG_HEADER_BYTES = 33
# AVIF's figures at which luma is as near to the original (SSIM within 0.01) as WebP's and JPEG's at theirs, measured on
# photographs of 640 pixels.
_AVIF_QUALITIES = ((1, 1), (50, 50), (80, 65), (90, 80), (100, 100))


def encode(image: pyvips.Image, image_format: Format, quality: int, effort: int, xmp: bytes = b"") -> bytes:
    """Encode sRGB pixels without EXIF, IPTC or ICC profile.

    Of an animation the frames stand below one another; delays and loop count travel with the image. Only WebP keeps
    more than one.

    Args:
        image: 8 bits, 3 or 4 bands; without alpha for JPEG.
        image_format: of the file.
        quality: 1 to 100, on the scale of JPEG and WebP; PNG loses nothing.
        effort: WebP's (at most 6) or AVIF's (at most 9).
        xmp: a packet to embed in the place of the picture's own.

    Raises:
        PictureRejected: the encoder needs more memory than there is (`picture-too-much-memory`).
        pyvips.Error: the picture is larger than the format can hold.
    """
    # Encoders that run out of memory fail in ways of their own, some after a long while.
    frame_pixels = image.width * image.get_page_height()
    needed_bytes = frame_pixels * _NEEDED_BYTES_PER_PIXEL[image_format][bool(image.hasalpha())]
    if needed_bytes > 0 and not has_room_for(needed_bytes):
        raise PictureRejected("picture-too-much-memory")
    image = image.copy()
    # One saver writes the orientation beside the pixels, which are upright, whatever it is told to keep.
    for name in ("orientation", "xmp-data"):
        if image.get_typeof(name) != 0:
            image.remove(name)
    if xmp and image_format != "png":
        image.set_type(pyvips.GValue.blob_type, "xmp-data", xmp)
    content = _SAVERS[image_format](image, quality, effort, "xmp" if xmp else "none")
    # libvips would write text of Latin-1, which XMP is not.
    return _png_with_xmp(content, xmp) if xmp and image_format == "png" else content


def _webp(image: pyvips.Image, quality: int, effort: int, keep: str) -> bytes:
    content: bytes = image.webpsave_buffer(Q=quality, effort=min(effort, 6), keep=keep)
    return _with_transparent_border(content) if image.hasalpha() else content


def _with_transparent_border(content: bytes) -> bytes:
    """Set the flag for alpha in an animation whose first frame leaves a border of the canvas out.

    The encoder sets it for what is within frames only, and decoders that go by it show the border black. An animation
    begins with VP8X and ANIM (32 bytes) and its first frame. Source: RFC 9649, sections 2.7 and 2.7.1.1.
    """
    is_animation = content[12:16] == b"VP8X" and content[44:48] == b"ANMF"
    if not is_animation or content[24:30] == content[58:64]:
        return content
    return content[:20] + bytes([content[20] | _WEBP_ALPHA]) + content[21:]


def _avif(image: pyvips.Image, quality: int, effort: int, keep: str) -> bytes:
    content: bytes = image.heifsave_buffer(
        compression="av1", Q=avif_quality(quality), effort=effort, bitdepth=8, keep=keep
    )
    return content


def avif_quality(quality: int) -> int:
    """Return AVIF's figure for a quality on the scale of JPEG and WebP, 1 to 100."""
    for (start, first), (end, last) in pairwise(_AVIF_QUALITIES):
        if quality <= end:
            return round(first + (quality - start) * (last - first) / (end - start))
    return _AVIF_QUALITIES[-1][1]


def _jpeg(image: pyvips.Image, quality: int, _effort: int, keep: str) -> bytes:
    optimize = image.width * image.height <= _MOST_OPTIMIZED_PIXELS
    content: bytes = image.jpegsave_buffer(Q=quality, optimize_coding=optimize, keep=keep)
    return content


def _png(image: pyvips.Image, _quality: int, _effort: int, keep: str) -> bytes:
    content: bytes = image.pngsave_buffer(**_PNG_OPTIONS, keep=keep)
    return content


def _png_with_xmp(content: bytes, xmp: bytes) -> bytes:
    """Insert a packet behind the header. Source: PNG (Third Edition), 11.3.3.4, and ISO 16684-3, 1.1.5."""
    body = b"iTXtXML:com.adobe.xmp\0\0\0\0\0" + xmp
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return content[:_PNG_HEADER_BYTES] + chunk + content[_PNG_HEADER_BYTES:]


_SAVERS: dict[Format, Callable[[pyvips.Image, int, int, str], bytes]] = {
    "webp": _webp,
    "avif": _avif,
    "jpeg": _jpeg,
    "png": _png,
}
