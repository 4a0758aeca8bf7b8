"""Places as numbers of cells, so that a plain index finds the images of an area.

A cell is 180 / 2^31 degrees of latitude high (9 mm) and twice as many degrees of longitude wide. The bits of both
coordinates alternate (Morton code), so that every square of a quadtree is one range of numbers. An area is covered by a
few squares; whoever looks images up also compares the exact place.
"""

import heapq
import math
from itertools import count
from typing import NamedTuple

EARTH_RADIUS_METRES = 6_371_008.8
"""Mean radius. Source: IUGG, R1 of GRS 80."""
MAX_RADIUS_METRES = 20_100_000
"""More than half of the circumference: a circle of this radius holds every place."""
_LEVELS = 31
_STEPS: int = 2**_LEVELS
MAX_RANGES = 12
_MARGIN = 1e-9
"""Degrees, a tenth of a millimetre: rounding must not leave out a place on the edge of an area."""

Range = tuple[int, int]
"""The first and the last cell of a square."""


class Box(NamedTuple):
    """An area between two meridians and two parallels, in degrees; west is never greater than east."""

    west: float
    south: float
    east: float
    north: float

    def meets(self, other: "Box") -> bool:
        """Return whether two areas share a point."""
        return (
            self.west <= other.east
            and other.west <= self.east
            and self.south <= other.north
            and other.south <= self.north
        )

    def holds(self, other: "Box") -> bool:
        """Return whether another area lies within this one."""
        return (
            self.west <= other.west
            and other.east <= self.east
            and self.south <= other.south
            and other.north <= self.north
        )


class _Square(NamedTuple):
    """A square of the quadtree: its level (0: the whole earth) and its number among those of the level."""

    level: int
    number: int
    box: Box

    @property
    def cells(self) -> Range:
        below = 2 * (_LEVELS - self.level)
        return self.number << below, ((self.number + 1) << below) - 1

    def quarters(self) -> list["_Square"]:
        west, south, east, north = self.box
        middle, equator = (west + east) / 2, (south + north) / 2
        parts = (
            Box(west, south, middle, equator),
            Box(middle, south, east, equator),
            Box(west, equator, middle, north),
            Box(middle, equator, east, north),
        )
        return [_Square(self.level + 1, self.number * 4 + part, box) for part, box in enumerate(parts)]


_EARTH = _Square(0, 0, Box(-180, -90, 180, 90))


def cell_of(latitude: float, longitude: float) -> int:
    """Return the cell of a place in degrees: 0 to 2^62 - 1."""
    across, up = _step(longitude, 180), _step(latitude, 90)
    cell = 0
    for bit in reversed(range(_LEVELS)):
        cell = cell << 2 | (up >> bit & 1) << 1 | (across >> bit & 1)
    return cell


def _step(degrees: float, half: int) -> int:
    return min(int((degrees + half) / (2 * half) * _STEPS), _STEPS - 1)


def boxes_of(west: float, south: float, east: float, north: float) -> list[Box]:
    """Return an area in one or two boxes: it crosses the date line if west is greater than east (RFC 7946, 5.2).

    The meridians 180 and -180 are the same, so an area that touches one of them has places written with the other.
    """
    if west > east:
        return [Box(west, south, 180, north), Box(-180, south, east, north)]
    boxes = [Box(west, south, east, north)]
    if west == -180 and east < 180:
        boxes.append(Box(180, south, 180, north))
    if east == 180 and west > -180:
        boxes.append(Box(-180, south, -180, north))
    return boxes


def boxes_around(latitude: float, longitude: float, radius_metres: float) -> list[Box]:
    """Return boxes that hold every place within a distance, across the date line and around the poles.

    Source: J. P. Matuschek, Finding Points Within a Distance of a Latitude/Longitude Using Bounding Coordinates.
    """
    angle = radius_metres / EARTH_RADIUS_METRES
    reach = math.degrees(angle)
    south, north = latitude - reach, latitude + reach
    if south <= -90 or north >= 90:
        # The circle holds a pole, and with it every meridian.
        return [Box(-180, max(south, -90), 180, min(north, 90))]
    width = math.degrees(math.asin(min(1, math.sin(angle) / math.cos(math.radians(latitude)))))
    west, east = longitude - width, longitude + width
    return boxes_of(west + 360 if west < -180 else west, south, east - 360 if east > 180 else east, north)


def ranges_of(boxes: list[Box]) -> list[Range]:
    """Return at most 12 ranges of cells that cover the boxes, in ascending order.

    The largest squares that lie only partly inside are divided first.
    """
    boxes = [
        Box(west - _MARGIN, south - _MARGIN, east + _MARGIN, north + _MARGIN) for west, south, east, north in boxes
    ]
    order = count()
    whole: list[_Square] = []
    partial = [(_EARTH.level, next(order), _EARTH)]
    while partial and len(whole) + len(partial) + 3 <= MAX_RANGES:
        _, _, square = heapq.heappop(partial)
        for quarter in square.quarters():
            if any(box.holds(quarter.box) for box in boxes) or quarter.level == _LEVELS:
                whole.append(quarter)
            elif any(box.meets(quarter.box) for box in boxes):
                heapq.heappush(partial, (quarter.level, next(order), quarter))
    squares = sorted(square.cells for square in (*whole, *(square for _, _, square in partial)))
    return _joined(squares)


def _joined(ranges: list[Range]) -> list[Range]:
    joined = ranges[:1]
    for first, last in ranges[1:]:
        if first == joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined
