"""Write a derivative or a rendition."""

from collections.abc import Callable

import pyvips

from image_core.delivery.spec import Format

# Photographs become half as large as without filters, for a few milliseconds.
_PNG_OPTIONS = {"compression": 6, "filter": "all"}
# JPEG and WebP look alike at one figure; AVIF at the same figure is larger by half than WebP, for detail that is seen
# in neither.
_AVIF_QUALITY = 0.8


def encode(image: pyvips.Image, image_format: Format, quality: int, effort: int) -> bytes:
    """Encode sRGB pixels without EXIF, XMP, IPTC or ICC profile.

    Of an animation the frames stand below one another; delays and loop count travel with the image. Only WebP keeps
    more than one.

    Args:
        image: 8 bits, 3 or 4 bands; without alpha for JPEG.
        image_format: of the file.
        quality: 1 to 100, on the scale of JPEG and WebP; PNG loses nothing.
        effort: WebP's (at most 6) or AVIF's (at most 9).
    """
    return _SAVERS[image_format](image, quality, effort)


def _webp(image: pyvips.Image, quality: int, effort: int) -> bytes:
    content: bytes = image.webpsave_buffer(Q=quality, effort=min(effort, 6), keep="none")
    return content


def _avif(image: pyvips.Image, quality: int, effort: int) -> bytes:
    quality = max(1, round(quality * _AVIF_QUALITY))
    if image.get_typeof("orientation") != 0:
        # The saver writes it down beside the pixels, which are upright, whatever it is told to keep.
        image = image.copy()
        image.remove("orientation")
    content: bytes = image.heifsave_buffer(compression="av1", Q=quality, effort=effort, bitdepth=8, keep="none")
    return content


def _jpeg(image: pyvips.Image, quality: int, _effort: int) -> bytes:
    content: bytes = image.jpegsave_buffer(Q=quality, optimize_coding=True, keep="none")
    return content


def _png(image: pyvips.Image, _quality: int, _effort: int) -> bytes:
    content: bytes = image.pngsave_buffer(**_PNG_OPTIONS, keep="none")
    return content


_SAVERS: dict[Format, Callable[[pyvips.Image, int, int], bytes]] = {
    "webp": _webp,
    "avif": _avif,
    "jpeg": _jpeg,
    "png": _png,
}
