"""Limits in pixels of the kinds of pictures whose decoders hold more of them than a worker has memory for.

All others come row by row, or small enough, for the general limit (`IMAGE_MAX_PIXELS`). The figures are measured in a
worker of 512 MiB; docs/pictures.md lists them.
"""

from itertools import chain

from image_core.images.heif_items import HeifItems, read_items

_ALPHA_AUXILIARY = b"alpha"
_YUV_444 = 3


def png_limit(prefix: bytes) -> int | None:
    """An interlaced picture is held whole: eight bytes a pixel at 16 bits with alpha."""
    depth, color, interlaced = prefix[24], prefix[25], prefix[28]
    return 36_000_000 if interlaced and depth == 16 and color == 6 else None


def jpeg_limit(prefix: bytes, frame: int | None) -> int | None:
    """All coefficients of a progressive picture are held: eight bytes a pixel of four components."""
    if frame is None or frame + 10 > len(prefix):
        return None
    progressive, components = prefix[frame + 1] in {0xC2, 0xCA}, prefix[frame + 9]
    return 40_000_000 if progressive and components == 4 else None


def heif_limit(prefix: bytes) -> int | None:
    """More than 8 bits without subsampling: six bytes a pixel, and HEVC's decoder holds them twice."""
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
