"""Read what the boxes of a HEIF file (AVIF, HEIC) say about its pictures."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from mmap import mmap

_MAX_BOXES, _MAX_ITEMS, _MAX_EXTENTS = 4096, 4096, 65_536
_PICTURE_REFERENCES = {b"dimg"}


@dataclass(frozen=True, slots=True)
class Property:
    """One item property: its kind and content, a full box's version and flags included."""

    kind: bytes
    content: bytes


@dataclass(slots=True)
class HeifItems:
    """The items of a file, as far as the available bytes reach.

    Attributes:
        primary: the picture to show; None if the file does not name one.
        kinds: four letters by item: `av01`, `hvc1`, `grid` …
        ends: offset of the end of each item in the file; items stored in the boxes are omitted.
        properties: of each item, in order.
        references: the items that an item is derived from (`dimg`).
        whole: False if the boxes extend beyond the available bytes.
    """

    primary: int | None = None
    kinds: dict[int, bytes] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    properties: dict[int, list[Property]] = field(default_factory=dict)
    references: dict[int, list[int]] = field(default_factory=dict)
    is_complete: bool = False

    def properties_of_primary(self) -> list[Property]:
        """Return the properties of the picture to show; of a grid also those of its first tile."""
        if self.primary is None:
            return []
        tiles = self.references.get(self.primary, [])[:1]
        return [found for item in (self.primary, *tiles) for found in self.properties.get(item, [])]

    def coding_of_primary(self) -> bytes | None:
        """Return the coding of the picture to show; for a derived picture, the coding of its first source."""
        item, seen = self.primary, set[int]()
        while item is not None and item not in seen:
            seen.add(item)
            below = self.references.get(item)
            if not below:
                return self.kinds.get(item)
            item = below[0]
        return None

    def colors_of_primary(self) -> tuple[int, int] | None:
        """Return colour primaries and transfer characteristics, numbered as in ITU-T H.273, if the file has them."""
        for found in self.properties_of_primary():
            if found.kind == b"colr" and found.content[:4] == b"nclx" and len(found.content) >= 10:
                primaries, transfer = struct.unpack_from(">HH", found.content, 4)
                return primaries, transfer
        return None

    def size_of_primary(self) -> tuple[int, int] | None:
        """Return width and height before any rotation."""
        if self.primary is None:
            return None
        for found in self.properties.get(self.primary, []):
            if found.kind == b"ispe" and len(found.content) >= 12:
                width_px, height_px = struct.unpack_from(">II", found.content, 4)
                return width_px, height_px
        return None


@dataclass(frozen=True, slots=True)
class Box:
    """A box: the offsets at which its content begins and ends."""

    kind: bytes
    start: int
    end: int


def boxes(content: bytes | mmap, start: int, end: int) -> Iterator[Box]:
    """Iterate over the boxes between two offsets; stop at the first malformed one.

    Source: ISO/IEC 14496-12, 4.2: size and type of each box; 0 for "to the end", 1 for a size of 64 bits.
    """
    position = start
    for _ in range(_MAX_BOXES):
        if position + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", content, position)
        head = 8
        if size == 1 and position + 16 <= end:
            size, head = struct.unpack_from(">Q", content, position + 8)[0], 16
        elif size == 0:
            size = end - position
        if size < head or not kind.isascii() or not kind.decode().isprintable():
            return
        yield Box(kind, position + head, position + size)
        position += size


def read_items(content: bytes | mmap) -> HeifItems:
    """Read the items of a file, or of its first bytes. Never raises."""
    items = HeifItems()
    try:
        for box in boxes(content, 0, len(content)):
            if box.kind == b"meta":
                items.is_complete = box.end <= len(content)
                _read_meta(content, box.start + 4, min(box.end, len(content)), items)
                break
    except (struct.error, IndexError, OverflowError):
        items.is_complete = False
    return items


def _read_meta(content: bytes | mmap, start: int, end: int, items: HeifItems) -> None:
    for box in boxes(content, start, end):
        body = bytes(content[box.start : min(box.end, end)])
        if box.kind == b"pitm":
            items.primary = _number(body, 4, 2 if body[0] == 0 else 4)
        elif box.kind == b"iinf":
            _read_kinds(body, items)
        elif box.kind == b"iloc":
            _read_locations(body, items)
        elif box.kind == b"iref":
            _read_references(body, items)
        elif box.kind == b"iprp":
            _read_properties(body, items)


def _number(body: bytes, position: int, size: int) -> int:
    if position + size > len(body):
        raise IndexError
    return int.from_bytes(body[position : position + size], "big")


def _read_kinds(body: bytes, items: HeifItems) -> None:
    """Source: ISO/IEC 14496-12, 8.11.6."""
    for entry in boxes(body, 6 if body[0] == 0 else 8, len(body)):
        version = body[entry.start]
        wide = version >= 3
        item = _number(body, entry.start + 4, 4 if wide else 2)
        if version >= 2:
            place = entry.start + (10 if wide else 8)
            items.kinds[item] = body[place : place + 4]


def _read_locations(body: bytes, items: HeifItems) -> None:
    """Source: ISO/IEC 14496-12, 8.11.3."""
    version = body[0]
    offset_size, length_size = body[4] >> 4, body[4] & 15
    base_size, index_size = body[5] >> 4, (body[5] & 15 if version else 0)
    id_size = 4 if version == 2 else 2
    count, position = _number(body, 6, id_size), 6 + id_size
    extents = 0
    for _ in range(min(count, _MAX_ITEMS)):
        item = _number(body, position, id_size)
        position += id_size
        method = _number(body, position, 2) & 15 if version else 0
        position += 4 if version else 2
        base = _number(body, position, base_size)
        extent_count = _number(body, position + base_size, 2)
        position += base_size + 2
        extents += extent_count
        if extents > _MAX_EXTENTS:
            return
        for _ in range(extent_count):
            position += index_size
            offset = base + _number(body, position, offset_size)
            length = _number(body, position + offset_size, length_size)
            position += offset_size + length_size
            if method == 0:
                items.ends[item] = max(items.ends.get(item, 0), offset + length)


def _read_references(body: bytes, items: HeifItems) -> None:
    """Source: ISO/IEC 14496-12, 8.11.12."""
    id_size = 2 if body[0] == 0 else 4
    for box in boxes(body, 4, len(body)):
        if box.kind in _PICTURE_REFERENCES:
            count = min(_number(body, box.start + id_size, 2), _MAX_ITEMS)
            first = box.start + id_size + 2
            parts = [_number(body, first + index * id_size, id_size) for index in range(count)]
            items.references[_number(body, box.start, id_size)] = parts


def _read_properties(body: bytes, items: HeifItems) -> None:
    """Source: ISO/IEC 23008-12, 9.3."""
    found: list[Property] = []
    for box in boxes(body, 0, len(body)):
        if box.kind == b"ipco":
            parts = list(boxes(body, box.start, min(box.end, len(body))))
            found = [Property(part.kind, body[part.start : part.end]) for part in parts]
        elif box.kind == b"ipma":
            _associate(body[box.start : box.end], found, items)


def _associate(body: bytes, found: list[Property], items: HeifItems) -> None:
    id_size, index_size = (2 if body[0] == 0 else 4), (2 if body[3] & 1 else 1)
    position = 8
    for _ in range(min(_number(body, 4, 4), _MAX_ITEMS)):
        item = _number(body, position, id_size)
        count = _number(body, position + id_size, 1)
        position += id_size + 1
        for _ in range(count):
            # The highest bit says that the property must not be ignored.
            index = _number(body, position, index_size) & (0x7FFF if index_size == 2 else 0x7F)
            position += index_size
            if 0 < index <= len(found):
                items.properties.setdefault(item, []).append(found[index - 1])
