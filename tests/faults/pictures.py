"""Small pictures, each different from every other, and the same ones made as heavy as a test needs."""

import io
import itertools
import os
import struct

from PIL import Image

_numbers = itertools.count(int.from_bytes(os.urandom(3), "big") << 16)


def picture(side_px: int = 40) -> bytes:
    """A JPEG that nobody has uploaded yet."""
    number = next(_numbers)
    image = Image.new("RGB", (side_px, side_px), (number & 255, number >> 8 & 255, number >> 16 & 255))
    image.putpixel((0, 0), (255, 255, 255))
    target = io.BytesIO()
    image.save(target, "JPEG", comment=str(number).encode())
    return target.getvalue()


def heavy_picture(size_bytes: int, side_px: int = 40) -> bytes:
    """A JPEG of a little more than `size_bytes`, most of it in segments that a decoder skips."""
    plain = picture(side_px)
    scan_at = plain.index(b"\xff\xda")
    # APP9 belongs to nobody; a segment's length counts its own two bytes.
    segment = b"\xff\xe9" + struct.pack(">H", 65_000) + os.urandom(64_998)
    return plain[:scan_at] + segment * (size_bytes // len(segment) + 1) + plain[scan_at:]
