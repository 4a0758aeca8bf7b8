"""Cells of places, and the ranges that cover an area: across the date line, around the poles, on every edge."""

import math
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from image_core.capture.place_cells import (
    EARTH_RADIUS_METRES,
    MAX_RADIUS_METRES,
    MAX_RANGES,
    boxes_around,
    boxes_of,
    cell_of,
    ranges_of,
)

LATITUDES, LONGITUDES = st.floats(-90, 90), st.floats(-180, 180)
RADII = st.floats(0, MAX_RADIUS_METRES) | st.floats(0, 5_000)


def distance(first: tuple[float, float], second: tuple[float, float]) -> float:
    (up, across), (other_up, other_across) = (tuple(map(math.radians, place)) for place in (first, second))
    half = (
        math.sin((up - other_up) / 2) ** 2
        + math.cos(up) * math.cos(other_up) * math.sin((across - other_across) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_METRES * math.asin(min(1, math.sqrt(half)))


def is_covered(place: tuple[float, float], ranges: list[tuple[int, int]]) -> bool:
    return any(first <= cell_of(*place) <= last for first, last in ranges)


@given(LATITUDES, LONGITUDES)
@example(90, 180)
@example(-90, -180)
def test_a_cell_fits_a_bigint(latitude: float, longitude: float) -> None:
    assert 0 <= cell_of(latitude, longitude) < 2**62


def test_cells_differ_for_places_two_centimetres_apart() -> None:
    assert len({cell_of(59.9 + n * 2e-7, 10.7) for n in range(10)}) == 10
    assert len({cell_of(59.9, 10.7 + n * 4e-7) for n in range(10)}) == 10


@given(LATITUDES, LONGITUDES, LATITUDES, LONGITUDES, RADII)
@example(0, 179.999, 0, -179.999, 300)
@example(0, -179.999, 0, 179.999, 300)
@example(89.999, 0, 89.999, 180, 300)
@example(-89.999, 90, -89.999, -90, 300)
@example(10, 20, -10, -160, MAX_RADIUS_METRES)
@example(0, 180, 0, -180, 0)
def test_every_place_within_the_distance_is_covered(
    latitude: float, longitude: float, other_latitude: float, other_longitude: float, radius: float
) -> None:
    ranges = ranges_of(boxes_around(latitude, longitude, radius))
    if distance((latitude, longitude), (other_latitude, other_longitude)) <= radius:
        assert is_covered((other_latitude, other_longitude), ranges)
    assert is_covered((latitude, longitude), ranges)


@given(LONGITUDES, LATITUDES, LONGITUDES, LATITUDES, st.floats(0, 1), st.floats(0, 1))
@example(-1e-205, 0, -1e-205, 0, 0, 0)
def test_every_place_of_a_box_is_covered(
    west: float, south: float, east: float, north: float, across: float, up: float
) -> None:
    south, north = min(south, north), max(south, north)
    boxes = boxes_of(west, south, east, north)
    assert all(box.west <= box.east for box in boxes)
    ranges = ranges_of(boxes)
    for box in boxes:
        place = (
            min(box.south + up * (box.north - box.south), box.north),
            min(box.west + across * (box.east - box.west), box.east),
        )
        assert is_covered(place, ranges)


@given(LATITUDES, LONGITUDES, RADII)
def test_ranges_are_few_ordered_and_apart(latitude: float, longitude: float, radius: float) -> None:
    ranges = ranges_of(boxes_around(latitude, longitude, radius))
    assert len(ranges) <= MAX_RANGES
    assert all(first <= last for first, last in ranges)
    assert all(before[1] < after[0] - 1 for before, after in pairwise(ranges))


def test_what_is_covered_is_hardly_more_than_the_area() -> None:
    # A kilometre around Oslo: at most eight times as many cells as the box has.
    (box,) = boxes_around(59.91, 10.73, 1_000)
    cells = sum(last - first + 1 for first, last in ranges_of([box]))
    share = (box.east - box.west) / 360 * (box.north - box.south) / 180
    assert cells / 2**62 <= 8 * share


@pytest.mark.parametrize(
    ("area", "places"),
    [
        ((170, -10, -170, 10), [(0, 175), (0, -175), (0, 180), (0, -180)]),
        ((170, -10, 180, 10), [(0, -180)]),
        ((-180, -10, -170, 10), [(0, 180)]),
    ],
)
def test_the_date_line_belongs_to_both_sides(
    area: tuple[float, float, float, float], places: list[tuple[float, float]]
) -> None:
    boxes = boxes_of(*area)
    for latitude, longitude in places:
        assert any(box.west <= longitude <= box.east and box.south <= latitude <= box.north for box in boxes)
    assert not is_covered((0, 0), ranges_of(boxes))
