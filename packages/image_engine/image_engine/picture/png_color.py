"""Read the colour coding of a PNG file."""

import struct
from mmap import mmap

from image_engine.picture.color_coding import Chromaticities, ColorCoding

_SRGB_GAMMA, _GAMMA_TOLERANCE = 0.45455, 0.005


def png_color_coding(content: mmap, *, has_profile: bool) -> ColorCoding | None:
    """Return the colour coding; None for sRGB, or if a profile takes precedence.

    Source: PNG (Third Edition), 4.3 and 11.3.2: cICP before iCCP, before sRGB, before gAMA and cHRM.
    """
    chunks = _color_chunks(content)
    if len(chunks.get(b"cICP", b"")) == 4:
        primaries, transfer, _, full_range = chunks[b"cICP"]
        return ColorCoding(primaries, transfer, full_range=bool(full_range))
    if has_profile or b"sRGB" in chunks:
        return None
    gamma = int.from_bytes(chunks.get(b"gAMA", b"")[:4], "big") / 100_000
    differs = gamma > 0 and abs(gamma - _SRGB_GAMMA) > _GAMMA_TOLERANCE
    chromaticities = _chromaticities(chunks.get(b"cHRM", b""))
    if not differs and chromaticities is None:
        return None
    return ColorCoding(gamma=1 / gamma if differs else None, chromaticities=chromaticities)


def _color_chunks(content: mmap) -> dict[bytes, bytes]:
    """Return the chunks before the pixels that describe colour."""
    found: dict[bytes, bytes] = {}
    position = 8
    while position + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        if kind in {b"IDAT", b"IEND"}:
            break
        if kind in {b"cICP", b"sRGB", b"gAMA", b"cHRM"}:
            found.setdefault(kind, content[position + 8 : position + 8 + min(length, 64)])
        position += 12 + length
    return found


def _chromaticities(chunk: bytes) -> Chromaticities | None:
    if len(chunk) != 32:
        return None
    numbers = [number / 100_000 for number in struct.unpack(">8I", chunk)]
    white, red, green, blue = zip(numbers[::2], numbers[1::2], strict=True)
    if min(y for _, y in (white, red, green, blue)) <= 0 or len({red, green, blue}) < 3:
        return None
    return red, green, blue, white
