"""Circles and boxes as callers write them."""

import pytest

from image_core.capture.areas import Area, Circle, parse_area, parse_circle


def test_numbers_are_read_in_their_order() -> None:
    assert parse_circle("59.91, -10.75,1000") == Circle(59.91, -10.75, 1000)
    assert parse_area("170,-10,-170.5,+10") == Area(170, -10, -170.5, 10)


@pytest.mark.parametrize("text", ["90,180,20100000", "-90,-180,0.001"])
def test_the_edges_of_the_earth_are_places(text: str) -> None:
    parse_circle(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("59,10", "send 3 numbers"),
        ("59,10,1,1", "send 3 numbers"),
        ("59,nan,1", "send 3 numbers"),
        ("59,1e3,1", "send 3 numbers"),
        ("59,٣,1", "send 3 numbers"),
        ("90.1,0,1", "latitudes lie"),
        ("0,-180.1,1", "longitudes"),
        ("0,0,0", "radius"),
        ("0,0,-1", "radius"),
        ("0,0,20100001", "radius"),
    ],
)
def test_what_is_no_circle_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_circle(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,0,1", "send 4 numbers"),
        ("0,10,1,9", "south is greater"),
        ("0,0,1,91", "latitudes"),
        ("-181,0,1,1", "longitudes"),
        ("0,-91,1,1", "latitudes"),
        ("0,0,181,1", "longitudes"),
    ],
)
def test_what_is_no_area_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_area(text)
