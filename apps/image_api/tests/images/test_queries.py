"""The SQL of images beside those of another team, and of their housekeeping beside rows that stay."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from image_api.images import columns, queries, tasks
from image_core import testing
from image_core.db import Database
from image_core.models import analysis, discarded_object, image

PAST, FUTURE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
SHA256, OTHER_SHA256 = testing.a_sha256("bytes"), testing.a_sha256("other bytes")
DONE: dict[str, Any] = {"status": "done", "result": "{}", "analyzed_at": PAST}


@pytest.fixture
async def teams(rows: Database) -> tuple[UUID, UUID]:
    return await testing.add_team(rows), await testing.add_team(rows)


async def test_an_image_is_read_and_locked_under_its_own_team_only(rows: Database, teams: tuple[UUID, UUID]) -> None:
    image_id = await testing.add_image(rows, teams[0])
    await testing.add_derivative(rows, image_id, "a", "large")
    async with rows.transaction() as transaction:
        for team_id, is_found in ((teams[0], True), (teams[1], False)):
            for read in (queries.find, queries.find_status, queries.find_content, queries.lock):
                assert (await read(transaction, team_id, image_id) is not None) is is_found, read
            found = await queries.find_derivative(transaction, team_id, image_id, "large")
            assert (found is not None) is is_found


async def test_a_derivative_is_that_of_its_preset(rows: Database, teams: tuple[UUID, UUID]) -> None:
    image_id = await testing.add_image(rows, teams[0])
    await testing.add_derivative(rows, image_id, "a", "large")
    names = [
        found and found["object_name"]
        for preset in ("large", "thumb")
        if (found := await queries.find_derivative(rows, teams[0], image_id, preset))
    ]
    assert names == ["a", None]
    shown = select(*columns.SUMMARY_COLUMNS)
    assert [row["has_thumbnail"] for row in await rows.fetch(shown)] == [False]
    await testing.add_derivative(rows, image_id, "b", "thumb")
    assert [row["has_thumbnail"] for row in await rows.fetch(shown)] == [True]


async def test_results_are_those_of_a_teams_bytes_that_are_done(rows: Database, teams: tuple[UUID, UUID]) -> None:
    mine = await testing.add_analysis(rows, teams[0], SHA256, **DONE)
    await testing.add_analysis(rows, teams[0], SHA256, "quality")
    await testing.add_analysis(rows, teams[0], OTHER_SHA256, **DONE)
    await testing.add_analysis(rows, teams[1], SHA256, **DONE)
    assert [row["id"] for row in await queries.results(rows, teams[0], SHA256)] == [mine]


async def test_no_more_than_200_results_are_read(rows: Database, teams: tuple[UUID, UUID]) -> None:
    for number in range(201):
        await testing.add_analysis(rows, teams[0], SHA256, version=str(number), **DONE)
    assert len(await queries.results(rows, teams[0], SHA256)) == 200


async def test_only_an_image_that_is_marked_is_purged(rows: Database, teams: tuple[UUID, UUID]) -> None:
    marked = await testing.add_image(rows, teams[0], deleted_at=PAST, purge_marked_at=PAST)
    trashed = await testing.add_image(rows, teams[0], deleted_at=PAST)
    async with rows.transaction() as transaction:
        assert [await tasks._remove_purged(transaction, each) for each in (marked, trashed)] == [1, None]
    assert [row["id"] for row in await rows.fetch(select(image.c.id))] == [trashed]


async def test_results_go_with_the_last_image_of_their_bytes(rows: Database, teams: tuple[UUID, UUID]) -> None:
    going = await testing.add_analysis(rows, teams[0], SHA256)
    staying = {
        await testing.add_analysis(rows, team_id, sha256)
        for team_id, sha256 in ((teams[0], OTHER_SHA256), (teams[1], SHA256))
    }
    holder = await testing.add_image(rows, teams[0], sha256=SHA256)
    # Neither holds these bytes for the team.
    await testing.add_image(rows, teams[0], sha256=testing.a_sha256("third"))
    await testing.add_image(rows, teams[1], sha256=SHA256)
    for left in (staying | {going}, staying):
        async with rows.transaction() as transaction:
            await tasks._remove_analyses(transaction, teams[0], SHA256)
        assert {row["id"] for row in await rows.fetch(select(analysis.c.id))} == left
        await rows.execute(image.delete().where(image.c.id == holder))


async def discard(rows: Database, name: str, **values: Any) -> UUID:
    discard_id = testing.new_id()
    values = {"bucket": "originals", "object_name": name, "remove_after": PAST} | values
    await rows.execute(discarded_object.insert().values(id=discard_id, **values))
    return discard_id


async def taken(rows: Database, most: int = 10) -> set[UUID]:
    return {row["id"] for row in await tasks._take_discarded(rows, most)}


async def test_objects_whose_removal_is_due_are_taken_up_to_a_bound(rows: Database) -> None:
    due = [await discard(rows, name) for name in ("a", "b", "c")]
    await discard(rows, "later", remove_after=FUTURE)
    first = await taken(rows, 2)
    assert len(first) == 2
    assert first | await taken(rows, 10) == set(due)


async def test_an_original_that_an_image_names_is_not_taken(rows: Database, teams: tuple[UUID, UUID]) -> None:
    held = await testing.add_image(rows, teams[0])
    expired = await testing.add_image(rows, teams[0], "expired")
    names = {row["id"]: row["object_name"] for row in await rows.fetch(select(image.c.id, image.c.object_name))}
    await discard(rows, names[held])
    await discard(rows, names[held], generation=testing.GENERATION)
    free = {
        await discard(rows, names[held], generation=testing.GENERATION - 1),
        await discard(rows, names[expired]),
        await discard(rows, "another"),
    }
    assert await taken(rows) == free
