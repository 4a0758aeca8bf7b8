"""When a photograph was taken: one instant, and what the camera's clock showed, from the times in its facts."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from image_core.capture.place_cells import cell_of
from image_core.states import TakenAtSource

_MAX_OFFSET = timedelta(hours=14)
_QUARTER = timedelta(minutes=15)
_TOLERANCE = timedelta(minutes=5)
"""How far a camera's clock and its satellites' time may be apart, apart from the offset of the zone."""


class Capture(NamedTuple):
    """What an image's columns say of its capture.

    Attributes:
        taken_at: the instant, in UTC; None if the file has no time.
        taken_at_source: where the instant comes from.
        taken_local: the camera's clock, without a zone, otherwise the instant in UTC.
        location_cell: the cell of the location; None if the file has none.
    """

    taken_at: datetime | None
    taken_at_source: TakenAtSource
    taken_local: datetime | None
    location_cell: int | None


def capture_of(facts: Mapping[str, Any]) -> Capture:
    """Return when and where a picture was taken. Facts that make no sense count as absent."""
    exif, location = facts.get("exif") or {}, facts.get("location")
    cell = None if location is None else cell_of(location["latitude"], location["longitude"])
    try:
        return Capture(*_times(_read(exif.get("taken_at")), _read(exif.get("gps_time"))), cell)
    except OverflowError:
        # An offset moved the first or the last day of the calendar out of it.
        return Capture(None, TakenAtSource.UNKNOWN, None, cell)


def _read(written: object) -> datetime | None:
    """Read a time as facts have it: with an offset, without one, or a date alone."""
    try:
        return datetime.fromisoformat(written) if isinstance(written, str) else None
    except ValueError:
        return None


def _times(clock: datetime | None, gps: datetime | None) -> tuple[datetime | None, TakenAtSource, datetime | None]:
    """Return the instant, its source, and the local time of the camera's clock and the satellites' time."""
    if clock is None:
        if gps is None:
            return None, TakenAtSource.UNKNOWN, None
        return gps.astimezone(UTC), TakenAtSource.GPS, gps.astimezone(UTC).replace(tzinfo=None)
    local = clock.replace(tzinfo=None)
    if clock.tzinfo is not None:
        return clock.astimezone(UTC), TakenAtSource.EXIF, local
    offset = None if gps is None else _plausible_offset(local - gps.astimezone(UTC).replace(tzinfo=None))
    if offset is not None:
        return (local - offset).replace(tzinfo=UTC), TakenAtSource.GPS, local
    return local.replace(tzinfo=UTC), TakenAtSource.CAMERA_CLOCK, local


def _plausible_offset(difference: timedelta) -> timedelta | None:
    """Return the offset of a zone that explains a difference from UTC; zones differ by quarters of an hour."""
    offset = round(difference / _QUARTER) * _QUARTER
    return offset if abs(offset) <= _MAX_OFFSET and abs(difference - offset) <= _TOLERANCE else None
