"""Each claim and each answer belongs to one user, one key and one token."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from image_api.idempotency import queries
from image_core.db import Database
from image_core.ids import new_id
from image_core.models import idempotency_key
from image_core.testing import UserWithKey

HOUR = timedelta(hours=1)
ANSWER: dict[str, Any] = {
    "digest": b"x" * 32, "answer_status": 201, "answer_headers": "{}", "answer_body": b"{}", "retention": HOUR,
}  # fmt: skip


async def claim(rows: Database, user_id: UUID, key: str) -> UUID | None:
    token = new_id()
    claimed = await queries.claim(rows, user_id, key, token=token, lease=HOUR, retention=HOUR)
    return token if claimed else None


@pytest.fixture
async def mine(rows: Database, member: UserWithKey) -> UUID:
    token = await claim(rows, member.user_id, "mine")
    assert token is not None
    return token


@pytest.fixture
async def others(rows: Database, member: UserWithKey, stranger: UserWithKey, mine: UUID) -> None:
    """Make a claim of another user under the same key, and one of the same user under another."""
    assert await claim(rows, stranger.user_id, "mine")
    assert await claim(rows, member.user_id, "other")


async def rows_of(rows: Database) -> list[tuple[Any, ...]]:
    columns = idempotency_key.c
    found = await rows.fetch(
        select(columns.user_id, columns.key, columns.status, columns.lease_expires_at).order_by(columns.user_id)
    )
    return sorted((tuple(row) for row in found), key=repr)


async def changed(rows: Database, before: list[tuple[Any, ...]]) -> set[tuple[UUID, str]]:
    return {(user_id, key) for user_id, key, *_ in set(before) ^ set(await rows_of(rows))}


async def test_only_one_claims_a_key_that_is_live(rows: Database, member: UserWithKey, mine: UUID) -> None:
    assert await claim(rows, member.user_id, "mine") is None
    assert not await queries.add_answer(rows, member.user_id, "mine", **ANSWER)  # type: ignore[arg-type]


async def test_a_claim_is_over_with_its_lease(rows: Database, member: UserWithKey, mine: UUID) -> None:
    await rows.execute(update(idempotency_key).values(lease_expires_at=func.now() - HOUR))
    assert await queries.find(rows, member.user_id, "mine") is None
    assert await claim(rows, member.user_id, "mine")


async def test_what_is_found_is_under_the_key(
    rows: Database, member: UserWithKey, stranger: UserWithKey, mine: UUID, others: None
) -> None:
    await queries.answer_claim(rows, member.user_id, "mine", mine, **ANSWER)
    for user_id, key, status in ((member.user_id, "mine", 201), (member.user_id, "other", None)):
        found = await queries.find(rows, user_id, key)
        assert found is not None
        assert found["status"] == status
    assert await queries.find(rows, stranger.user_id, "other") is None


@pytest.mark.parametrize("change", ["answer", "renew", "drop"])
async def test_a_claim_is_changed_by_its_user_its_key_and_its_token(
    rows: Database, member: UserWithKey, mine: UUID, others: None, change: str
) -> None:
    before = await rows_of(rows)

    async def run(user_id: UUID, key: str, token: UUID) -> None:
        match change:
            case "answer":
                await queries.answer_claim(rows, user_id, key, token, **ANSWER)
            case "renew":
                await queries.renew(rows, user_id, key, token, 2 * HOUR)
            case _:
                await queries.drop_claim(rows, user_id, key, token)

    await run(member.user_id, "mine", new_id())
    await run(member.user_id, "other", mine)
    await run(new_id(), "mine", mine)
    assert await changed(rows, before) == set()
    await run(member.user_id, "mine", mine)
    assert await changed(rows, before) == {(member.user_id, "mine")}
