"""The SQL of users beside other users, and beside those who are being removed or cannot act."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, insert, select, update

from image_api.http.pagination import Cursor
from image_api.users import queries
from image_core import testing
from image_core.db import Database
from image_core.ids import new_id
from image_core.models import credential, session, user

PAST, FUTURE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
ADMIN: dict[str, Any] = {"role": "admin", "scopes": ("admin",)}


@pytest.fixture(autouse=True)
def every_statement_names_its_team() -> None:
    """Replace the rule of tenancy: admins alone run these queries, and here nobody does."""


@pytest.fixture
async def team_id(rows: Database) -> UUID:
    return await testing.add_team(rows)


async def test_who_is_being_removed_is_not_found(rows: Database, team_id: UUID) -> None:
    there, going = [
        (await testing.add_user(rows, team_id, deleting_at=deleting_at)).user_id for deleting_at in (None, PAST)
    ]
    async with rows.transaction() as transaction:
        for read in (queries.find, queries.lock):
            found = [await read(transaction, user_id) for user_id in (there, going)]
            assert [row and row["id"] for row in found] == [there, None]


async def test_a_page_holds_the_users_of_one_team_up_to_its_limit_and_after_the_cursor(
    rows: Database, team_id: UUID
) -> None:
    oldest, middle, newest = [
        (await testing.add_user(rows, team_id, created_at=PAST.replace(year=year))).user_id
        for year in (2020, 2021, 2022)
    ]
    await testing.add_user(rows, team_id, deleting_at=PAST)
    await testing.add_user(rows, await testing.add_team(rows))
    first = await queries.page(rows, team_id, None, 2)
    second = await queries.page(rows, team_id, Cursor(first[-1]["created_at"], first[-1]["id"]), 2)
    assert [[row["id"] for row in page] for page in (first, second)] == [[newest, middle], [oldest]]


@pytest.mark.parametrize(
    ("of_user", "of_key"),
    [
        ({"role": "member"}, {}),
        ({"disabled_at": PAST}, {}),
        ({"scopes": ("images:read",)}, {}),
        ({}, {"revoked_at": PAST}),
        ({}, {"expires_at": PAST}),
        ({}, {"scopes": ["images:read"]}),
    ],
    ids=str,
)
async def test_an_admin_who_cannot_act_as_one_is_not_active(
    rows: Database, team_id: UUID, of_user: dict[str, Any], of_key: dict[str, Any]
) -> None:
    active = await testing.add_user(rows, team_id, **ADMIN)
    await rows.execute(update(credential).where(credential.c.id == active.credential_id).values(expires_at=FUTURE))
    inactive = await testing.add_user(rows, team_id, **ADMIN | of_user)
    if of_key:
        await rows.execute(update(credential).where(credential.c.id == inactive.credential_id).values(of_key))
    async with rows.transaction() as transaction:
        found = await queries.lock_active_admins(transaction)
    assert active.user_id in found
    assert inactive.user_id not in found


async def test_a_user_is_referred_to_often_only_beyond_the_bound(rows: Database, team_id: UUID) -> None:
    mine, other = [(await testing.add_user(rows, team_id)).user_id for _ in range(2)]
    for user_id in (mine, mine, other, other, other):
        await testing.add_image(rows, team_id, uploaded_by=user_id)
    async with rows.transaction() as transaction:
        assert [await queries.has_many_references(transaction, mine, most) for most in (1, 2)] == [True, False]


async def test_what_is_over_already_keeps_its_time_when_a_user_is_marked(rows: Database, team_id: UUID) -> None:
    mine, other = [await testing.add_user(rows, team_id) for _ in range(2)]
    await testing.add_key(rows, mine.user_id, team_id, revoked_at=PAST)
    for user_id, ended_at in ((mine.user_id, PAST), (mine.user_id, None), (other.user_id, None)):
        values = {"id": new_id(), "user_id": user_id, "ended_at": ended_at, "expires_at": FUTURE}
        await rows.execute(insert(session).values(values))
    async with rows.transaction() as transaction:
        await queries.mark_for_removal(transaction, mine.user_id)
        now = await transaction.fetch_value(select(func.now()))
    for column in (credential.c.revoked_at, session.c.ended_at):
        of_user = {
            user_id: {row[0] for row in await rows.fetch(select(column).where(column.table.c.user_id == user_id))}
            for user_id in (mine.user_id, other.user_id)
        }
        assert of_user == {mine.user_id: {PAST, now}, other.user_id: {None}}
    deleting = await rows.fetch(select(user.c.id).where(user.c.deleting_at.is_not(None)))
    assert [row["id"] for row in deleting] == [mine.user_id]
