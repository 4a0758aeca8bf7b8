"""The picture that a start uploads as a check, drawn without a library."""

import math
import struct
import zlib


def gradient_png(width_px: int, height_px: int, color: tuple[int, int, int]) -> bytes:
    """Draw soft waves of one colour. Source of the format: https://www.w3.org/TR/png-3/."""
    rows = []
    for y in range(height_px):
        lift = 0.5 + 0.5 * y / height_px
        band = [lift + 0.2 * math.sin(x / 90 + y / 60) for x in range(0, width_px, 8)]
        pixels = (bytes(min(255, max(0, int(part * level))) for part in color) * 8 for level in band)
        rows.append(b"\0" + b"".join(pixels)[: width_px * 3])
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows), 6)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in parts)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
