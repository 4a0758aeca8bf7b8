import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import func, select, update

from image_api.actor import Role
from image_core import testing
from image_core.admin import ADMIN_USER_ID
from image_core.db import Record
from image_core.keys import api_keys
from image_core.models import audit_event, credential
from image_core.testing import UserWithKey

from ..conftest import Api

DEFAULT = {"X-API-KEY": api_keys.DEFAULT_KEY}
ROTATE_ADMIN = f"/api/v1/user/{ADMIN_USER_ID}/credentials/rotate"


async def rotate(
    api: Api, user: UserWithKey, by: str | None = None, expected: int = 200, **wish: Any
) -> dict[str, Any]:
    """Rotates with the user's key, or the one given in `by`, and returns the body."""
    headers = {"X-API-KEY": by or user.api_key, "content-type": "application/json"}
    answer = await api.client.post(
        f"/api/v1/user/{user.user_id}/credentials/rotate", headers=headers, content=json.dumps(wish)
    )
    assert answer.status_code == expected, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def works(api: Api, api_key: str) -> bool:
    api.forget_keys()
    return (await api.client.get("/api/v1/whoami", headers={"X-API-KEY": api_key})).status_code == 200


async def row_of(api: Api, user: UserWithKey) -> Record:
    row = await api.rows.fetch_one(select(credential).where(credential.c.id == user.credential_id))
    assert row is not None
    return row


async def age_previous(api: Api, user: UserWithKey) -> None:
    """Lets the grace period of the previous key be over."""
    over = datetime.now(UTC) - timedelta(seconds=1)
    await api.rows.execute(
        update(credential).where(credential.c.id == user.credential_id).values(previous_expires_at=over)
    )


# The rows of the table "Keys" in state.md, one by one.


async def test_without_a_live_previous_the_current_key_becomes_the_previous_one(api: Api, member: UserWithKey) -> None:
    rotated = await rotate(api, member, grace_period_seconds=100)
    assert await works(api, member.api_key)
    assert await works(api, rotated["api_key"])
    ends_in = datetime.fromisoformat(rotated["previous"]["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=90) < ends_in <= timedelta(seconds=100)


async def test_a_previous_key_whose_grace_is_over_no_longer_works(api: Api, member: UserWithKey) -> None:
    rotated = await rotate(api, member)
    await age_previous(api, member)
    assert not await works(api, member.api_key)
    assert await works(api, rotated["api_key"])


async def test_a_rotation_after_the_grace_needs_no_force(api: Api, member: UserWithKey) -> None:
    first = await rotate(api, member)
    await works(api, first["api_key"])
    await age_previous(api, member)
    second = await rotate(api, member, first["api_key"])
    assert await works(api, first["api_key"])
    assert await works(api, second["api_key"])


async def test_an_unused_current_key_is_replaced_and_the_previous_one_keeps_running(
    api: Api, member: UserWithKey
) -> None:
    lost = await rotate(api, member, grace_period_seconds=10)
    found = await rotate(api, member, grace_period_seconds=1000)
    assert not await works(api, lost["api_key"])
    assert await works(api, member.api_key)
    assert await works(api, found["api_key"])
    ends_in = datetime.fromisoformat(found["previous"]["expires_at"]) - datetime.now(UTC)
    assert ends_in > timedelta(seconds=900)


async def test_replacing_a_lost_key_never_shortens_the_running_grace(api: Api, member: UserWithKey) -> None:
    first = await rotate(api, member, grace_period_seconds=1000)
    second = await rotate(api, member, grace_period_seconds=10)
    assert second["previous"]["expires_at"] == first["previous"]["expires_at"]


async def test_when_both_keys_are_in_use_a_rotation_is_refused(api: Api, member: UserWithKey) -> None:
    current = await rotate(api, member)
    assert await works(api, current["api_key"])
    body = await rotate(api, member, expected=409)
    assert body["code"] == "rotation-in-grace"
    assert await works(api, member.api_key)
    assert await works(api, current["api_key"])


async def test_force_ends_the_previous_key_and_makes_the_current_one_previous(api: Api, member: UserWithKey) -> None:
    current = await rotate(api, member)
    assert await works(api, current["api_key"])
    newest = await rotate(api, member, current["api_key"], force=True)
    assert not await works(api, member.api_key)
    assert await works(api, current["api_key"])
    assert await works(api, newest["api_key"])


@pytest.mark.parametrize("in_grace", [False, True])
async def test_without_grace_every_earlier_key_ends_at_once(api: Api, member: UserWithKey, in_grace: bool) -> None:
    earlier = [member.api_key]
    if in_grace:
        earlier.append((await rotate(api, member))["api_key"])
        assert await works(api, earlier[-1])
    rotated = await rotate(api, member, earlier[-1], grace_period_seconds=0)
    assert rotated["previous"] is None
    assert [await works(api, key) for key in earlier] == [False] * len(earlier)
    assert await works(api, rotated["api_key"])


async def test_the_old_key_ends_at_once_on_the_instance_that_rotated_it(api: Api, member: UserWithKey) -> None:
    await rotate(api, member, grace_period_seconds=0)
    answer = await api.client.get("/api/v1/whoami", headers=member.headers)
    assert answer.status_code == 401


async def test_of_two_rotations_at_the_same_moment_one_wins(api: Api, member: UserWithKey) -> None:
    answers = await asyncio.gather(
        *(
            api.client.post(f"/api/v1/user/{member.user_id}/credentials/rotate", headers=member.headers, json={})
            for _ in range(5)
        )
    )
    codes = [answer.json().get("code") for answer in answers if answer.status_code == 409]
    won = [answer.json()["api_key"] for answer in answers if answer.status_code == 200]
    assert set(codes) <= {"rotation-in-progress"}
    # Whoever comes after the winner's commit replaces the key that nobody has used yet.
    assert sum([await works(api, key) for key in won]) == 1


async def test_a_rotation_under_way_is_not_waited_for(api: Api, member: UserWithKey, urls: Any) -> None:
    holder = await asyncpg.connect(urls.superuser)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("SELECT FROM credential WHERE id = $1 FOR UPDATE", member.credential_id)
    # Its first use would wait for the lock, too.
    await api.rows.execute(select(func.now()))
    try:
        body = await rotate(api, member, by=api.admin.api_key, expected=409)
    finally:
        await transaction.rollback()
        await holder.close()
    assert body["code"] == "rotation-in-progress"


async def test_the_default_key_always_rotates_without_grace(api: Api) -> None:
    await api.rows.execute(
        update(credential).where(credential.c.public_id == api_keys.DEFAULT_PUBLIC_ID).values(is_default=True)
    )
    answer = await api.client.post(ROTATE_ADMIN, headers=DEFAULT, json={"grace_period_seconds": 1000})
    assert answer.status_code == 200
    assert answer.json()["previous"] is None
    assert not await works(api, api_keys.DEFAULT_KEY)
    assert (await api.client.get("/api/v1/teams", headers={"X-API-KEY": answer.json()["api_key"]})).status_code == 200


# Who may, and what else there is to a rotation.


async def test_a_rotation_needs_no_body(api: Api, member: UserWithKey) -> None:
    answer = await api.client.post(f"/api/v1/users/{member.user_id}/credentials/rotate", headers=member.headers)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"


async def test_an_admin_rotates_the_first_key_of_another_user(api: Api, member: UserWithKey) -> None:
    await testing.add_key(api.rows, member.user_id, member.team_id)
    rotated = await rotate(api, member, by=api.admin.api_key)
    assert rotated["credential_id"] == str(member.credential_id)


async def test_a_user_rotates_another_key_of_its_own_by_its_id(api: Api, member: UserWithKey) -> None:
    second = await testing.add_key(api.rows, member.user_id, member.team_id)
    rotated = await rotate(api, member, credential_id=str(second.credential_id))
    assert rotated["credential_id"] == str(second.credential_id)


async def test_nobody_rotates_the_key_of_somebody_else(api: Api, member: UserWithKey, colleague: UserWithKey) -> None:
    body = await rotate(api, colleague, by=member.api_key, expected=404)
    assert body["code"] == "user-not-found"


async def test_a_credential_of_somebody_else_is_not_found(
    api: Api, member: UserWithKey, colleague: UserWithKey
) -> None:
    body = await rotate(api, member, expected=404, credential_id=str(colleague.credential_id))
    assert body["code"] == "credential-not-found"


async def test_a_key_without_the_scope_cannot_rotate_itself(api: Api) -> None:
    reader = await api.user(scopes=("images:read",))
    body = await rotate(api, reader, expected=403)
    assert body["missing_scopes"] == ["keys:self"]


async def test_a_key_that_was_rotated_away_elsewhere_cannot_rotate(api: Api, member: UserWithKey) -> None:
    assert await works(api, member.api_key)
    new = api_keys.generate()
    # Another instance rotated without grace; this one still has the old key in its cache.
    await api.rows.execute(
        update(credential)
        .where(credential.c.id == member.credential_id)
        .values(public_id=new.public_id, key_hash=new.key_hash)
    )
    body = await rotate(api, member, expected=401)
    assert body["code"] == "api-key-invalid"


async def test_the_first_use_of_a_previous_key_after_a_rotation_is_told(api: Api, member: UserWithKey) -> None:
    await rotate(api, member)
    await works(api, member.api_key)
    assert (await row_of(api, member))["previous_last_used_at"] is not None


async def test_an_expiry_is_kept_unless_another_is_given(api: Api, member: UserWithKey) -> None:
    ends_at = datetime.now(UTC) + timedelta(days=3)
    await api.rows.execute(update(credential).where(credential.c.id == member.credential_id).values(expires_at=ends_at))
    await rotate(api, member)
    assert (await row_of(api, member))["expires_at"] == ends_at
    later = ends_at + timedelta(days=1)
    await rotate(api, member, by=api.admin.api_key, expires_at=later.isoformat())
    assert (await row_of(api, member))["expires_at"] == later


@pytest.mark.parametrize(
    "wish",
    [
        {"grace_period_seconds": -1},
        {"grace_period_seconds": 604_801},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"expires_at": "2001-01-01T00:00:00"},
        {"expires_at": "0001-01-01T00:00:00+14:00"},
        {"expires_at": "9999-12-31T23:59:59-12:00"},
        {"credential_id": "x"},
        {"force": "perhaps"},
        {"reason": "x" * 501},
        {"reason": "nul \x00 byte"},
        {"reason": "half a \ud800 pair"},
        {"other": 1},
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused_by_field(
    api: Api, member: UserWithKey, wish: dict[str, Any]
) -> None:
    body = await rotate(api, member, expected=422, **wish)
    assert [error["field"] for error in body["errors"]] == list(wish)
    assert await works(api, member.api_key)


async def test_a_rotation_is_audited_without_any_secret(api: Api, member: UserWithKey) -> None:
    rotated = await rotate(api, member, by=api.admin.api_key, reason="yearly")
    row = await api.rows.fetch_one(select(audit_event).where(audit_event.c.action == "credential.rotated"))
    assert row is not None
    assert (row["target_id"], row["actor_user_id"]) == (member.credential_id, ADMIN_USER_ID)
    assert "yearly" in row["after"]
    written = f"{row['before']}{row['after']}"
    assert rotated["key_prefix"] in written
    assert rotated["api_key"] not in written
    assert member.api_key not in written


async def test_only_hashes_of_keys_are_stored(api: Api, member: UserWithKey) -> None:
    rotated = await rotate(api, member)
    stored = await api.rows.fetch(select(credential).where(credential.c.id == member.credential_id))
    text = repr([dict(row) for row in stored])
    secret = rotated["api_key"].rpartition("_")[2]
    assert secret not in text
    assert api_keys.hash_key(rotated["api_key"]) == stored[0]["key_hash"]


async def test_an_admin_whose_key_lacks_the_scope_rotates_only_itself(api: Api, member: UserWithKey) -> None:
    narrow = await api.user(role=Role.ADMIN, scopes=("keys:self",))
    await rotate(api, member, by=narrow.api_key, expected=404)
    await rotate(api, narrow)
