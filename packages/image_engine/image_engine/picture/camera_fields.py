"""The fields that are kept of EXIF, XMP and IPTC. The tags are EXIF's; the other two are looked up by them."""

from collections.abc import Callable

from image_engine.picture.camera_values import Value, number_of, text_of, utf16_of
from image_engine.picture.taken_time import read_time

FactValue = str | int | float | bool
Lookup = Callable[[int], Value]
"""Return the value that a source has for a tag."""
_Reader = Callable[[Lookup], FactValue | None]

ORIGINAL_TIME, DIGITISED_TIME, CHANGED_TIME = 0x9003, 0x9004, 0x0132
FLASH = 0x9209
_FRACTIONS = {ORIGINAL_TIME: 0x9291, DIGITISED_TIME: 0x9292, CHANGED_TIME: 0x9290}
_ZONES = {ORIGINAL_TIME: 0x9011, DIGITISED_TIME: 0x9012, CHANGED_TIME: 0x9010}

_ISO, _SENSITIVITY_TYPE, _STANDARD_OUTPUT, _RECOMMENDED, _ISO_SPEED = 0x8827, 0x8830, 0x8831, 0x8832, 0x8833
# The maximum of sixteen bits; the highest value refers to another tag. Source: Exif 2.32, 4.6.5 and annex G.
_ISO_ELSEWHERE = 65_535
_SENSITIVITY_TAGS = {1: _STANDARD_OUTPUT, 2: _RECOMMENDED, 3: _ISO_SPEED, 5: _ISO_SPEED}
_MAX_ISO = 2**31 - 1


def facts_of(lookup: Lookup) -> dict[str, FactValue]:
    """Return all facts except time and place, by name; missing and implausible ones are omitted."""
    found = {name: read(lookup) for name, read in READERS.items()}
    return {name: value for name, value in found.items() if value is not None}


def time_of(lookup: Lookup, tag: int) -> str | None:
    """Return one of the three times, with its own fraction and time zone."""
    return read_time(text_of(lookup(tag)), text_of(lookup(_FRACTIONS[tag])), text_of(lookup(_ZONES[tag])))


def _text(tag: int, *windows_tags: int) -> _Reader:
    def read(lookup: Lookup) -> str | None:
        written = (text_of(lookup(tag)), *(utf16_of(lookup(other)) for other in windows_tags))
        return next((text for text in written if text), None)

    return read


def _number(tag: int, minimum: float, maximum: float, layout: str = ".6g") -> _Reader:
    # Significant digits by default: a fixed number of decimal places would turn 1/64000 into 1/62500.
    def read(lookup: Lookup) -> float | None:
        number = number_of(lookup(tag))
        return float(format(number, layout)) if number is not None and minimum <= number <= maximum else None

    return read


def _integer(tag: int, maximum: int) -> _Reader:
    def read(lookup: Lookup) -> int | None:
        number = number_of(lookup(tag))
        return int(number) if number is not None and 1 <= number <= maximum else None

    return read


def _first(*readers: _Reader) -> _Reader:
    def read(lookup: Lookup) -> FactValue | None:
        return next((value for reader in readers if (value := reader(lookup)) is not None), None)

    return read


def _sensitivity(lookup: Lookup) -> FactValue | None:
    iso = _integer(_ISO, _MAX_ISO)(lookup)
    if iso is not None and iso != _ISO_ELSEWHERE:
        return iso
    kind = number_of(lookup(_SENSITIVITY_TYPE))
    tags: tuple[int, ...] = (_RECOMMENDED, _ISO_SPEED, _STANDARD_OUTPUT)
    if kind in _SENSITIVITY_TAGS:
        tags = (_SENSITIVITY_TAGS[int(kind)], *tags)
    return _first(*(_integer(tag, _MAX_ISO) for tag in tags))(lookup)


def _from_apex(tag: int, seconds_or_f_number: Callable[[float], float]) -> _Reader:
    """Read a logarithm that accompanies exposure time or f-number. Source: Exif 2.32, annex C."""

    def read(lookup: Lookup) -> float | None:
        number = number_of(lookup(tag))
        return float(f"{seconds_or_f_number(number):.3g}") if number is not None and abs(number) <= 20 else None

    return read


def _flash_fired(lookup: Lookup) -> bool | None:
    number = number_of(lookup(FLASH))
    return bool(int(number) & 1) if number is not None and 0 <= number <= 0xFFFF else None


_TINY = 1e-9
READERS: dict[str, _Reader] = {
    "camera_make": _text(0x010F),
    "camera_model": _text(0x0110),
    "software": _text(0x0131),
    "artist": _text(0x013B, 0x9C9D),
    "copyright": _text(0x8298),
    "description": _text(0x010E, 0x9C9B, 0x9C9F),
    "lens_make": _text(0xA433),
    "lens": _text(0xA434),
    "exposure_time": _first(_number(0x829A, _TINY, 1e6), _from_apex(0x9201, lambda speed: 2**-speed)),
    "f_number": _first(_number(0x829D, _TINY, 1e4), _from_apex(0x9202, lambda aperture: 2 ** (aperture / 2))),
    "iso": _sensitivity,
    "exposure_bias": _number(0x9204, -100, 100, ".2f"),
    "focal_length": _number(0x920A, _TINY, 1e6),
    "focal_length_35mm": _integer(0xA405, 1_000_000),
    "flash_fired": _flash_fired,
}
