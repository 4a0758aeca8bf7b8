"""What the sweep tells beforehand: keys that end soon, and storage that runs low."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import delete, select, update

from image_core import errors, testing
from image_core.models import credential, event, image, user
from image_processor.housekeeping import sweep as sweep_steps

from ..conftest import Processor
from .test_sweep import PAST


class TestExpiryWarnings:
    async def key(self, processor: Processor, ends_in: timedelta, **columns: Any) -> testing.UserWithKey:
        team_id = await testing.add_team(processor.rows)
        owner = await testing.add_user(processor.rows, team_id)
        ends_at = datetime.now(UTC) + ends_in
        return await testing.add_key(processor.rows, owner.user_id, team_id, expires_at=ends_at, **columns)

    async def test_a_key_is_told_of_a_week_and_a_day_before_its_end_once_each(self, processor: Processor) -> None:
        made = await self.key(processor, timedelta(days=8))

        async def ends_in(**left: int) -> int:
            ends_at = datetime.now(UTC) + timedelta(**left)
            mine = credential.c.id == made.credential_id
            await processor.rows.execute(update(credential).where(mine).values(expires_at=ends_at))
            return (await processor.sweep())["expiry_warnings"]

        assert (await processor.sweep())["expiry_warnings"] == 0
        assert [await ends_in(days=6), await ends_in(days=5)] == [1, 0]
        assert [await ends_in(hours=23), await ends_in(hours=1), await ends_in(hours=-1)] == [1, 0, 0]
        assert await processor.events() == [("credential.expiring", True)] * 2
        told = await processor.rows.fetch_one(select(event.c.team_id, event.c.payload))
        assert told is not None
        assert told["team_id"] == made.team_id
        assert str(made.credential_id) in told["payload"]
        assert made.api_key[:11] in told["payload"]
        assert made.api_key not in told["payload"]

    async def test_whoever_missed_the_week_is_told_once(self, processor: Processor) -> None:
        await self.key(processor, timedelta(hours=5))
        assert [(await processor.sweep())["expiry_warnings"] for _ in range(2)] == [1, 0]

    async def test_a_key_made_for_less_than_a_week_is_told_of_on_its_last_day_only(self, processor: Processor) -> None:
        await self.key(processor, timedelta(days=2), expiry_warnings=1)
        await self.key(processor, timedelta(hours=2), expiry_warnings=1)
        assert (await processor.sweep())["expiry_warnings"] == 1

    async def test_nobody_is_told_of_keys_that_do_not_end_or_are_over(self, processor: Processor) -> None:
        await self.key(processor, timedelta(hours=2), revoked_at=PAST)
        await self.key(processor, timedelta(hours=-2))
        disabled = await self.key(processor, timedelta(hours=2))
        mine = user.c.id == disabled.user_id
        await processor.rows.execute(update(user).where(mine).values(disabled_at=PAST))
        assert (await processor.sweep())["expiry_warnings"] == 0

    async def test_two_sweeps_at_once_tell_once(self, processor: Processor) -> None:
        for _ in range(5):
            await self.key(processor, timedelta(hours=2))
        counts = await asyncio.gather(*(processor.sweep() for _ in range(3)))
        assert sum(each["expiry_warnings"] for each in counts) == 5
        assert len(await processor.events()) == 5

    async def test_without_the_event_a_key_is_not_marked(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = await self.key(processor, timedelta(hours=2))

        async def broken(*_: Any) -> None:
            raise errors.DatabaseUnavailable("away")

        with monkeypatch.context() as patched:
            patched.setattr(sweep_steps.events, "record", broken)
            assert (await processor.sweep())["expiry_warnings"] == -1
        mine = select(credential.c.expiry_warnings).where(credential.c.id == made.credential_id)
        assert await processor.rows.fetch_value(mine) == 0
        assert (await processor.sweep())["expiry_warnings"] == 1


class TestLowStorage:
    async def test_it_is_told_once_and_again_only_after_there_was_room(self, processor: Processor) -> None:
        team_id = await testing.add_team(processor.rows, quota_images=10)
        images = [await testing.add_image(processor.rows, team_id) for _ in range(8)]
        assert (await processor.sweep())["storage_told"] == 0
        images.append(await testing.add_image(processor.rows, team_id))
        assert [(await processor.sweep())["storage_told"] for _ in range(2)] == [1, 0]
        await processor.rows.execute(delete(image).where(image.c.id == images[0]))
        await processor.sweep()
        assert await processor.events() == [("quota.low", True)]
        await testing.add_image(processor.rows, team_id)
        await processor.sweep()
        assert await processor.events() == [("quota.low", True)] * 2
        told = orjson.loads(await processor.rows.fetch_value(select(event.c.payload)))
        assert told == {
            "quota": "storage", "used_bytes": 9000, "used_images": 9, "quota_bytes": None, "quota_images": 10,
        }  # fmt: skip

    async def test_without_a_quota_nothing_is_told(self, processor: Processor) -> None:
        await processor.image("ready")
        assert (await processor.sweep())["storage_told"] == 0
