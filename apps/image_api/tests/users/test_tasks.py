"""What becomes of users that an admin has removed."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, insert, select, update

from image_api.tasks.runner import Budget
from image_api.users import tasks as room
from image_core import models, testing
from image_core.ids import new_id
from image_core.models import (
    USER_REFERENCES,
    duplicate_decision,
    image,
    user,
)

from ..housekeeping import Tasks


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_BATCH", 2)


async def remove(tasks: Tasks, seconds: float = 30) -> int:
    return await room.remove_marked(tasks.parts, Budget("removed", seconds))


async def mark(tasks: Tasks, table: Any, row_id: UUID) -> None:
    await tasks.rows.execute(update(table).where(table.c.id == row_id).values(deleting_at=func.now()))


async def add_images(tasks: Tasks, team_id: UUID, number: int, **columns: Any) -> list[UUID]:
    return [(await tasks.image("ready", team_id=team_id, **columns))[0]["id"] for _ in range(number)]


class TestUser:
    async def test_its_id_is_taken_out_in_batches_and_its_row_goes_last(self, tasks: Tasks) -> None:
        team_id = await testing.add_team(tasks.rows)
        going, staying = [await testing.add_user(tasks.rows, team_id) for _ in range(2)]
        images = await add_images(tasks, team_id, 5, uploaded_by=going.user_id)
        (others,) = await add_images(tasks, team_id, 1, uploaded_by=staying.user_id)
        await testing.add_analysis(tasks.rows, team_id, testing.a_sha256(1), requested_by=going.user_id)
        first, second = sorted(images[:2])
        decided = {"id": new_id(), "team_id": team_id, "image_id_a": first, "image_id_b": second}
        await tasks.rows.execute(insert(duplicate_decision).values(decided_by=going.user_id, **decided))
        await mark(tasks, user, going.user_id)
        assert await remove(tasks) == 5 + 1 + 1 + 1
        assert await tasks.count(user, user.c.id == going.user_id) == 0
        for column in USER_REFERENCES:
            assert await tasks.count(column.table, column == going.user_id) == 0
        assert (await tasks.row(others))["uploaded_by"] == staying.user_id
        assert await tasks.count(image) == 6

    async def test_it_stays_while_somebody_holds_a_row_that_names_it(self, tasks: Tasks) -> None:
        team_id = await testing.add_team(tasks.rows)
        going = await testing.add_user(tasks.rows, team_id)
        image_id, _ = await add_images(tasks, team_id, 2, uploaded_by=going.user_id)
        await mark(tasks, user, going.user_id)
        async with tasks.rows.transaction() as transaction:
            await transaction.execute(select(image.c.id).where(image.c.id == image_id).with_for_update())
            assert await remove(tasks) == 1
            assert await tasks.count(user, user.c.id == going.user_id) == 1
        assert await remove(tasks) == 2

    async def test_a_sweep_reads_no_more_users_than_its_bound(
        self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room, "_MAX_MARKED", 1)
        team_id = await testing.add_team(tasks.rows)
        for _ in range(2):
            await mark(tasks, user, (await testing.add_user(tasks.rows, team_id)).user_id)
        assert [await remove(tasks) for _ in range(3)] == [1, 1, 0]

    async def test_it_is_cleared_from_its_own_decisions_batch_by_batch(self, tasks: Tasks) -> None:
        team_id = await testing.add_team(tasks.rows)
        going, staying = [(await testing.add_user(tasks.rows, team_id)).user_id for _ in range(2)]
        (image_id,) = await add_images(tasks, team_id, 1)
        for user_id in (going, going, staying):
            decision_id = await testing.add_decision(tasks.rows, team_id, image_id)
            mine = duplicate_decision.c.id == decision_id
            await tasks.rows.execute(update(duplicate_decision).where(mine).values(decided_by=user_id))
        async with tasks.parts.database.transaction() as transaction:
            assert [await transaction.execute(room._clear_decider(going, 1)) for _ in range(3)] == [1, 1, 0]
        assert await tasks.count(duplicate_decision, duplicate_decision.c.decided_by == staying) == 1

    def test_every_column_that_names_a_user_in_many_rows_is_known(self) -> None:
        named = {
            key.parent
            for table in models.metadata.tables.values()
            for key in table.foreign_keys
            if key.column is user.c.id and key.ondelete == "SET NULL"
        }
        # An admin invites by hand, and operations are few and kept for 30 days.
        assert named == {*USER_REFERENCES, models.invitation.c.invited_by, models.operation.c.user_id}
