"""Teams that come near their quota."""

import orjson
from sqlalchemy import delete, select

from image_core import testing
from image_core.models import (
    event,
    image,
)

from ..housekeeping import Tasks


class TestLowStorage:
    async def test_it_is_told_once_and_again_only_after_there_was_room(self, tasks: Tasks) -> None:
        team_id = await testing.add_team(tasks.rows, quota_images=10)
        images = [await testing.add_image(tasks.rows, team_id) for _ in range(8)]
        assert (await tasks.sweep())["storage_told"] == 0
        images.append(await testing.add_image(tasks.rows, team_id))
        assert [(await tasks.sweep())["storage_told"] for _ in range(2)] == [1, 0]
        await tasks.rows.execute(delete(image).where(image.c.id == images[0]))
        await tasks.sweep()
        assert await tasks.events() == [("quota.low", True)]
        await testing.add_image(tasks.rows, team_id)
        await tasks.sweep()
        assert await tasks.events() == [("quota.low", True)] * 2
        told = orjson.loads(await tasks.rows.fetch_value(select(event.c.payload)))
        assert told == {
            "quota": "storage", "used_bytes": 9000, "used_images": 9, "quota_bytes": None, "quota_images": 10,
        }  # fmt: skip

    async def test_without_a_quota_nothing_is_told(self, tasks: Tasks) -> None:
        await tasks.image("ready")
        assert (await tasks.sweep())["storage_told"] == 0
