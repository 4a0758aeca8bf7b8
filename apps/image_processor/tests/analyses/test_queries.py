"""Which original an analysis reads, and which analyses a team has, beside those of others."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from image_core import testing
from image_core.db import Database
from image_processor.analyses import queries

SHA256, OTHER_SHA256, DIGEST = testing.a_sha256("bytes"), testing.a_sha256("other bytes"), testing.a_sha256("{}")
KEY = {"analyzer": "colors", "version": "1", "parameters_hash": DIGEST}
PAST, LATER = datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)


@pytest.fixture
async def teams(rows: Database) -> tuple[UUID, UUID]:
    return await testing.add_team(rows), await testing.add_team(rows)


async def test_the_source_is_an_original_of_the_team_that_holds_the_bytes(
    rows: Database, teams: tuple[UUID, UUID]
) -> None:
    for team_id, columns in (
        (teams[1], {"sha256": SHA256}),
        (teams[0], {"sha256": OTHER_SHA256}),
        (teams[0], {"sha256": SHA256, "status": "pending"}),
        (teams[0], {"sha256": SHA256, "deleted_at": PAST, "purge_marked_at": PAST}),
    ):
        await testing.add_image(rows, team_id, **columns)  # type: ignore[arg-type]
    assert await queries.find_source(rows, teams[0], SHA256) is None
    for number, deleted_at in enumerate((PAST, LATER, None)):
        source = await add_original(rows, teams[0], number, deleted_at)
        assert await queries.find_source(rows, teams[0], SHA256) == source


async def add_original(rows: Database, team_id: UUID, number: int, deleted_at: datetime | None) -> queries.Source:
    columns: dict[str, Any] = {"sha256": SHA256, "object_name": str(number), "generation": number + 1}
    await testing.add_image(rows, team_id, deleted_at=deleted_at, **columns)
    return queries.Source(str(number), number + 1)


@pytest.mark.parametrize(
    "columns",
    [
        {"sha256": OTHER_SHA256}, {"analyzer": "quality"}, {"version": "2"},
        {"parameters_hash": testing.a_sha256("others")}, {"status": "failed", "failure_code": "x"},
    ],
    ids=str,
)  # fmt: skip
async def test_another_analysis_is_not_known(rows: Database, teams: tuple[UUID, UUID], columns: dict[str, Any]) -> None:
    stored = {"sha256": SHA256, **KEY}
    await testing.add_analysis(rows, teams[1], **stored)
    await testing.add_analysis(rows, teams[0], **stored | columns)
    assert not await queries.is_known(rows, teams[0], SHA256, KEY)
    await testing.add_analysis(rows, teams[0], **stored)
    assert await queries.is_known(rows, teams[0], SHA256, KEY)


async def test_one_original_is_read_however_many_hold_the_bytes(rows: Database, teams: tuple[UUID, UUID]) -> None:
    counts = []

    class Counting:
        async def fetch_one(self, statement: Any) -> Any:
            found = await rows.fetch(statement)
            counts.append(len(found))
            return found[0]

    for number, deleted_at in enumerate((PAST, LATER)):
        await add_original(rows, teams[0], number, deleted_at)
    await queries.find_source(Counting(), teams[0], SHA256)  # type: ignore[arg-type]
    assert counts == [1]
