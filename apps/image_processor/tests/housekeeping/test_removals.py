"""What the sweep does of teams and users that an admin has removed."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, insert, select, update

from image_core import models, testing
from image_core.billing import credits
from image_core.ids import new_id
from image_core.models import (
    NAMES_A_USER,
    analysis,
    audit_event,
    credit_entry,
    credit_reservation,
    duplicate_decision,
    image,
    team,
    user,
)
from image_processor.housekeeping import removals
from image_processor.housekeeping.runner import Budget

from ..conftest import Processor


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removals, "_BATCH", 2)
    monkeypatch.setattr(removals, "_LEDGER_BATCH", 2)
    # Bound when the function was made.
    monkeypatch.setattr(removals._in_batches, "__defaults__", (2,))


async def remove(processor: Processor, seconds: float = 30) -> int:
    return await removals.remove_marked(processor.parts, Budget("removed", seconds))


async def mark(processor: Processor, table: Any, row_id: UUID) -> None:
    await processor.rows.execute(update(table).where(table.c.id == row_id).values(deleting_at=func.now()))


async def count(processor: Processor, table: Any, *conditions: Any) -> int:
    return int(await processor.rows.fetch_value(select(func.count()).select_from(table).where(*conditions)))


async def add_images(processor: Processor, team_id: UUID, number: int, **columns: Any) -> list[UUID]:
    return [(await processor.image("ready", team_id=team_id, **columns))[0]["id"] for _ in range(number)]


class TestTeam:
    async def test_its_images_go_to_the_trash_and_no_others(self, processor: Processor) -> None:
        going, staying = [await testing.add_team(processor.rows) for _ in range(2)]
        trashed = await add_images(processor, going, 5)
        expired = await testing.add_image(processor.rows, going, "expired")
        (neighbour,) = await add_images(processor, staying, 1)
        await mark(processor, team, going)
        assert await remove(processor) == 5
        rows = await processor.rows.fetch(select(image.c.id).where(image.c.deleted_at.is_not(None)))
        assert {row["id"] for row in rows} == set(trashed)
        for image_id in trashed:
            assert await processor.events(image_id) == [("image.trashed", False)]
        for image_id in (expired, neighbour):
            assert await processor.events(image_id) == []
        assert await count(processor, team) == 2
        assert await remove(processor) == 0

    async def test_without_time_nothing_is_done_and_the_next_sweep_goes_on(self, processor: Processor) -> None:
        going = await testing.add_team(processor.rows)
        await add_images(processor, going, 3)
        await mark(processor, team, going)
        assert await remove(processor, seconds=0) == 0
        assert (await processor.sweep())["removed"] == 3

    async def test_once_its_images_are_purged_it_goes_with_its_people_and_its_ledger(
        self, processor: Processor
    ) -> None:
        going = await testing.add_team(processor.rows)
        people = [await testing.add_user(processor.rows, going) for _ in range(3)]
        await add_images(processor, going, 2, uploaded_by=people[0].user_id)
        for number in range(3):
            async with processor.rows.transaction() as transaction:
                reservation_id = await credits.reserve(transaction, going, 1, "analyze:colors")
                await credits.refund(transaction, reservation_id)
            await testing.add_analysis(processor.rows, going, testing.a_sha256(number), reservation_id=reservation_id)
        other = await testing.add_team(processor.rows)
        stays = await testing.add_user(processor.rows, other)
        async with processor.rows.transaction() as transaction:
            await credits.reserve(transaction, other, 1, "analyze:colors")
        await mark(processor, team, going)
        await processor.sweep()
        assert await count(processor, user, user.c.team_id == going) == 3
        await processor.let_time_pass(image, "deleted_at", hours=24 * 30)
        await processor.sweep()
        await processor.sweep()
        assert [row["id"] for row in await processor.rows.fetch(select(team.c.id))] == [other]
        assert [
            row["id"] for row in await processor.rows.fetch(select(user.c.id).where(user.c.team_id.is_not(None)))
        ] == [stays.user_id]
        for table, left in ((image, 0), (analysis, 0), (credit_reservation, 1)):
            assert await count(processor, table) == left
        assert await count(processor, credit_entry, credit_entry.c.team_id != other) == 0
        removed = select(audit_event.c.target_id, audit_event.c.actor_user_id).where(
            audit_event.c.action == "team.removed"
        )
        assert [tuple(row) for row in await processor.rows.fetch(removed)] == [(going, None)]

    async def test_nothing_of_what_is_not_marked_can_be_removed(self, processor: Processor) -> None:
        staying = await testing.add_team(processor.rows)
        somebody = await testing.add_user(processor.rows, staying)
        functions = (
            func.forget_ledger(staying, 10),
            func.remove_marked_team(staying),
            func.remove_marked_user(somebody.user_id),
        )
        for function in functions:
            assert await processor.parts.database.fetch_value(select(function)) == 0
        assert await count(processor, credit_entry) > 0
        assert await count(processor, user, user.c.id == somebody.user_id) == 1


class TestUser:
    async def test_its_id_is_taken_out_in_batches_and_its_row_goes_last(self, processor: Processor) -> None:
        team_id = await testing.add_team(processor.rows)
        going, staying = [await testing.add_user(processor.rows, team_id) for _ in range(2)]
        images = await add_images(processor, team_id, 5, uploaded_by=going.user_id)
        (others,) = await add_images(processor, team_id, 1, uploaded_by=staying.user_id)
        await testing.add_analysis(processor.rows, team_id, testing.a_sha256(1), requested_by=going.user_id)
        first, second = sorted(images[:2])
        decided = {"id": new_id(), "team_id": team_id, "image_id_a": first, "image_id_b": second}
        await processor.rows.execute(insert(duplicate_decision).values(decided_by=going.user_id, **decided))
        await mark(processor, user, going.user_id)
        assert await remove(processor) == 5 + 1 + 1 + 1
        assert await count(processor, user, user.c.id == going.user_id) == 0
        for column in NAMES_A_USER:
            assert await count(processor, column.table, column == going.user_id) == 0
        assert (await processor.row(others))["uploaded_by"] == staying.user_id
        assert await count(processor, image) == 6

    async def test_it_stays_while_somebody_holds_a_row_that_names_it(self, processor: Processor) -> None:
        team_id = await testing.add_team(processor.rows)
        going = await testing.add_user(processor.rows, team_id)
        image_id, _ = await add_images(processor, team_id, 2, uploaded_by=going.user_id)
        await mark(processor, user, going.user_id)
        async with processor.rows.transaction() as transaction:
            await transaction.execute(select(image.c.id).where(image.c.id == image_id).with_for_update())
            assert await remove(processor) == 1
            assert await count(processor, user, user.c.id == going.user_id) == 1
        assert await remove(processor) == 2

    def test_every_column_that_names_a_user_in_many_rows_is_known(self) -> None:
        named = {
            key.parent
            for table in models.metadata.tables.values()
            for key in table.foreign_keys
            if key.column is user.c.id and key.ondelete == "SET NULL"
        }
        # An admin invites by hand.
        assert named == {*NAMES_A_USER, models.invitation.c.invited_by}
