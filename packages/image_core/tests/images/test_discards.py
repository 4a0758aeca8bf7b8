"""How long the removal of an object waits before it is tried again."""

from datetime import timedelta

import pytest
from sqlalchemy import Integer, column, func, select, values

from image_core.db import Database
from image_core.images.discards import retry_at


@pytest.mark.parametrize(
    ("attempts", "wait"),
    [(0, timedelta(minutes=5)), (3, timedelta(minutes=40)), (9, timedelta(days=1)), (2000, timedelta(days=1))],
)
async def test_each_attempt_waits_twice_as_long_and_none_beyond_a_day(
    rows: Database, attempts: int, wait: timedelta
) -> None:
    made = values(column("attempts", Integer), name="made").data([(attempts,)])
    assert await rows.fetch_value(select(retry_at(made.c.attempts) - func.now())) == wait
