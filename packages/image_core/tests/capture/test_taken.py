"""When a photograph was taken, from the times that its file has."""

from datetime import UTC, datetime
from typing import Any

import pytest

from image_core.capture.place_cells import cell_of
from image_core.capture.taken import Capture, capture_of
from image_core.states import TakenAtSource


def taken(taken_at: str | None, gps_time: str | None = None) -> tuple[str | None, str, str | None]:
    exif = {"taken_at": taken_at, "gps_time": gps_time and f"{gps_time}+00:00"}
    found = capture_of({"exif": exif, "location": None})
    assert found.taken_at is None or found.taken_at.tzinfo is UTC
    instant = found.taken_at and found.taken_at.replace(tzinfo=None)
    return shown(instant), found.taken_at_source, shown(found.taken_local)


def shown(time: datetime | None) -> str | None:
    return time and time.isoformat().replace(".250000", ".25")


@pytest.mark.parametrize(
    ("taken_at", "gps_time", "instant", "source", "local"),
    [
        ("2021-07-15T10:20:30.25+02:00", None, "2021-07-15T08:20:30.25", "exif", "2021-07-15T10:20:30.25"),
        # The file's own offset is taken, whatever the satellites say.
        ("2021-07-15T10:20:30+02:00", "2021-07-15T09:20:30", "2021-07-15T08:20:30", "exif", "2021-07-15T10:20:30"),
        ("2021-07-15T10:20:30", None, "2021-07-15T10:20:30", "camera-clock", "2021-07-15T10:20:30"),
        ("2021-07-15", None, "2021-07-15T00:00:00", "camera-clock", "2021-07-15T00:00:00"),
        # Two hours ahead, and two minutes apart.
        ("2021-07-15T10:20:30", "2021-07-15T08:18:30", "2021-07-15T08:20:30", "gps", "2021-07-15T10:20:30"),
        # Nepal.
        ("2021-07-15T10:20:30", "2021-07-15T04:35:30", "2021-07-15T04:35:30", "gps", "2021-07-15T10:20:30"),
        # Behind UTC, over midnight.
        ("2021-07-14T22:20:30", "2021-07-15T08:20:30", "2021-07-15T08:20:30", "gps", "2021-07-14T22:20:30"),
        # Not near a quarter of an hour; more than fourteen hours; exactly fourteen.
        ("2021-07-15T10:20:30", "2021-07-15T08:14:00", "2021-07-15T10:20:30", "camera-clock", "2021-07-15T10:20:30"),
        ("2021-07-15T23:20:30", "2021-07-15T09:05:30", "2021-07-15T23:20:30", "camera-clock", "2021-07-15T23:20:30"),
        ("2021-07-15T23:20:30", "2021-07-15T09:20:30", "2021-07-15T09:20:30", "gps", "2021-07-15T23:20:30"),
        (None, "2021-07-15T08:20:30", "2021-07-15T08:20:30", "gps", "2021-07-15T08:20:30"),
        (None, None, None, "unknown", None),
        ("yesterday", None, None, "unknown", None),
        ("0001-01-01T00:00:00+14:00", None, None, "unknown", None),
        ("9999-12-31T23:00:00-02:00", None, None, "unknown", None),
    ],
)  # fmt: skip
def test_the_instant_is_the_best_that_the_file_gives(
    taken_at: str | None, gps_time: str | None, instant: str | None, source: str, local: str | None
) -> None:
    assert taken(taken_at, gps_time) == (instant, source, local)


@pytest.mark.parametrize("facts", [{}, {"exif": None}, {"exif": {"taken_at": 7}, "location": None}])
def test_facts_without_times_and_places_give_none(facts: dict[str, Any]) -> None:
    assert capture_of(facts) == Capture(None, TakenAtSource.UNKNOWN, None, None)


def test_the_place_becomes_its_cell() -> None:
    found = capture_of({"location": {"latitude": 59.9, "longitude": 10.7, "altitude": 3.0}})
    assert found.location_cell == cell_of(59.9, 10.7)
