"""Write TIFF files with any tags, so that tests do not depend on what a library likes to write."""

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

Tags = dict[int, int | tuple[int, ...] | tuple[float, ...] | bytes]

_SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3}
_RATIONALS = {529, 532}
_LONGS = {273, 279, 330}


def tiff(pixels: npt.NDArray[Any], photometric: int, tags: Tags | None = None, *, deflate: bool = False) -> bytes:
    """Encode pixels of shape (height, width, bands) as one strip, in little-endian order.

    `tags` adds or replaces entries; PlanarConfiguration 2 stores one strip for each band.
    """
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    planes = np.moveaxis(pixels, 2, 0) if (tags or {}).get(284) == 2 else [pixels]
    little = pixels.dtype.newbyteorder("<")
    strips = [np.ascontiguousarray(plane, dtype=little).tobytes() for plane in planes]
    entries: Tags = {
        258: (pixels.dtype.itemsize * 8,) * pixels.shape[2],
        277: pixels.shape[2],
        339: (_SAMPLE_FORMATS[pixels.dtype.kind],) * pixels.shape[2],
    }
    return tiff_of_strips(
        [zlib.compress(strip) for strip in strips] if deflate else strips,
        pixels.shape[1],
        pixels.shape[0],
        {**entries, 262: photometric, 259: 8 if deflate else 1, **(tags or {})},
    )


def tiff_of_strips(strips: list[bytes], width_px: int, height_px: int, tags: Tags) -> bytes:
    """Encode a page of strips that are compressed already."""
    return tiff_of_pages([(strips, {256: width_px, 257: height_px, 278: height_px, **tags})])


def tiff_of_pages(pages: list[tuple[list[bytes], Tags]]) -> bytes:
    """Encode pages one behind the other, each directory in front of its data."""
    content = bytearray(b"II*\x00\x08\x00\x00\x00")
    for index, (strips, tags) in enumerate(pages):
        directory = len(content)
        # The offsets are known once the size of the directory is; they take four bytes either way.
        size = len(_directory(directory, {**tags, 273: (0,) * len(strips), 279: (0,) * len(strips)}, 0))
        offsets = [directory + size + sum(map(len, strips[:number])) for number in range(len(strips))]
        end = directory + size + sum(map(len, strips))
        following = end + end % 2 if index + 1 < len(pages) else 0
        places: Tags = {273: tuple(offsets), 279: tuple(map(len, strips))}
        content += _directory(directory, {**tags, **places}, following) + b"".join(strips)
        content += bytes(len(content) % 2)
    return bytes(content)


def _directory(start: int, tags: Tags, following: int) -> bytes:
    entries, values = bytearray(), bytearray()
    behind = start + 2 + 12 * len(tags) + 4
    for tag, value in sorted(tags.items()):
        kind, count, packed = _pack(tag, value)
        if len(packed) > 4:
            place = struct.pack("<I", behind + len(values))
            values += packed + bytes(len(packed) % 2)
        else:
            place = packed.ljust(4, b"\x00")
        entries += struct.pack("<HHI", tag, kind, count) + place
    return struct.pack("<H", len(tags)) + bytes(entries) + struct.pack("<I", following) + bytes(values)


def _pack(tag: int, value: Any) -> tuple[int, int, bytes]:
    if isinstance(value, bytes):
        return (1 if tag == 50706 else 7), len(value), value
    numbers = value if isinstance(value, tuple) else (value,)
    if tag in _RATIONALS:
        return 5, len(numbers), b"".join(struct.pack("<II", round(number * 1000), 1000) for number in numbers)
    if any(isinstance(number, float) for number in numbers):
        return 12, len(numbers), struct.pack(f"<{len(numbers)}d", *numbers)
    if tag in _LONGS or max(numbers) > 65_535:
        return 4, len(numbers), struct.pack(f"<{len(numbers)}I", *numbers)
    return 3, len(numbers), struct.pack(f"<{len(numbers)}H", *numbers)
