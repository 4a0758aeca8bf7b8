"""Warnings of keys that expire soon."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from image_api.credentials import tasks as room
from image_api.tasks.runner import Budget
from image_core import errors, testing
from image_core.models import (
    credential,
    event,
    user,
)

from ..housekeeping import PAST, Tasks


class TestExpiryWarnings:
    async def key(self, tasks: Tasks, ends_in: timedelta, **columns: Any) -> testing.UserWithKey:
        team_id = await testing.add_team(tasks.rows)
        owner = await testing.add_user(tasks.rows, team_id)
        ends_at = datetime.now(UTC) + ends_in
        return await testing.add_key(tasks.rows, owner.user_id, team_id, expires_at=ends_at, **columns)

    async def test_a_key_is_told_of_a_week_and_a_day_before_its_end_once_each(self, tasks: Tasks) -> None:
        made = await self.key(tasks, timedelta(days=8))

        async def ends_in(**left: int) -> int:
            ends_at = datetime.now(UTC) + timedelta(**left)
            mine = credential.c.id == made.credential_id
            await tasks.rows.execute(update(credential).where(mine).values(expires_at=ends_at))
            return (await tasks.sweep())["expiry_warnings"]

        assert (await tasks.sweep())["expiry_warnings"] == 0
        assert [await ends_in(days=6), await ends_in(days=5)] == [1, 0]
        assert [await ends_in(hours=23), await ends_in(hours=1), await ends_in(hours=-1)] == [1, 0, 0]
        assert await tasks.events() == [("credential.expiring", True)] * 2
        told = await tasks.rows.fetch_one(select(event.c.team_id, event.c.payload))
        assert told is not None
        assert told["team_id"] == made.team_id
        assert str(made.credential_id) in told["payload"]
        assert made.api_key[:11] in told["payload"]
        assert made.api_key not in told["payload"]

    async def test_whoever_missed_the_week_is_told_once(self, tasks: Tasks) -> None:
        await self.key(tasks, timedelta(hours=5))
        assert [(await tasks.sweep())["expiry_warnings"] for _ in range(2)] == [1, 0]

    async def test_a_key_made_for_less_than_a_week_is_told_of_on_its_last_day_only(self, tasks: Tasks) -> None:
        await self.key(tasks, timedelta(days=2), expiry_warnings=1)
        await self.key(tasks, timedelta(hours=2), expiry_warnings=1)
        assert (await tasks.sweep())["expiry_warnings"] == 1

    async def test_nobody_is_told_of_keys_that_do_not_end_or_are_over(self, tasks: Tasks) -> None:
        await self.key(tasks, timedelta(hours=2), revoked_at=PAST)
        await self.key(tasks, timedelta(hours=-2))
        disabled = await self.key(tasks, timedelta(hours=2))
        mine = user.c.id == disabled.user_id
        await tasks.rows.execute(update(user).where(mine).values(disabled_at=PAST))
        assert (await tasks.sweep())["expiry_warnings"] == 0

    async def test_a_batch_takes_no_more_keys_than_its_bound(
        self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room, "BATCH", 1)
        for _ in range(2):
            await self.key(tasks, timedelta(hours=2))
        assert [await room.warn_of_expiry(tasks.parts, Budget("warned", 30)) for _ in range(3)] == [1, 1, 0]

    async def test_two_sweeps_at_once_tell_once(self, tasks: Tasks) -> None:
        for _ in range(5):
            await self.key(tasks, timedelta(hours=2))
        counts = await asyncio.gather(*(tasks.sweep() for _ in range(3)))
        assert sum(each["expiry_warnings"] for each in counts) == 5
        assert len(await tasks.events()) == 5

    async def test_without_the_event_a_key_is_not_marked(self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
        made = await self.key(tasks, timedelta(hours=2))

        async def broken(*_: Any) -> None:
            raise errors.DatabaseUnavailable("Away.")

        with monkeypatch.context() as patched:
            patched.setattr("image_api.credentials.tasks.events.record", broken)
            assert (await tasks.sweep())["expiry_warnings"] == -1
        mine = select(credential.c.expiry_warnings).where(credential.c.id == made.credential_id)
        assert await tasks.rows.fetch_value(mine) == 0
        assert (await tasks.sweep())["expiry_warnings"] == 1
