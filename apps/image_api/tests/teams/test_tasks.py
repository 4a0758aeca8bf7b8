"""What becomes of teams that an admin has removed."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from image_api.tasks.runner import Budget
from image_api.teams import tasks as room
from image_core import testing
from image_core.billing import credits
from image_core.models import (
    analysis,
    audit_event,
    credit_entry,
    credit_reservation,
    image,
    team,
    user,
)

from ..housekeeping import Tasks


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_BATCH", 2)
    monkeypatch.setattr(room, "_LEDGER_BATCH", 2)


async def remove(tasks: Tasks, seconds: float = 30) -> int:
    return await room.remove_marked(tasks.parts, Budget("removed", seconds))


async def mark(tasks: Tasks, table: Any, row_id: UUID) -> None:
    await tasks.rows.execute(update(table).where(table.c.id == row_id).values(deleting_at=func.now()))


async def add_images(tasks: Tasks, team_id: UUID, number: int, **columns: Any) -> list[UUID]:
    return [(await tasks.image("ready", team_id=team_id, **columns))[0]["id"] for _ in range(number)]


class TestTeam:
    async def test_its_images_go_to_the_trash_and_no_others(self, tasks: Tasks) -> None:
        going, staying = [await testing.add_team(tasks.rows) for _ in range(2)]
        trashed = await add_images(tasks, going, 5)
        expired = await testing.add_image(tasks.rows, going, "expired")
        (neighbour,) = await add_images(tasks, staying, 1)
        await mark(tasks, team, going)
        assert await remove(tasks) == 5
        rows = await tasks.rows.fetch(select(image.c.id).where(image.c.deleted_at.is_not(None)))
        assert {row["id"] for row in rows} == set(trashed)
        for image_id in trashed:
            assert await tasks.events(image_id) == [("image.trashed", False)]
        for image_id in (expired, neighbour):
            assert await tasks.events(image_id) == []
        assert await tasks.count(team) == 2
        assert await remove(tasks) == 0

    async def test_without_time_nothing_is_done_and_the_next_sweep_goes_on(self, tasks: Tasks) -> None:
        going = await testing.add_team(tasks.rows)
        await add_images(tasks, going, 3)
        await mark(tasks, team, going)
        assert await remove(tasks, seconds=0) == 0
        assert (await tasks.sweep())["teams_removed"] == 3

    async def test_once_its_images_are_purged_it_goes_with_its_people_and_its_ledger(self, tasks: Tasks) -> None:
        going = await testing.add_team(tasks.rows)
        people = [await testing.add_user(tasks.rows, going) for _ in range(3)]
        await add_images(tasks, going, 2, uploaded_by=people[0].user_id)
        for number in range(3):
            async with tasks.rows.transaction() as transaction:
                reservation_id = await credits.reserve(transaction, going, 1, "analyze:colors")
                await credits.refund(transaction, reservation_id)
            await testing.add_analysis(tasks.rows, going, testing.a_sha256(number), reservation_id=reservation_id)
        other = await testing.add_team(tasks.rows)
        stays = await testing.add_user(tasks.rows, other)
        async with tasks.rows.transaction() as transaction:
            await credits.reserve(transaction, other, 1, "analyze:colors")
        await mark(tasks, team, going)
        await tasks.sweep()
        assert await tasks.count(user, user.c.team_id == going) == 3
        await tasks.let_time_pass(image, "deleted_at", hours=24 * 30)
        await tasks.sweep()
        await tasks.sweep()
        assert [row["id"] for row in await tasks.rows.fetch(select(team.c.id))] == [other]
        assert [row["id"] for row in await tasks.rows.fetch(select(user.c.id).where(user.c.team_id.is_not(None)))] == [
            stays.user_id
        ]
        for table, left in ((image, 0), (analysis, 0), (credit_reservation, 1)):
            assert await tasks.count(table) == left
        assert await tasks.count(credit_entry, credit_entry.c.team_id != other) == 0
        removed = select(audit_event.c.target_id, audit_event.c.actor_user_id).where(
            audit_event.c.action == "team.removed"
        )
        assert [tuple(row) for row in await tasks.rows.fetch(removed)] == [(going, None)]

    async def test_a_sweep_reads_no_more_teams_than_its_bound(
        self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room, "_MAX_MARKED", 1)
        for _ in range(2):
            await mark(tasks, team, await testing.add_team(tasks.rows))
        for left in (1, 0):
            await remove(tasks)
            assert await tasks.count(team) == left

    async def test_its_people_and_analyses_go_batch_by_batch_and_no_others(self, tasks: Tasks) -> None:
        going, staying = [await testing.add_team(tasks.rows) for _ in range(2)]
        for number, team_id in enumerate((going, staying, going, going)):
            await testing.add_user(tasks.rows, team_id)
            await testing.add_analysis(tasks.rows, team_id, testing.a_sha256(number))
        await mark(tasks, team, going)
        for batch in (room._remove_analyses, room._remove_people):
            async with tasks.parts.database.transaction() as transaction:
                assert [await batch(transaction, going) for _ in range(3)] == [2, 1, 0]
        for table in (user, analysis):
            assert await tasks.count(table, table.c.team_id == staying) == 1

    async def test_nothing_of_what_is_not_marked_can_be_removed(self, tasks: Tasks) -> None:
        staying = await testing.add_team(tasks.rows)
        somebody = await testing.add_user(tasks.rows, staying)
        functions = (
            func.forget_ledger(staying, 10),
            func.remove_marked_team(staying),
            func.remove_marked_user(somebody.user_id),
        )
        for function in functions:
            assert await tasks.parts.database.fetch_value(select(function)) == 0
        assert await tasks.count(credit_entry) > 0
        assert await tasks.count(user, user.c.id == somebody.user_id) == 1
