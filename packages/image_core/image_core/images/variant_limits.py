"""Pixel limits for kinds of pictures whose decoders need more memory than usual.

All others are decoded row by row, or need little enough memory for the general limit (`IMAGE_MAX_PIXELS`). The figures
were measured in a worker of 512 MiB; docs/pictures.md lists them.
"""

from itertools import chain

from image_core.images.heif_items import HeifItems, read_items

_ALPHA_AUXILIARY = b"alpha"
_YUV_444 = 3


def png_limit(prefix: bytes) -> int | None:
    """Return the limit of an interlaced PNG, which is held whole: 8 bytes per pixel at 16 bits with alpha."""
    depth, color, interlaced = prefix[24], prefix[25], prefix[28]
    return 36_000_000 if interlaced and depth == 16 and color == 6 else None


def jpeg_limit(prefix: bytes, frame: int | None) -> int | None:
    """Return the limit of a progressive JPEG, whose coefficients are all held: 8 bytes per pixel of four components."""
    if frame is None or frame + 10 > len(prefix):
        return None
    progressive, components = prefix[frame + 1] in {0xC2, 0xCA}, prefix[frame + 9]
    return 40_000_000 if progressive and components == 4 else None


def heif_limit(prefix: bytes) -> int | None:
    """Return the limit of HEIF with more than 8 bits and no subsampling: 6 bytes per pixel, held twice for HEVC."""
    items = read_items(prefix)
    for found in items.properties_of_primary():
        if found.kind == b"av1C" and len(found.content) >= 3:
            deep, shifts = found.content[2] & 0x40, found.content[2] & 0x0C
            return 36_000_000 if deep and not shifts and _has_alpha(items) else None
        if found.kind == b"hvcC" and len(found.content) >= 18:
            chroma, deep = found.content[16] & 3, found.content[17] & 7
            if deep and (chroma == _YUV_444 or _has_alpha(items)):
                return 30_000_000
    return None


def _has_alpha(items: HeifItems) -> bool:
    properties = chain.from_iterable(items.properties.values())
    return any(found.kind == b"auxC" and _ALPHA_AUXILIARY in found.content for found in properties)
