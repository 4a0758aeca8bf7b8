"""Teams that come near the bytes that may be delivered for them in a month."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import insert, select, update

from image_core import testing
from image_core.models import delivery_usage, event

from ..housekeeping import Tasks

FIRST = datetime.now(UTC).date().replace(day=1)
LAST_MONTH = FIRST - timedelta(days=1)


@pytest.fixture
async def limited(tasks: Tasks) -> AsyncIterator[Tasks]:
    """`image-tasks` that lets each team have 1,000 bytes a month."""
    unlimited = tasks.parts
    settings = unlimited.settings.model_copy(update={"delivery_bytes_per_month": 1000})
    tasks.app.state.parts = replace(unlimited, settings=settings)
    yield tasks
    tasks.app.state.parts = unlimited


async def deliver(tasks: Tasks, team_id: UUID, size_bytes: int, day: date = FIRST) -> None:
    values = {"team_id": team_id, "day": day, "bytes": size_bytes}
    await tasks.rows.execute(insert(delivery_usage).values(values))


async def warnings(tasks: Tasks) -> list[tuple[UUID, dict[str, Any]]]:
    rows = await tasks.rows.fetch(select(event.c.team_id, event.c.payload).where(event.c.type == "delivery.quota_low"))
    return [(row[0], orjson.loads(row[1])) for row in rows]


async def told(tasks: Tasks) -> int:
    return (await tasks.sweep())["delivery_told"]


async def test_a_team_is_told_once_a_month_on_the_day_that_reached_four_fifths(limited: Tasks) -> None:
    team_id = await testing.add_team(limited.rows)
    await deliver(limited, team_id, 10_000, LAST_MONTH)
    await deliver(limited, team_id, 799)
    assert await told(limited) == 0
    second = FIRST + timedelta(days=1)
    await deliver(limited, team_id, 1, second)
    await deliver(limited, team_id, 500, second + timedelta(days=1))
    assert [await told(limited) for _ in range(2)] == [1, 0]
    payload = {"month": f"{FIRST:%Y-%m}", "used_bytes": 1300, "quota_bytes": 1000}
    assert await warnings(limited) == [(team_id, payload)]
    assert await limited.events() == [("delivery.quota_low", True)]
    marked = select(delivery_usage.c.day).where(delivery_usage.c.warned_at.is_not(None))
    assert [row[0] for row in await limited.rows.fetch(marked)] == [second]


async def test_the_warning_of_last_month_does_not_silence_that_of_this_one(limited: Tasks) -> None:
    team_id = await testing.add_team(limited.rows)
    await deliver(limited, team_id, 900, LAST_MONTH)
    await limited.rows.execute(update(delivery_usage).values(warned_at=datetime.now(UTC)))
    await deliver(limited, team_id, 800)
    assert await told(limited) == 1


async def test_each_team_is_told_of_its_own_bytes(limited: Tasks) -> None:
    heavy, light, other = [await testing.add_team(limited.rows) for _ in range(3)]
    for team_id, size_bytes in ((heavy, 801), (light, 799), (other, 5000)):
        await deliver(limited, team_id, size_bytes)
    assert await told(limited) == 2
    assert {team_id: each["used_bytes"] for team_id, each in await warnings(limited)} == {heavy: 801, other: 5000}


async def test_sweeps_at_once_tell_a_team_once(limited: Tasks) -> None:
    await deliver(limited, await testing.add_team(limited.rows), 900)
    assert sum(await asyncio.gather(*(told(limited) for _ in range(4)))) == 1
    assert len(await warnings(limited)) == 1


async def test_more_teams_than_one_statement_takes_are_all_told(
    limited: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_api.delivery_usage.tasks.BATCH", 1)
    for _ in range(3):
        await deliver(limited, await testing.add_team(limited.rows), 900)
    assert await told(limited) == 3


async def test_without_a_limit_nobody_is_told(tasks: Tasks) -> None:
    await deliver(tasks, await testing.add_team(tasks.rows), 10**12)
    assert await told(tasks) == 0
    assert await warnings(tasks) == []
