"""Read times as cameras and editors write them."""

import re
from datetime import datetime

# The year is first everywhere; the signs between, and what may be missing, differ from writer to writer.
_TIME = re.compile(
    r"""
    (?P<year>\d{4}) [:/.-]?[ ]?(?P<month>\d{1,2}) [:/.-]?[ ]?(?P<day>\d{1,2})
    (?: [T:_ ]*
        (?P<hour>\d{1,2}) :?[ ]?(?P<minute>\d{1,2}) (?: :?[ ]?(?P<second>\d{1,2}) (?: [.,](?P<fraction>\d+) )? )?
    )?
    [ :]*
    (?P<zone> Z | UTC | GMT | (?:UTC|GMT)?[+-]\d{1,2}(?::?\d{2})? )?
    """,
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_OFFSET = re.compile(r"(?:UTC|GMT)?(?P<sign>[+-])(?P<hours>\d{1,2}):?(?P<minutes>\d{2})?", re.ASCII | re.IGNORECASE)
_MAX_TEXT_LENGTH = 64
_MAX_FRACTION_DIGITS = 6
_MAX_OFFSET_HOURS = 14


def read_time(text: str | None, fraction: str | None = None, zone: str | None = None) -> str | None:
    """Give a time as RFC 3339, with a fraction and an offset only where they are written.

    `fraction` (digits) and `zone` stand beside the text and count where it has none itself. A text without a time of
    day gives its date alone. None for what is no time, such as `0000:00:00 00:00:00`.
    """
    found = _TIME.fullmatch((text or "").strip()[:_MAX_TEXT_LENGTH])
    if found is None:
        return None
    numbers = [int(found[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second")]
    try:
        moment = datetime(*numbers)  # type: ignore[arg-type]  # noqa: DTZ001 - cameras know no zone
    except ValueError:
        return None
    if found["hour"] is None:
        return moment.date().isoformat()
    return moment.isoformat() + _fraction(found["fraction"] or fraction) + (_offset(found["zone"]) or _offset(zone))


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
