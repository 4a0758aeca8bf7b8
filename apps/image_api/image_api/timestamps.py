"""Times as callers send them."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("this time does not exist in UTC") from error


UtcTime = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A time with its offset; within an offset of either end of the calendar there is none that could be stored."""
