"""Timestamps as callers send them."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator

from image_core import errors

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# An unescaped plus sign in a query string arrives as a space.
_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?)(?:([Zz])|([+ -])(\d{2}):?(\d{2}))", re.ASCII
)


def _read(value: Any) -> Any:
    """Return the time in a text, in UTC; a date alone means midnight. Numbers are not accepted."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise ValueError(_WANTED)  # noqa: TRY004 (pydantic takes only this)
    match = _TIME.fullmatch(value)
    if match is None and not _DATE.fullmatch(value):
        raise ValueError(_WANTED)
    try:
        return datetime.fromisoformat(f"{value}T00:00:00+00:00" if match is None else _iso(match)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"this time does not exist; {_WANTED}") from None


_WANTED = "send a time with its zone such as 2026-03-01T12:00:00Z, or a date such as 2026-03-01 for its midnight in UTC"


def _iso(match: re.Match[str]) -> str:
    day, time, utc, sign, hours, minutes = match.groups()
    return f"{day}T{time}" + ("+00:00" if utc else f"{sign.replace(' ', '+')}{hours}:{minutes}")


UtcTime = Annotated[AwareDatetime, BeforeValidator(_read)]
"""A time with its offset, or a date; values within an offset of the calendar's ends are rejected."""


def check_period(after: datetime | None, before: datetime | None, name: str = "created") -> None:
    """Check a period; `name` is that of its two parameters without `_after` and `_before`.

    Raises:
        ValueError: `before` is not later than `after`.
    """
    if after is not None and before is not None and after >= before:
        raise ValueError(f"`{name}_after` is not before `{name}_before`, so no image can match both")


def check_in_future(field: str, time: datetime | None, now: datetime) -> None:
    """Check the time in a field of a request.

    Raises:
        errors.RequestInvalid: It is in the past.
    """
    if time is not None and time <= now:
        message = "The time is in the past. Send a later time."
        raise errors.invalid_fields([{"field": field, "code": "in-the-past", "message": message}])
