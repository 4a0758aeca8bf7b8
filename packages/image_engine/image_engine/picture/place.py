"""Read the location of a photograph; an ambiguous one is ignored."""

import math
import re

from image_engine.picture.camera_values import Value, number_of, text_of
from image_engine.picture.tiff_directories import Tags

Place = dict[str, float]

_MAX_ALTITUDE_METRES = 100_000
# Relative to sea level and, since Exif 3.0, to the ellipsoid.
_BELOW = {(1,), (3,), b"\x01", b"\x03", b"1", b"3", b"1\x00", b"3\x00", "1", "3"}
# Source: XMP Specification Part 2, 1.2.7.4 (GPSCoordinate): "DDD,MM,SSk" or "DDD,MM.mmk".
_XMP_COORDINATE = re.compile(
    r"(\d{1,3}(?:\.\d{1,15})?)(?:,(\d{1,2}(?:\.\d{1,15})?))?(?:,(\d{1,2}(?:\.\d{1,15})?))?[ ]?([NSEW])",
    re.ASCII | re.IGNORECASE,
)


def place_of_exif(gps: Tags) -> Place | None:
    """Read the location of EXIF's GPS directory. Source: Exif 2.32, 4.6.6."""
    latitude = _degrees(gps.get(2), text_of(gps.get(1)), "NS")
    longitude = _degrees(gps.get(4), text_of(gps.get(3)), "EW")
    return _place(latitude, longitude, gps.get(6), gps.get(5))


def place_of_xmp(latitude: Value, longitude: Value, altitude: Value, altitude_reference: Value) -> Place | None:
    """Read the location of XMP's `exif:GPSLatitude` and related properties."""
    return _place(_xmp_degrees(latitude, "NS"), _xmp_degrees(longitude, "EW"), altitude, altitude_reference)


def _place(latitude: float | None, longitude: float | None, altitude: Value, reference: Value) -> Place | None:
    if latitude is None or longitude is None:
        return None
    place = {"latitude": latitude, "longitude": longitude}
    metres = number_of(altitude)
    if metres is not None and abs(metres) < _MAX_ALTITUDE_METRES:
        place["altitude"] = round(-abs(metres) if reference in _BELOW else metres, 2)
    return place


def _xmp_degrees(value: Value, references: str) -> float | None:
    found = _XMP_COORDINATE.fullmatch(value.strip()) if isinstance(value, str) else None
    return _degrees(tuple(float(part or 0) for part in found.groups()[:3]), found[4], references) if found else None


def _degrees(value: Value, reference: str | None, references: str) -> float | None:
    # Without its reference a coordinate may be on the other side of the earth.
    sign = (reference or "?")[0].upper()
    if not isinstance(value, tuple) or len(value) > 3 or sign not in references:
        return None
    # Some writers leave seconds or minutes undefined (0/0) and put the fraction before them.
    parts = [value[0], *(part if math.isfinite(part) else 0.0 for part in value[1:])]
    degrees = sum(part / unit for part, unit in zip(parts, (1, 60, 3600), strict=False))
    if not all(part >= 0 for part in parts) or degrees > (90 if "N" in references else 180):
        return None
    return round(-degrees if sign in "SW" else degrees, 7)
