"""The SQL of teams beside other teams."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import func, insert, select

from image_api.http.pagination import Cursor
from image_api.teams import queries
from image_core import testing
from image_core.db import Database
from image_core.ids import new_id
from image_core.models import invitation, team

PAST, FUTURE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
async def teams(rows: Database) -> list[UUID]:
    """Three teams, newest first."""
    created = [await testing.add_team(rows, created_at=PAST.replace(year=year)) for year in (2020, 2021, 2022)]
    return created[::-1]


async def test_each_team_is_found_and_locked_by_its_own_id(rows: Database, teams: list[UUID]) -> None:
    async with rows.transaction() as transaction:
        for read in (queries.find, queries.lock):
            found = [await read(transaction, team_id) for team_id in (*teams, new_id())]
            assert [row and row["id"] for row in found] == [*teams, None]


async def test_a_page_holds_no_more_than_its_limit_and_begins_after_the_cursor(
    rows: Database, teams: list[UUID]
) -> None:
    first = await queries.page(rows, None, None, 2)
    cursor = Cursor(first[-1]["created_at"], first[-1]["id"])
    second = await queries.page(rows, None, cursor, 2)
    only = await queries.page(rows, teams[1], None, 2)
    assert [[row["id"] for row in page] for page in (first, second, only)] == [teams[:2], teams[2:], teams[1:2]]


async def test_only_an_admin_who_is_not_being_removed_keeps_a_team(rows: Database, teams: list[UUID]) -> None:
    going, members, others = teams
    await testing.add_user(rows, going, "admin", deleting_at=PAST)
    await testing.add_user(rows, members, "member")
    await testing.add_user(rows, others, "admin")
    async with rows.transaction() as transaction:
        assert [await queries.has_admins(transaction, each) for each in teams] == [False, False, True]


async def test_what_is_left_in_a_team_is_its_own(rows: Database, teams: list[UUID]) -> None:
    with_user, with_image, empty = teams
    await testing.add_user(rows, with_user)
    await testing.add_image(rows, with_image)
    async with rows.transaction() as transaction:
        left = [await queries.has_members_or_images(transaction, each) for each in (with_user, with_image, empty)]
    assert left == [True, True, False]


async def test_marking_a_team_revokes_its_own_open_invitations(rows: Database, teams: list[UUID]) -> None:
    mine, other, _ = teams
    added = [
        {"team_id": mine}, {"team_id": mine, "accepted_at": PAST}, {"team_id": mine, "revoked_at": PAST},
        {"team_id": other},
    ]  # fmt: skip
    for number, columns in enumerate(added):
        values = {"id": UUID(int=number), "email": "a@example.org", "role": "member", "expires_at": FUTURE}
        await rows.execute(insert(invitation).values(token_hash=testing.a_sha256(number), **values, **columns))
    async with rows.transaction() as transaction:
        await queries.mark_for_removal(transaction, mine)
        now = await transaction.fetch_value(select(func.now()))
    revoked = await rows.fetch(select(invitation.c.revoked_at).order_by(invitation.c.id))
    assert [row["revoked_at"] for row in revoked] == [now, None, PAST, None]
    marked = await rows.fetch(select(team.c.id).where(team.c.deleting_at.is_not(None)))
    assert [row["id"] for row in marked] == [mine]


async def test_one_team_is_removed(rows: Database, teams: list[UUID]) -> None:
    async with rows.transaction() as transaction:
        await queries.remove(transaction, teams[0])
    assert {row["id"] for row in await rows.fetch(select(team.c.id))} == set(teams[1:])
