"""What a key hands on lies within its own scopes, end and networks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from image_api.actor import Role
from image_core import testing
from image_core.admin import ADMIN_USER_ID
from image_core.models import credential
from image_core.testing import UserWithKey

from ..conftest import Api

HERE = ["127.0.0.0/25", "127.0.0.128/25", "2001:db8::/32"]
END = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
EARLIER, LATER = (END - timedelta(minutes=1)).isoformat(), (END + timedelta(seconds=1)).isoformat()


async def ask(api: Api, by: Any, method: str, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
    headers = by.headers if isinstance(by, UserWithKey) else by
    answer = await api.client.request(method, f"/api/v1/users/{path}", headers=headers, json=body)
    return answer.status_code, answer.json()


@pytest.fixture
async def bound(api: Api, member: UserWithKey) -> UserWithKey:
    """A key of the member that ends, and may be used from here only."""
    return await testing.add_key(api.rows, member.user_id, member.team_id, expires_at=END, address_ranges=HERE)


WIDER: list[tuple[dict[str, Any], list[str]]] = [
    ({"expires_at": None}, ["expires_at"]),
    ({"expires_at": LATER}, ["expires_at"]),
    ({"address_ranges": None}, ["address_ranges"]),
    ({"address_ranges": ["127.0.0.0/23"]}, ["address_ranges"]),
    ({"address_ranges": ["127.0.0.1", "::/0"]}, ["address_ranges"]),
    ({"address_ranges": ["0.0.0.0/0"]}, ["address_ranges"]),
    ({"expires_at": None, "address_ranges": None}, ["expires_at", "address_ranges"]),
]
WITHIN: list[dict[str, Any]] = [
    {"expires_at": END.isoformat()},
    {"expires_at": EARLIER},
    {"address_ranges": ["127.0.0.0/24"]},
    {"address_ranges": ["127.0.0.7", "2001:db8:1::/48"]},
]


@pytest.mark.parametrize(("wish", "exceeded"), WIDER)
async def test_a_bound_key_makes_and_becomes_nothing_wider(
    api: Api, member: UserWithKey, bound: UserWithKey, wish: dict[str, Any], exceeded: list[str]
) -> None:
    user, own = str(member.user_id), f"{member.user_id}/credentials/{bound.credential_id}"
    attempts = [
        await ask(api, bound, "POST", f"{user}/credentials", name="wider", **wish),
        await ask(api, bound, "PATCH", own, **wish),
    ]
    if wish == {"expires_at": LATER}:
        attempts.append(await ask(api, bound, "POST", f"{user}/credentials/rotate", **wish))
    for status, body in attempts:
        assert (status, body["code"], body["exceeded"]) == (403, "key-limit-exceeded", exceeded)
        assert set(body["limits"]) == set(exceeded)
    rows = await api.rows.fetch(select(credential).where(credential.c.user_id == member.user_id))
    assert [row["expires_at"] for row in rows if row["id"] == bound.credential_id] == [END]
    assert len(rows) == 2


@pytest.mark.parametrize("wish", WITHIN)
async def test_a_bound_key_makes_and_becomes_what_lies_within(
    api: Api, member: UserWithKey, bound: UserWithKey, wish: dict[str, Any]
) -> None:
    status, made = await ask(api, bound, "POST", f"{member.user_id}/credentials", name="narrow", **wish)
    assert status == 201, made
    own = f"{member.user_id}/credentials/{bound.credential_id}"
    assert (await ask(api, bound, "PATCH", own, **wish))[0] == 200


async def test_what_is_not_named_is_as_the_calling_key_has_it(
    api: Api, member: UserWithKey, bound: UserWithKey
) -> None:
    status, made = await ask(api, bound, "POST", f"{member.user_id}/credentials", name="as I am")
    assert status == 201
    assert (datetime.fromisoformat(made["expires_at"]), made["address_ranges"]) == (END, HERE)


async def test_a_bound_key_sees_to_no_wider_key_of_its_user(api: Api, member: UserWithKey, bound: UserWithKey) -> None:
    for columns in ({}, {"expires_at": END}, {"address_ranges": HERE}):
        wider = await testing.add_key(api.rows, member.user_id, member.team_id, **columns)
        path = f"{member.user_id}/credentials/{wider.credential_id}"
        for attempt in (
            await ask(api, bound, "PATCH", path, name="mine"),
            await ask(api, bound, "PATCH", path, expires_at=EARLIER, address_ranges=["127.0.0.1"]),
            await ask(api, bound, "DELETE", path),
            await ask(
                api, bound, "POST", f"{member.user_id}/credentials/rotate", credential_id=str(wider.credential_id)
            ),
        ):
            assert (attempt[0], attempt[1]["code"]) == (403, "key-limit-exceeded")


async def test_a_bound_key_rotates_itself_and_its_like(api: Api, member: UserWithKey, bound: UserWithKey) -> None:
    _, made = await ask(api, bound, "POST", f"{member.user_id}/credentials", name="like me")
    rotate = f"{member.user_id}/credentials/rotate"
    assert (await ask(api, bound, "POST", rotate, credential_id=made["id"]))[0] == 200
    assert (await ask(api, bound, "POST", rotate, credential_id=made["id"], expires_at=LATER))[0] == 403
    assert (await ask(api, bound, "POST", rotate, expires_at=EARLIER))[0] == 200


async def test_a_previous_key_makes_nothing_that_outlives_it_and_replaces_a_lost_answer(
    api: Api, member: UserWithKey
) -> None:
    rotate = f"{member.user_id}/credentials/rotate"
    _, rotated = await ask(api, member, "POST", rotate, grace_period_seconds=3600)
    _, made = await ask(api, member, "POST", f"{member.user_id}/credentials", name="as I am")
    assert made["expires_at"] == rotated["previous"]["expires_at"]
    forever = await ask(api, member, "POST", f"{member.user_id}/credentials", name="forever", expires_at=None)
    assert (forever[0], forever[1]["code"]) == (403, "key-limit-exceeded")
    assert (await ask(api, member, "POST", rotate))[0] == 200


async def test_limits_that_were_set_elsewhere_hold_at_once(api: Api, member: UserWithKey) -> None:
    assert (await api.client.get("/api/v1/whoami", headers=member.headers)).status_code == 200
    # Another instance sets them; this one still has the key without them in its cache.
    own = credential.c.id == member.credential_id
    await api.rows.execute(update(credential).where(own).values(expires_at=END, address_ranges=HERE))
    wish = {"name": "forever", "expires_at": None, "address_ranges": None}
    assert (await ask(api, member, "POST", f"{member.user_id}/credentials", **wish))[0] == 403


async def test_an_admin_acting_on_others_and_a_session_are_not_bound(
    api: Api, member: UserWithKey, bound: UserWithKey
) -> None:
    admin = await testing.add_key(api.rows, ADMIN_USER_ID, None, expires_at=END, address_ranges=HERE)
    wide = {"expires_at": None, "address_ranges": None}
    own = f"{member.user_id}/credentials/{bound.credential_id}"
    for by in (admin, await api.bearer(member)):
        status, made = await ask(api, by, "POST", f"{member.user_id}/credentials", name="wide")
        assert (status, made["expires_at"], made["address_ranges"]) == (201, None, None)
        assert (await ask(api, by, "PATCH", own, **wide))[0] == 200
        status, _ = await ask(
            api, by, "POST", f"{member.user_id}/credentials/rotate",
            credential_id=str(bound.credential_id), expires_at=LATER,
        )  # fmt: skip
        assert status == 200
        await api.rows.execute(
            update(credential)
            .where(credential.c.id == bound.credential_id)
            .values(expires_at=END, address_ranges=HERE, previous_public_id=None, previous_key_hash=None,
                    previous_expires_at=None)
        )  # fmt: skip


async def test_an_admin_is_bound_by_its_key_where_it_acts_on_itself(api: Api) -> None:
    admin = await api.user(role=Role.ADMIN)
    key = await testing.add_key(api.rows, admin.user_id, None, expires_at=END)
    status, body = await ask(api, key, "POST", f"{admin.user_id}/credentials", name="forever", expires_at=None)
    assert (status, body["code"]) == (403, "key-limit-exceeded")
