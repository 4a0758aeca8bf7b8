"""The database's time, read with each row: expiry is judged by one clock, not by each instance's own."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func

from image_core.db import Record

database_now = func.clock_timestamp().label("now")
"""The column that a query selects so that its row can be `Seen`."""


class Seen(NamedTuple):
    """A row and the time of its query, in seconds of this process's monotonic clock."""

    row: Record
    asked_at: float

    def now(self, clock_seconds: float) -> datetime:
        """Return the database's time at `clock_seconds`: never behind it, as the row is newer than the query."""
        now: datetime = self.row["now"] + timedelta(seconds=clock_seconds - self.asked_at)
        return now
