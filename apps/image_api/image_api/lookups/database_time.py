"""The database's time, read with each row: whatever ends, ends by that one clock, not by an instance's own."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func

from image_core.db import Record

database_now = func.clock_timestamp().label("now")
"""The column that a query selects so that its row can be `Seen`."""


class Seen(NamedTuple):
    """A row and when it was asked for, in seconds of this process's monotonic clock."""

    row: Record
    asked_at: float

    def now(self, clock_seconds: float) -> datetime:
        """Return the database's time at `clock_seconds`: never behind it, since the row came after the question."""
        now: datetime = self.row["now"] + timedelta(seconds=clock_seconds - self.asked_at)
        return now
