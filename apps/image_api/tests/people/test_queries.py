"""The SQL of people beside rows of others, and beside rows that are over."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Table, insert, select

from image_api.people import queries
from image_core import testing
from image_core.db import Database, Runner
from image_core.ids import new_id
from image_core.models import invitation, password_reset, session, sign_in_delay
from image_core.testing import UserWithKey

PAST, FUTURE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
EMAIL, OTHER_EMAIL, ADDRESS = "ada@example.org", "bob@example.org", "192.0.2.7"
TOKEN, OTHER_TOKEN = testing.a_sha256("token"), testing.a_sha256("other token")


@pytest.fixture
async def users(rows: Database) -> tuple[UserWithKey, UserWithKey]:
    """Two users, each in a team of its own."""
    first, second = [
        await testing.add_user(rows, await testing.add_team(rows), email=email) for email in (EMAIL, OTHER_EMAIL)
    ]
    return first, second


async def add(rows: Database, table: Table, **columns: Any) -> UUID:
    row_id = new_id()
    await rows.execute(insert(table).values(**{"id": row_id, "expires_at": FUTURE} | columns))
    return row_id


async def invite(rows: Database, team_id: UUID | None, **columns: Any) -> UUID:
    token_hash = columns.pop("token_hash", None) or testing.a_sha256(new_id())
    values = {"team_id": team_id, "email": EMAIL, "role": "member", "token_hash": token_hash}
    return await add(rows, invitation, **values, **columns)


async def values_of(rows: Database, column: Any) -> dict[UUID, Any]:
    found = await rows.fetch(select(column.table.c.id.label("key"), column.label("value")))
    return {row["key"]: row["value"] for row in found}


async def test_only_sessions_that_live_are_found_and_ended(
    rows: Database, users: tuple[UserWithKey, UserWithKey]
) -> None:
    mine, other = [user.user_id for user in users]
    await add(rows, session, user_id=other)
    living = await add(rows, session, user_id=mine)
    over = [await add(rows, session, user_id=mine, **each) for each in ({"ended_at": PAST}, {"expires_at": PAST})]
    assert [await queries.live_session(rows, session_id) for session_id in over] == [None, None]
    found = await queries.live_session(rows, living)
    assert found is not None
    assert found["id"] == living
    assert [row["id"] for row in await queries.live_sessions(rows, mine)] == [living]
    async with rows.transaction() as transaction:
        assert await queries.end_sessions(transaction, mine) == 1


async def test_no_more_than_200_sessions_are_listed(rows: Database, users: tuple[UserWithKey, UserWithKey]) -> None:
    sessions = [{"id": new_id(), "user_id": users[0].user_id, "expires_at": FUTURE} for _ in range(201)]
    await rows.execute(insert(session).values(sessions))
    assert len(await queries.live_sessions(rows, users[0].user_id)) == 200


async def test_an_address_is_known_to_the_account_that_signed_in_from_it(
    rows: Database, users: tuple[UserWithKey, UserWithKey]
) -> None:
    await add(rows, session, user_id=users[1].user_id, address=ADDRESS)
    tried = [(EMAIL, ADDRESS), (OTHER_EMAIL, "192.0.2.8"), (OTHER_EMAIL.upper(), ADDRESS)]
    assert [await queries.has_signed_in_from(rows, *each) for each in tried] == [False, False, True]


async def test_a_token_opens_its_own_invitation_only(rows: Database, users: tuple[UserWithKey, UserWithKey]) -> None:
    await invite(rows, users[1].team_id, token_hash=OTHER_TOKEN)
    mine = await invite(rows, users[0].team_id, token_hash=TOKEN)
    async with rows.transaction() as transaction:
        found = [
            await queries.find_invitation(transaction, TOKEN), await queries.accept_invitation(transaction, TOKEN),
        ]  # fmt: skip
        assert await queries.accept_invitation(transaction, TOKEN) is None
    assert [row and row["id"] for row in found] == [mine, mine]


@pytest.mark.parametrize("over", [{"accepted_at": PAST}, {"revoked_at": PAST}, {"expires_at": PAST}], ids=str)
async def test_an_invitation_that_is_over_stays_as_it_is(
    rows: Database, users: tuple[UserWithKey, UserWithKey], over: dict[str, Any]
) -> None:
    mine = await invite(rows, users[0].team_id, token_hash=TOKEN, **over)
    assert users[0].team_id is not None
    async with rows.transaction() as transaction:
        assert await queries.find_invitation(transaction, TOKEN) is None
        assert await queries.accept_invitation(transaction, TOKEN) is None
        if "expires_at" not in over:
            assert await queries.revoke_invitation(transaction, users[0].team_id, mine) == 0


async def test_a_team_lists_and_revokes_its_own_invitations(
    rows: Database, users: tuple[UserWithKey, UserWithKey]
) -> None:
    mine, other = [await invite(rows, user.team_id) for user in users]
    team_id = users[0].team_id
    assert team_id is not None
    assert [row["id"] for row in await queries.invitations(rows, team_id, None, 10)] == [mine]
    async with rows.transaction() as transaction:
        assert await queries.revoke_invitation(transaction, team_id, other) == 0
        assert await queries.revoke_invitation(transaction, team_id, mine) == 1


async def test_a_new_password_ends_the_open_resets_of_its_user(
    rows: Database, users: tuple[UserWithKey, UserWithKey]
) -> None:
    used, open_one, others = [
        await add(rows, password_reset, user_id=user.user_id, token_hash=testing.a_sha256(new_id()), used_at=used_at)
        for user, used_at in ((users[0], PAST), (users[0], None), (users[1], None))
    ]
    async with rows.transaction() as transaction:
        await queries.set_password(transaction, users[0].user_id, "hash")
    used_at = await values_of(rows, password_reset.c.used_at)
    assert (used_at[used], used_at[others]) == (PAST, None)
    assert used_at[open_one] > PAST


async def test_a_token_opens_its_own_reset_only(rows: Database, users: tuple[UserWithKey, UserWithKey]) -> None:
    other, mine = [
        await add(rows, password_reset, user_id=user.user_id, token_hash=token)
        for user, token in ((users[1], OTHER_TOKEN), (users[0], TOKEN))
    ]
    found = await queries.user_of_reset(rows, TOKEN)
    assert found is not None
    assert found["id"] == users[0].user_id
    async with rows.transaction() as transaction:
        assert [await queries.use_reset(transaction, TOKEN) for _ in range(2)] == [True, False]
    used_at = await values_of(rows, password_reset.c.used_at)
    assert (used_at[other], used_at[mine] is None) == (None, False)


@pytest.mark.parametrize("over", [{"used_at": PAST}, {"expires_at": PAST}], ids=str)
async def test_a_reset_that_is_over_opens_nothing(
    rows: Database, users: tuple[UserWithKey, UserWithKey], over: dict[str, Any]
) -> None:
    await add(rows, password_reset, user_id=users[0].user_id, token_hash=TOKEN, **over)
    async with rows.transaction() as transaction:
        assert await queries.user_of_reset(transaction, TOKEN) is None
        assert not await queries.use_reset(transaction, TOKEN)


async def delay(
    rows: Database, subject: bytes, failures: int, last_failed_at: datetime, blocked_until: datetime
) -> None:
    values = {"failures": failures, "last_failed_at": last_failed_at, "blocked_until": blocked_until}
    await rows.execute(insert(sign_in_delay).values(subject=subject, **values))


async def failures_of(rows: Runner) -> dict[bytes, int]:
    found = await rows.fetch(select(sign_in_delay.c.subject, sign_in_delay.c.failures))
    return {row["subject"]: row["failures"] for row in found}


@pytest.mark.parametrize(
    ("failures", "last_failed_at", "counted"), [(40, datetime.now(UTC), 40), (3, PAST, 1), (3, datetime.now(UTC), 4)]
)
async def test_failures_are_counted_between_one_and_forty(
    rows: Database, failures: int, last_failed_at: datetime, counted: int
) -> None:
    await delay(rows, TOKEN, failures, last_failed_at, PAST)
    async with rows.transaction() as transaction:
        assert await queries.count_failure(transaction, TOKEN, 3, 60, 100_000)
    assert await failures_of(rows) == {TOKEN: counted}


async def test_a_delay_belongs_to_its_subject(rows: Database) -> None:
    await delay(rows, TOKEN, 3, PAST, PAST)
    await delay(rows, OTHER_TOKEN, 3, PAST, FUTURE)
    async with rows.transaction() as transaction:
        assert (
            await queries.wait_seconds(transaction, [TOKEN])
            < 0
            < await queries.wait_seconds(transaction, [OTHER_TOKEN])
        )
        await queries.undo_failure(transaction, TOKEN)
        assert await failures_of(transaction) == {TOKEN: 2, OTHER_TOKEN: 3}
        await queries.forget_failures(transaction, [TOKEN])
        assert await failures_of(transaction) == {OTHER_TOKEN: 3}
        assert not await queries.count_failure(transaction, OTHER_TOKEN, 3, 60, 100_000)


async def test_a_failure_that_is_taken_back_leaves_none_at_least(rows: Database) -> None:
    await delay(rows, TOKEN, 0, PAST, PAST)
    async with rows.transaction() as transaction:
        await queries.undo_failure(transaction, TOKEN)
    assert await failures_of(rows) == {TOKEN: 0}
