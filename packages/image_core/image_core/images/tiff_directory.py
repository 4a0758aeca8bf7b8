"""Read the directories of a TIFF file: its pages, and whether it is a camera's raw file."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap

MAGICS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")

NEW_SUBFILE_TYPE, OLD_SUBFILE_TYPE = 254, 255
WIDTH, HEIGHT = 256, 257
BITS_PER_SAMPLE, COMPRESSION, PHOTOMETRIC = 258, 259, 262
CAMERA_MAKE, ORIENTATION = 271, 274
SAMPLES_PER_PIXEL, PLANAR_CONFIGURATION, SUB_DIRECTORIES = 277, 284, 330
INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT = 332, 338, 339
YCBCR_COEFFICIENTS, YCBCR_SUBSAMPLING, REFERENCE_BLACK_WHITE = 529, 530, 532
_CFA_REPEAT_PATTERN, _CFA_PATTERN, _DNG_VERSION = 33421, 33422, 50706

_MAX_ENTRIES, _MAX_VALUES, _MAX_PAGES = 512, 512, 64
_REDUCED, _MASK = 1, 4
# Source: TIFF 6.0, section 2; BigTIFF adds 13 (offset), 16 and 18 (64 bits).
_KINDS = {1: "B", 3: "H", 4: "I", 5: "II", 11: "f", 12: "d", 13: "I", 16: "Q", 18: "Q"}

# Source: DNG 1.6, PhotometricInterpretation: a colour filter array, and its samples demosaiced but not developed.
_RAW_PHOTOMETRICS = {32803, 34892}
# Source: libtiff's tiff.h and dcraw: Sony, Epson, Samsung, Kodak, Nikon, lossy DNG, Kodak DCR, Pentax.
_RAW_COMPRESSIONS = {32767, 32769, 32770, 32867, 34713, 34892, 65000, 65535}

# Signatures of Canon and Phase One between the header and the first directory. Pixels often begin there as well and may
# equal the shorter part of such a signature. Source: dcraw's identify() and parse_phase_one().
_RAW_HEADER = re.compile(
    rb"II\*\x00\x10\x00\x00\x00CR\x02|MM\x00\*\x00\x00\x00\x10CR\x02|II\*\x00.{4}IIII.waR|MM\x00\*.{4}MMMMRaw.",
    re.DOTALL,
)

Values = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TiffPage:
    """One directory.

    Attributes:
        tags: numbers by tag; texts and values beyond the available bytes are omitted.
        present: every tag of the directory.
        sub_pages: the directories that tag 330 names, as far as they are within the available bytes.
    """

    tags: dict[int, Values]
    present: frozenset[int]
    sub_pages: tuple["TiffPage", ...] = ()

    def number(self, tag: int, default: int) -> int:
        """Return the first value of a tag."""
        values = self.tags.get(tag)
        return int(values[0]) if values else default

    def is_legible(self, tags: set[int]) -> bool:
        """Return whether the values of those tags that the page has are within the available bytes."""
        return tags & self.present <= self.tags.keys()

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height, None where they are absent."""
        width_px, height_px = self.tags.get(WIDTH), self.tags.get(HEIGHT)
        return (int(width_px[0]), int(height_px[0])) if width_px and height_px else None

    @property
    def is_reduced(self) -> bool:
        """Return whether the page is a smaller version of another one."""
        return bool(self.number(NEW_SUBFILE_TYPE, 0) & _REDUCED) or self.number(OLD_SUBFILE_TYPE, 1) == 2

    @property
    def is_mask(self) -> bool:
        """Return whether the page holds another page's transparency mask."""
        return bool(self.number(NEW_SUBFILE_TYPE, 0) & _MASK) or self.number(PHOTOMETRIC, 0) == 4

    @property
    def is_raw(self) -> bool:
        """Return whether the page holds undeveloped sensor data."""
        return (
            self.number(PHOTOMETRIC, 0) in _RAW_PHOTOMETRICS
            or self.number(COMPRESSION, 1) in _RAW_COMPRESSIONS
            or not self.present.isdisjoint({_CFA_REPEAT_PATTERN, _CFA_PATTERN, _DNG_VERSION})
        )


@dataclass(frozen=True, slots=True)
class PagePlace:
    """The place of a page: its number in the chain, and the index of a sub-directory of it (-1: the page itself)."""

    number: int
    sub_number: int
    page: TiffPage


def read_pages(content: bytes | mmap) -> list[TiffPage]:
    """Read the chain of directories as far as the bytes reach; empty for anything but a TIFF file. Never raises."""
    if content[:4] not in MAGICS:
        return []
    reader = _Reader(content)
    pages: list[TiffPage] = []
    offset, seen = reader.first_offset(), set[int]()
    while offset and offset not in seen and len(pages) < _MAX_PAGES:
        seen.add(offset)
        page, offset = reader.page(offset, sub_pages=True)
        if page is None:
            break
        pages.append(page)
    return pages


def full_size_page(pages: list[TiffPage]) -> PagePlace | None:
    """Choose the page to show: the first one that is neither a mask nor a smaller version of another.

    Source: TIFF 6.0, NewSubfileType.
    """
    for number, page in enumerate(pages):
        if not page.is_reduced and not page.is_mask:
            return PagePlace(number, -1, page)
    for number, page in enumerate(pages):
        for sub_number, sub_page in enumerate(page.sub_pages):
            if not sub_page.is_reduced and not sub_page.is_mask:
                return PagePlace(number, sub_number, sub_page)
    return PagePlace(0, -1, pages[0]) if pages else None


def is_raw_photograph(content: bytes | mmap) -> bool:
    """Return whether a file is a camera's raw file and not a plain TIFF file. Never raises.

    If only the first bytes are available, a preview in front of sub-directories that lie beyond them, with a named
    camera, counts as raw: cameras write files this way, other writers put the picture first.
    """
    if _RAW_HEADER.match(content[:16]):
        return True
    pages = read_pages(content)
    if any(page.is_raw or any(sub.is_raw for sub in page.sub_pages) for page in pages):
        return True
    if not pages:
        return False
    first = pages[0]
    hidden = SUB_DIRECTORIES in first.present and not first.sub_pages
    return first.is_reduced and hidden and CAMERA_MAKE in first.present


class _Reader:
    def __init__(self, content: bytes | mmap) -> None:
        self._content = content
        self._order = "<" if content[:2] == b"II" else ">"
        self._big = 43 in content[2:4]

    def first_offset(self) -> int:
        found = self._unpack("Q" if self._big else "I", 8 if self._big else 4)
        return int(found[0]) if found else 0

    def page(self, offset: int, *, sub_pages: bool) -> tuple[TiffPage | None, int]:
        """Read one directory; return it with the offset of the next one, 0 if there is none."""
        found = self._unpack("Q" if self._big else "H", offset)
        if not found or found[0] > _MAX_ENTRIES:
            return None, 0
        tags: dict[int, Values] = {}
        present: set[int] = set()
        entry, entry_bytes = offset + (8 if self._big else 2), 20 if self._big else 12
        if entry + int(found[0]) * entry_bytes > len(self._content):
            return None, 0
        for place in range(entry, entry + int(found[0]) * entry_bytes, entry_bytes):
            tag, kind, count = (int(part) for part in self._unpack("HHQ" if self._big else "HHI", place))
            present.add(tag)
            values = self._values(kind, count, place + (12 if self._big else 8))
            if values:
                tags.setdefault(tag, values)
        following = self._unpack("Q" if self._big else "I", entry + int(found[0]) * entry_bytes)
        below = tuple(self._sub_pages(tags)) if sub_pages else ()
        return TiffPage(tags, frozenset(present), below), int(following[0]) if following else 0

    def _sub_pages(self, tags: dict[int, Values]) -> Iterator[TiffPage]:
        for offset in tags.get(SUB_DIRECTORIES, ())[:_MAX_PAGES]:
            page, _ = self.page(int(offset), sub_pages=False)
            if page is None:
                return
            yield page

    def _values(self, kind: int, count: int, place: int) -> Values:
        layout = _KINDS.get(kind)
        if layout is None or not 0 < count <= _MAX_VALUES:
            return ()
        layout = layout * count
        if struct.calcsize(self._order + layout) > (8 if self._big else 4):
            pointer = self._unpack("Q" if self._big else "I", place)
            if not pointer:
                return ()
            place = int(pointer[0])
        values = self._unpack(layout, place)
        if kind == 5:
            return tuple(
                above / below if below else 0.0 for above, below in zip(values[::2], values[1::2], strict=True)
            )
        return values

    def _unpack(self, layout: str, place: int) -> Values:
        size_bytes = struct.calcsize(self._order + layout)
        if place + size_bytes > len(self._content):
            return ()
        return struct.unpack_from(self._order + layout, self._content, place)
