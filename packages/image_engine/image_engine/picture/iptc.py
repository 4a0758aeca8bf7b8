"""Read the few IPTC facts that photographs carry besides EXIF.

Source: IPTC-NAA Information Interchange Model 4.2; Adobe Photoshop File Formats Specification, image resources.
"""

import struct
from collections.abc import Iterator

from image_engine.picture.camera_fields import DIGITISED_TIME, ORIGINAL_TIME
from image_engine.picture.camera_values import Value
from image_engine.picture.text import clean_text

_PHOTOSHOP, _RESOURCE, _IPTC_RESOURCE = b"Photoshop 3.0\x00", b"8BIM", 0x0404
_DATASET = 0x1C
_MAX_PARTS = 1000
_TEXTS = {0x010E: (2, 120), 0x013B: (2, 80), 0x8298: (2, 116)}
_TIMES = {ORIGINAL_TIME: ((2, 55), (2, 60)), DIGITISED_TIME: ((2, 62), (2, 63))}


def read_iptc(block: bytes) -> dict[int, Value]:
    """Return texts and times by EXIF's tags, from bare records or from Photoshop's resources. Never raises."""
    datasets: dict[tuple[int, int], bytes] = {}
    for key, content in _datasets(_records(block)):
        datasets.setdefault(key, content)
    found: dict[int, Value] = {tag: datasets.get(key) for tag, key in _TEXTS.items()}
    for tag, keys in _TIMES.items():
        found[tag] = " ".join(clean_text(datasets.get(key, b"")) or "" for key in keys)
    return found


def _records(block: bytes) -> bytes:
    content = block.removeprefix(_PHOTOSHOP)
    position = 0
    for _ in range(_MAX_PARTS):
        if content[position : position + 4] != _RESOURCE or position + 7 > len(content):
            break
        # The name is length-prefixed and padded to an even length, like the resource itself.
        size_at = position + 6 + (content[position + 6] + 2) // 2 * 2
        if size_at + 4 > len(content):
            break
        kind, size_bytes = (
            struct.unpack_from(">H", content, position + 4)[0],
            struct.unpack_from(">I", content, size_at)[0],
        )
        if kind == _IPTC_RESOURCE:
            return content[size_at + 4 : size_at + 4 + size_bytes]
        position = size_at + 4 + size_bytes + size_bytes % 2
    return content


def _datasets(records: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    position = 0
    for _ in range(_MAX_PARTS):
        if position + 5 > len(records) or records[position] != _DATASET:
            return
        record, dataset, size_bytes = struct.unpack_from(">BBH", records, position + 1)
        # Larger ones, with the highest bit set, are pictures and the like.
        if size_bytes > 0x7FFF or position + 5 + size_bytes > len(records):
            return
        yield (record, dataset), records[position + 5 : position + 5 + size_bytes]
        position += 5 + size_bytes
