"""One request of the recording, and the pictures that requests send."""

import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

from .outside import ROOT


@dataclass(frozen=True)
class Request:
    """A request; `{name}` in any of its texts stands for a value that an earlier answer was kept under."""

    method: str
    path: str
    by: str | None = "member"
    """Whose key is sent: a kept value."""
    json: Any = None
    content: bytes | None = None
    files: dict[str, tuple[str, bytes, str]] | None = None
    data: dict[str, str] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    keep: dict[str, str] = field(default_factory=dict)
    """What to keep of the answer: a name, and the path of the value in the JSON, such as `user.id`."""
    times: int = 1
    """How often it is sent; the last answer is recorded."""


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width_px: int, height_px: int, seed: int) -> bytes:
    """A gradient in RGB that is stored without compression, so that every zlib writes the same bytes."""
    rows = bytearray()
    for y in range(height_px):
        rows += b"\0" + bytes(
            value % 256 for x in range(width_px) for value in (x * seed, y * (seed + 3), (x * y) // (seed + 1))
        )
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(rows), 0)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


PHOTO = (ROOT / "docs" / "photo.jpg").read_bytes()
SAME_PHOTO_IN_OTHER_BYTES = PHOTO + b"\0wire\0\0\0"
BROKEN_PHOTO = PHOTO[:50_000]
SMALL, TALL, WIDE, FETCHED, CLASSIFIED = png(64, 48, 1), png(40, 90, 2), png(90, 40, 5), png(50, 50, 7), png(70, 50, 9)
TEXT = b"Dear reader, this is no picture. " * 40
