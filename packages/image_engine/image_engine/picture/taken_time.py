"""Parse times as cameras and editors write them."""

import math
import re
from datetime import datetime, timedelta

# Separators and optional parts differ between writers. A time zone's name such as CEST is ambiguous, and is ignored.
_TIME = re.compile(
    r"""
    (?P<year>\d{4}) [:/._-]?[ ]?(?P<month>\d{1,2}) [:/._-]?[ ]?(?P<day>\d{1,2})
    (?: [T:_, ]*
        (?P<hour>\d{1,2}) [:.h]?[ ]?(?P<minute>\d{1,2})
        (?: [:.m]?[ ]?(?P<second>\d{1,2})s? (?: [.,](?P<fraction>\d+) )? )?
        (?: [ ]?(?P<half>[AP])\.?M\.? )?
    )?
    [ :]*
    (?P<zone> Z | UTC | GMT | (?:UTC|GMT)?[+-]\d{1,2}(?::?\d{2})? | [A-Z]{2,3}T )?
    """,
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
# The format of C's asctime: Thu Jul 15 10:20:30 2021.
_C_TIME = re.compile(r"[A-Z]{3} ([A-Z]{3}) +(\d{1,2}) (\d\d:\d\d:\d\d) (\d{4})", re.ASCII | re.IGNORECASE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_OFFSET = re.compile(r"(?:UTC|GMT)?(?P<sign>[+-])(?P<hours>\d{1,2}):?(?P<minutes>\d{2})?", re.ASCII | re.IGNORECASE)
_MAX_TEXT_LENGTH = 64
_MAX_FRACTION_DIGITS = 6
_MAX_OFFSET_HOURS = 14
_DAY_SECONDS = 86_400


def read_time(text: str | None, fraction: str | None = None, zone: str | None = None) -> str | None:
    """Return a time as RFC 3339, with a fraction and an offset only if they are present.

    `fraction` (digits) and `zone` come from separate tags and apply if the text has none itself. A text without a time
    of day gives only its date. None for invalid times, such as `0000:00:00 00:00:00`.
    """
    found = _TIME.fullmatch(_year_first(" ".join((text or "")[:_MAX_TEXT_LENGTH].split())))
    moment = _moment(found) if found else None
    if found is None or moment is None:
        return None
    if found["hour"] is None:
        return moment.date().isoformat()
    return moment.isoformat() + _fraction(found["fraction"] or fraction) + (_offset(found["zone"]) or _offset(zone))


def read_gps_time(date: str | None, time: tuple[float, ...] | None) -> str | None:
    """Return the satellites' time as RFC 3339 in UTC, in whole seconds; None if date or time make no sense.

    Source: Exif 2.32, 4.6.6 (GPSDateStamp, GPSTimeStamp).
    """
    if time is None or len(time) != 3 or not all(math.isfinite(part) and part >= 0 for part in time):
        return None
    day = read_time(date)
    seconds = int(3600 * time[0] + 60 * time[1] + time[2])
    if day is None or seconds > _DAY_SECONDS:
        return None
    try:
        moment = datetime.fromisoformat(day[:10]) + timedelta(seconds=seconds)
    except OverflowError:
        return None
    return moment.isoformat() + "+00:00"


def _year_first(text: str) -> str:
    found = _C_TIME.fullmatch(text)
    if found is None or found[1].lower() not in _MONTHS:
        return text
    return f"{found[4]}:{_MONTHS.index(found[1].lower()) + 1}:{found[2]} {found[3]}"


def _moment(found: re.Match[str]) -> datetime | None:
    # Cameras have no time zone.
    year, month, day, hour, minute, second = (
        int(found[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second")
    )
    if found["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if found["half"] in "Pp" else 0)
    # A day may end at 24:00:00, and a minute with a leap second.
    if minute > 59 or second > 60 or 3600 * hour + 60 * minute + second > _DAY_SECONDS:
        return None
    try:
        return datetime(year, month, day) + timedelta(hours=hour, minutes=minute, seconds=second)  # noqa: DTZ001
    except (ValueError, OverflowError):
        return None


def _fraction(written: str | None) -> str:
    digits = (written or "").strip()[:_MAX_FRACTION_DIGITS]
    return f".{digits}" if digits.isascii() and digits.isdigit() else ""


def _offset(written: str | None) -> str:
    zone = (written or "").strip().upper()
    if zone in {"Z", "UTC", "GMT"}:
        return "+00:00"
    found = _OFFSET.fullmatch(zone)
    if found is None:
        return ""
    hours, minutes = int(found["hours"]), int(found["minutes"] or 0)
    valid = hours * 60 + minutes <= _MAX_OFFSET_HOURS * 60 and minutes < 60
    return f"{found['sign']}{hours:02}:{minutes:02}" if valid else ""
