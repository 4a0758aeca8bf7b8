"""Read what the camera wrote, from the EXIF block itself.

The block is read here, not through a codec's fields: it is the same in every format, HEIC included, and codecs give
its values as text for people.
"""

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from mmap import ACCESS_READ, mmap
from typing import Any

from image_processor.steps.stored_picture import StoredPicture
from image_processor.steps.text import clean_text

ExifValue = str | int | float | bool
_Values = tuple[float, ...]

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8, 11: 4, 12: 8, 129: 1}
_NUMBERS = {1: "B", 3: "H", 4: "I", 9: "i", 11: "f", 12: "d"}
_MAX_ENTRIES = 512
_MAX_VALUE_BYTES = 4096
_EXIF_DIRECTORY, _GPS_DIRECTORY = 0x8769, 0x8825


@dataclass(frozen=True, slots=True)
class CameraData:
    """What the camera wrote.

    Attributes:
        exif: by name; units are mm, s and f-numbers.
        location: degrees and metres; None where the camera did not know.
    """

    exif: dict[str, ExifValue] = field(default_factory=dict)
    location: dict[str, float] | None = None


def read_camera_data(block: bytes | mmap) -> CameraData:
    """Read an EXIF block, or a whole TIFF file; what is broken is left out. Never raises.

    Source: Exif 2.32 (JEITA CP-3451E), 4.6.
    """
    start = 6 if block[:6] == b"Exif\x00\x00" else 0
    order = {b"II": "<", b"MM": ">"}.get(block[start : start + 2])
    if order is None:
        return CameraData()
    try:
        tags = _Directories(block, start, order)
        return CameraData(_exif(tags), _location(tags.gps))
    except (struct.error, ValueError, OverflowError):
        return CameraData()


def camera_data_of(descriptor: int, stored: StoredPicture) -> CameraData:
    """Read the EXIF block of an open picture. Never raises."""
    if stored.format != "tiff":
        return read_camera_data(stored.exif_block or b"")
    with mmap(descriptor, 0, access=ACCESS_READ) as whole_file:
        return read_camera_data(whole_file)


class _Directories:
    """The three directories that matter: the first picture's, EXIF's and GPS's. Values by tag."""

    def __init__(self, block: bytes | mmap, start: int, order: str) -> None:
        self._block, self._start, self._order = block, start, order
        self.first = self._read(self._unpack("I", start + 4)[0])
        self.exif = self._read_linked(_EXIF_DIRECTORY)
        self.gps = self._read_linked(_GPS_DIRECTORY)

    def _unpack(self, layout: str, position: int) -> tuple[Any, ...]:
        return struct.unpack_from(self._order + layout, self._block, position)

    def _read_linked(self, tag: int) -> dict[int, bytes | _Values]:
        link = self.first.get(tag)
        return self._read(int(link[0])) if isinstance(link, tuple) and link else {}

    def _read(self, offset: int) -> dict[int, bytes | _Values]:
        position = self._start + offset
        if position + 2 > len(self._block):
            return {}
        found: dict[int, bytes | _Values] = {}
        for index in range(min(self._unpack("H", position)[0], _MAX_ENTRIES)):
            entry = position + 2 + 12 * index
            if entry + 12 > len(self._block):
                break
            tag, kind, count = self._unpack("HHI", entry)
            value = self._value(kind, count, entry + 8)
            if value is not None:
                found.setdefault(tag, value)
        return found

    def _value(self, kind: int, count: int, position: int) -> bytes | _Values | None:
        size_bytes = _SIZES.get(kind, 0) * count
        if not 0 < size_bytes <= _MAX_VALUE_BYTES:
            return None
        if size_bytes > 4:
            position = self._start + self._unpack("I", position)[0]
        if position + size_bytes > len(self._block):
            return None
        if kind in _NUMBERS:
            return self._unpack(f"{count}{_NUMBERS[kind]}", position)
        if kind in {5, 10}:
            parts = self._unpack(f"{2 * count}{'I' if kind == 5 else 'i'}", position)
            return tuple(a / b if b else math.nan for a, b in zip(parts[::2], parts[1::2], strict=True))
        return bytes(self._block[position : position + size_bytes])


# --- What is kept -------------------------------------------------------------------------------------------------


def _text(value: bytes | _Values | None) -> str | None:
    return clean_text(value) if isinstance(value, bytes) else None


def _number(value: bytes | _Values | None) -> float | None:
    return value[0] if isinstance(value, tuple) and value and math.isfinite(value[0]) else None


def _rounded(digits: int) -> Callable[[bytes | _Values | None], float | None]:
    def read(value: bytes | _Values | None) -> float | None:
        number = _number(value)
        return None if number is None else round(number, digits)

    return read


def _positive(value: bytes | _Values | None) -> float | None:
    number = _number(value)
    return round(number, 6) if number is not None and number > 0 else None


def _integer(value: bytes | _Values | None) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number > 0 else None


def _flash_fired(value: bytes | _Values | None) -> bool | None:
    number = _number(value)
    return None if number is None else bool(int(number) & 1)


_FIRST_TAGS: dict[str, tuple[int, Callable[[bytes | _Values | None], ExifValue | None]]] = {
    "camera_make": (0x010F, _text),
    "camera_model": (0x0110, _text),
    "software": (0x0131, _text),
    "artist": (0x013B, _text),
    "copyright": (0x8298, _text),
    "description": (0x010E, _text),
}
_EXIF_TAGS: dict[str, tuple[int, Callable[[bytes | _Values | None], ExifValue | None]]] = {
    "lens_make": (0xA433, _text),
    "lens": (0xA434, _text),
    "exposure_time": (0x829A, _positive),
    "f_number": (0x829D, _positive),
    "iso": (0x8827, _integer),
    "exposure_bias": (0x9204, _rounded(2)),
    "focal_length": (0x920A, _positive),
    "focal_length_35mm": (0xA405, _integer),
    "flash_fired": (0x9209, _flash_fired),
}
_TIMES = (("exif", 0x9003, 0x9011), ("exif", 0x9004, 0x9012), ("first", 0x0132, 0x9010))
_OFFSET = re.compile(r"[+-](0\d|1[0-4]):[0-5]\d")


def _exif(tags: _Directories) -> dict[str, ExifValue]:
    found: dict[str, ExifValue] = {}
    for directory, wanted in ((tags.first, _FIRST_TAGS), (tags.exif, _EXIF_TAGS)):
        for name, (tag, read) in wanted.items():
            value = read(directory.get(tag))
            if value is not None:
                found[name] = value
    taken_at = _taken_at(tags)
    if taken_at is not None:
        found["taken_at"] = taken_at
    return found


def _taken_at(tags: _Directories) -> str | None:
    """When the picture was taken, else digitised, else changed; as RFC 3339, its offset only where one is written."""
    for directory, time_tag, offset_tag in _TIMES:
        written = _text((tags.first if directory == "first" else tags.exif).get(time_tag))
        try:
            moment = datetime.strptime(written or "", "%Y:%m:%d %H:%M:%S")  # noqa: DTZ007 - cameras know no zone
        except ValueError:
            continue
        offset = _text(tags.exif.get(offset_tag)) or ""
        return moment.isoformat() + (offset if _OFFSET.fullmatch(offset) else "")
    return None


def _location(gps: dict[int, bytes | _Values]) -> dict[str, float] | None:
    """Source: Exif 2.32, 4.6.6: references N/S, E/W, and 1 for below the sea."""
    latitude = _degrees(gps.get(2), _text(gps.get(1)), 90)
    longitude = _degrees(gps.get(4), _text(gps.get(3)), 180)
    if latitude is None or longitude is None:
        return None
    location = {"latitude": latitude, "longitude": longitude}
    altitude = _number(gps.get(6))
    if altitude is not None and abs(altitude) < 100_000:
        location["altitude"] = round(-altitude if _number(gps.get(5)) == 1 or gps.get(5) == b"\x01" else altitude, 2)
    return location


def _degrees(value: bytes | _Values | None, reference: str | None, limit: int) -> float | None:
    if not isinstance(value, tuple) or len(value) != 3 or reference not in {"N", "S", "E", "W"}:
        return None
    # Some writers leave seconds or minutes undefined (0/0) and put the fraction before them.
    parts = [part if math.isfinite(part) else 0.0 for part in value]
    degrees = parts[0] + parts[1] / 60 + parts[2] / 3600
    if not math.isfinite(value[0]) or not 0 <= degrees <= limit:
        return None
    return round(-degrees if reference in {"S", "W"} else degrees, 7)
