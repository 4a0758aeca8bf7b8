"""Areas as callers write them: a circle around a place, or a box between meridians and parallels."""

import re
from typing import NamedTuple

from image_core.capture.place_cells import MAX_RADIUS_METRES, Range, boxes_around, boxes_of, ranges_of

_NUMBER = re.compile(r"[+-]?\d{1,10}(?:\.\d{1,15})?", re.ASCII)


class Circle(NamedTuple):
    """Every place within a distance of another; degrees and metres."""

    latitude: float
    longitude: float
    radius_metres: float

    def ranges(self) -> list[Range]:
        """Return ranges of cells that cover the circle."""
        return ranges_of(boxes_around(*self))


class Area(NamedTuple):
    """Every place between two meridians and two parallels, in degrees.

    It crosses the date line if west is greater than east.
    """

    west: float
    south: float
    east: float
    north: float

    def ranges(self) -> list[Range]:
        """Return ranges of cells that cover the area."""
        return ranges_of(boxes_of(*self))


def parse_circle(text: str) -> Circle:
    """Parse `latitude,longitude,radius in metres`.

    Raises:
        ValueError: The text is not a circle on the earth.
    """
    circle = Circle(*_numbers(text, "latitude,longitude,radius_m", 3))
    _check_place(circle.latitude, circle.longitude)
    if not 0 < circle.radius_metres <= MAX_RADIUS_METRES:
        raise ValueError(f"the radius has to be above 0 and at most {MAX_RADIUS_METRES} metres")
    return circle


def parse_area(text: str) -> Area:
    """Parse `west,south,east,north`. Source: RFC 7946, section 5.

    Raises:
        ValueError: The text is not an area on the earth.
    """
    area = Area(*_numbers(text, "west,south,east,north", 4))
    _check_place(area.south, area.west)
    _check_place(area.north, area.east)
    if area.south > area.north:
        raise ValueError("south is greater than north")
    return area


def _numbers(text: str, form: str, count: int) -> list[float]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != count or not all(map(_NUMBER.fullmatch, parts)):
        raise ValueError(f"send {count} numbers as {form}")
    return [float(part) for part in parts]


def _check_place(latitude: float, longitude: float) -> None:
    if abs(latitude) > 90 or abs(longitude) > 180:
        raise ValueError("latitudes lie between -90 and 90, longitudes between -180 and 180")
