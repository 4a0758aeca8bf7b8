"""Placeholders for pictures that are still loading: a few pixels as a `data:` URI, from the image's BlurHash."""

import base64
import math
import struct
import zlib
from functools import lru_cache

MOST_PIXELS = 48
MOST_LENGTH = 400
"""Maximum length of the `data:` URI; `MOST_PIXELS` uncompressible pixels are shorter."""
_BASE83 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
_MOST_SIDE = 16

Color = tuple[float, float, float]
"""Red, green and blue in linear light, 0 to 1."""


@lru_cache(maxsize=4096)
def data_uri(blurhash: str, width_px: int, height_px: int) -> str | None:
    """Return a PNG with the picture's ratio and at most 48 pixels as a `data:` URI; None if the hash is not valid."""
    width = min(_MOST_SIDE, max(1, int(math.sqrt(MOST_PIXELS * width_px / height_px))))
    height = min(_MOST_SIDE, MOST_PIXELS // width, max(1, round(width * height_px / width_px)))
    try:
        pixels = _decoded(blurhash, width, height)
    except (ValueError, IndexError):
        return None
    return "data:image/png;base64," + base64.b64encode(_png(pixels, width, height)).decode()


def _decoded(blurhash: str, width: int, height: int) -> bytes:
    """Return the pixels, three bytes each, row by row.

    Source: BlurHash, Algorithm.md in woltapp/blurhash.

    Raises:
        ValueError: The hash has an unknown character or another length than it says.
    """
    size = _number(blurhash[0])
    columns, rows = size % 9 + 1, size // 9 + 1
    if len(blurhash) != 4 + 2 * columns * rows:
        raise ValueError("the length of the BlurHash does not fit its number of components")
    largest = (_number(blurhash[1]) + 1) / 166
    average = _number(blurhash[2:6])
    components = [(_linear(average >> 16), _linear(average >> 8 & 255), _linear(average & 255))]
    components += [_detail(_number(blurhash[at : at + 2]), largest) for at in range(6, len(blurhash), 2)]
    # The cosines of each column and row are shared by all pixels.
    across = [[math.cos(math.pi * x * i / width) for i in range(columns)] for x in range(width)]
    down = [[math.cos(math.pi * y * j / height) for j in range(rows)] for y in range(height)]
    pixels = bytearray()
    for y in range(height):
        for x in range(width):
            weights = [across[x][i] * down[y][j] for j in range(rows) for i in range(columns)]
            pixels += bytes(
                _srgb(sum(weight * color[band] for weight, color in zip(weights, components, strict=True)))
                for band in range(3)
            )
    return bytes(pixels)


def _number(digits: str) -> int:
    number = 0
    for digit in digits:
        number = number * 83 + _BASE83.index(digit)
    return number


def _detail(value: int, largest: float) -> Color:
    parts = (value // 361, value // 19 % 19, value % 19)
    red, green, blue = (math.copysign(((part - 9) / 9) ** 2, part - 9) * largest for part in parts)
    return red, green, blue


def _linear(value: int) -> float:
    share = value / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


def _srgb(linear: float) -> int:
    share = min(1.0, max(0.0, linear))
    return round(255 * (share * 12.92 if share <= 0.0031308 else 1.055 * share ** (1 / 2.4) - 0.055))


def _png(pixels: bytes, width: int, height: int) -> bytes:
    """Return an 8-bit RGB PNG. Source: the PNG specification, sections 5 and 11."""
    stride = 3 * width
    lines = b"".join(b"\0" + pixels[at : at + stride] for at in range(0, len(pixels), stride))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
