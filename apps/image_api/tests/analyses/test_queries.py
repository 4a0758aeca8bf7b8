"""The SQL of analyses beside those of other teams, other bytes and other orders."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from image_api.analyses import queries
from image_api.analyses.queries import ContentKey, Order
from image_api.http.pagination import Cursor
from image_core import testing
from image_core.billing import credits
from image_core.billing.credits import EntryKind
from image_core.db import Database
from image_core.models import team

SHA256, OTHER_SHA256, DIGEST = testing.a_sha256("bytes"), testing.a_sha256("other bytes"), testing.a_sha256("{}")
ORDER = Order("colors", "1", "{}", DIGEST)
PAST = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
async def teams(rows: Database) -> tuple[UUID, UUID]:
    return await testing.add_team(rows), await testing.add_team(rows)


async def add(rows: Database, team_id: UUID, **columns: Any) -> UUID:
    values = {"sha256": SHA256, "version": "1", "parameters_hash": DIGEST} | columns
    return await testing.add_analysis(rows, team_id, **values)


@pytest.mark.parametrize(
    "columns",
    [
        {"sha256": OTHER_SHA256}, {"analyzer": "quality"}, {"version": "2"},
        {"parameters_hash": testing.a_sha256("others")}, {"status": "failed", "failure_code": "x"},
    ],
    ids=str,
)  # fmt: skip
async def test_another_analysis_is_not_that_of_an_order(
    rows: Database, teams: tuple[UUID, UUID], columns: dict[str, Any]
) -> None:
    await add(rows, teams[0], **columns)
    await add(rows, teams[1])
    assert await queries.find_by_content(rows, ContentKey(teams[0], SHA256), ORDER) is None
    mine = await add(rows, teams[0])
    found = await queries.find_by_content(rows, ContentKey(teams[0], SHA256), ORDER)
    assert found is not None
    assert found["id"] == mine


async def test_an_analysis_comes_with_the_image_of_its_team_that_holds_its_bytes(
    rows: Database, teams: tuple[UUID, UUID]
) -> None:
    analysis_id = await add(rows, teams[0])

    async def image_id() -> UUID | None:
        found = await queries.find(rows, teams[0], analysis_id)
        assert found is not None
        image_id: UUID | None = found["image_id"]
        return image_id

    for team_id, columns in (
        (teams[1], {"sha256": SHA256}),
        (teams[0], {"sha256": OTHER_SHA256}),
        (teams[0], {"sha256": SHA256, "deleted_at": PAST}),
        (teams[0], {"sha256": SHA256, "status": "pending"}),
    ):
        await testing.add_image(rows, team_id, **columns)  # type: ignore[arg-type]
        assert await image_id() is None, columns
    holder = await testing.add_image(rows, teams[0], sha256=SHA256)
    assert await image_id() == holder
    assert await queries.find(rows, teams[1], analysis_id) is None


async def test_a_page_holds_the_analyses_of_bytes_up_to_its_limit_and_after_the_cursor(
    rows: Database, teams: tuple[UUID, UUID]
) -> None:
    oldest, middle, newest = [
        await add(rows, teams[0], version=str(year), created_at=PAST.replace(year=year)) for year in (2020, 2021, 2022)
    ]
    await add(rows, teams[0], sha256=OTHER_SHA256)
    await add(rows, teams[1])
    of = ContentKey(teams[0], SHA256)
    first = await queries.page(rows, of, None, 2)
    second = await queries.page(rows, of, Cursor(first[-1]["created_at"], first[-1]["id"]), 2)
    assert [[row["id"] for row in page] for page in (first, second)] == [[newest, middle], [oldest]]


async def test_a_team_has_its_own_credits_and_its_own_label_source(rows: Database, teams: tuple[UUID, UUID]) -> None:
    async with rows.transaction() as transaction:
        await credits.change_balance(transaction, teams[0], EntryKind.SET, 7)
        await transaction.execute(team.update().where(team.c.id == teams[0]).values(label_source="vision"))
    assert [await queries.balance(rows, each) for each in teams] == [7, testing.STARTING_CREDITS]
    assert [await queries.label_source(rows, each) for each in teams] == ["vision", "own"]
