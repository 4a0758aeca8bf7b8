"""When a key ends: current and previous, before and after its grace, by the database's clock."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from image_core import testing
from image_core.db import Record
from image_core.ids import new_id
from image_core.models import credential, session
from image_core.testing import UserWithKey

from ..clocks import shift_clock
from ..conftest import Api

HOUR = timedelta(hours=1)
GRACE = timedelta(hours=10)
EARLY, LATE = timedelta(hours=2), timedelta(days=5)
"""Ends of a credential before and after the end of the grace."""


def rotate_path(of: UserWithKey) -> str:
    return f"/api/v1/user/{of.user_id}/credentials/rotate"


def path_of(of: UserWithKey) -> str:
    return f"/api/v1/users/{of.user_id}/credentials/{of.credential_id}"


async def rotate(api: Api, of: UserWithKey, by: str, **wish: Any) -> dict[str, Any]:
    wish = {"grace_period_seconds": int(GRACE.total_seconds()), **wish}
    answer = await api.client.post(rotate_path(of), headers={"X-API-KEY": by}, json=wish)
    assert answer.status_code == 200, answer.text
    rotated: dict[str, Any] = answer.json()
    return rotated


async def who(api: Api, api_key: str) -> tuple[int, Any]:
    """Return the status and the end that the caller is shown."""
    api.forget_keys()
    answer = await api.client.get("/api/v1/whoami", headers={"X-API-KEY": api_key})
    return answer.status_code, answer.json().get("key_expires_at")


async def row_of(api: Api, user: UserWithKey) -> Record:
    row = await api.rows.fetch_one(select(credential).where(credential.c.id == user.credential_id))
    assert row is not None
    return row


async def pass_time(api: Api, by: timedelta) -> None:
    """Let everything that ends do so earlier."""
    ends = {name: credential.c[name] - by for name in ("expires_at", "previous_expires_at")}
    await api.rows.execute(update(credential).values(ends))
    api.forget_keys()


@pytest.fixture
async def now(api: Api) -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize("end", [EARLY, LATE], ids=["ends before its grace", "ends after its grace"])
@pytest.mark.parametrize("way", ["rotate", "rotate twice", "rotate with an end", "PATCH"])
async def test_a_previous_key_ends_with_its_grace_or_its_credential(
    api: Api, now: datetime, way: str, end: timedelta
) -> None:
    ends_at = now + end
    owner = await api.user()
    limited = way in ("rotate", "rotate twice")
    key = await testing.add_key(api.rows, owner.user_id, owner.team_id, expires_at=ends_at if limited else None)
    wish = {"expires_at": ends_at.isoformat()} if way == "rotate with an end" else {}
    rotated = await rotate(api, key, key.api_key, **wish)
    if way == "rotate twice":
        rotated = await rotate(api, key, key.api_key)
    if way == "PATCH":
        changed = {"expires_at": ends_at.isoformat()}
        answer = await api.client.patch(path_of(key), headers=owner.headers, json=changed)
        assert answer.status_code == 200, answer.text
    row = await row_of(api, key)
    expected = min(ends_at, row["previous_expires_at"])
    if end == EARLY:
        assert expected == ends_at
    shown = (await api.client.get(path_of(key), headers=owner.headers)).json()
    assert datetime.fromisoformat(shown["previous"]["expires_at"]) == expected == row["previous_expires_at"]
    assert [(status, datetime.fromisoformat(until)) for status, until in [
        await who(api, key.api_key), await who(api, rotated["api_key"]),
    ]] == [(200, expected), (200, ends_at)]  # fmt: skip

    await pass_time(api, min(end, GRACE) + HOUR)
    assert (await who(api, key.api_key))[0] == 401
    assert (await who(api, rotated["api_key"]))[0] == (401 if end == EARLY else 200)
    for method, path, body in (
        ("POST", rotate_path(key), {"expires_at": "2099-01-01T00:00:00Z"}),
        ("PATCH", path_of(key), {"expires_at": None}),
    ):
        answer = await api.client.request(method, path, headers=key.headers, json=body)
        assert (answer.status_code, answer.json()["code"]) == (401, "api-key-expired")


@pytest.mark.parametrize("previous_ends", [HOUR, LATE])
async def test_a_previous_key_whose_row_says_otherwise_ends_with_its_credential(
    api: Api, member: UserWithKey, previous_ends: timedelta
) -> None:
    # As a release before this one may have left it.
    new = await rotate(api, member, member.api_key)
    now = datetime.now(UTC)
    values = {"expires_at": now - timedelta(seconds=1), "previous_expires_at": now + previous_ends}
    await api.rows.execute(update(credential).where(credential.c.id == member.credential_id).values(values))
    assert (await who(api, member.api_key))[0] == (await who(api, new["api_key"]))[0] == 401
    # A report of what is over ends nothing, and tells nobody.
    await api.client.post("/api/v1/credentials/report", json={"key": member.api_key})
    assert (await row_of(api, member))["revoked_at"] is None


async def test_an_admin_who_ends_a_credential_early_ends_its_previous_key(api: Api, member: UserWithKey) -> None:
    await rotate(api, member, member.api_key, grace_period_seconds=604_800)
    soon = {"expires_at": (datetime.now(UTC) + HOUR).isoformat()}
    patched = await api.client.patch(path_of(member), headers=api.admin.headers, json=soon)
    assert datetime.fromisoformat(patched.json()["previous"]["expires_at"]) == datetime.fromisoformat(
        soon["expires_at"]
    )
    await api.client.patch(path_of(member), headers=api.admin.headers, json={"expires_at": None})
    await pass_time(api, 2 * HOUR)
    assert (await who(api, member.api_key))[0] == 401


async def test_a_key_that_has_ended_is_not_the_first_one(api: Api, member: UserWithKey) -> None:
    second = await testing.add_key(api.rows, member.user_id, member.team_id)
    over = datetime.now(UTC) - HOUR
    first = credential.c.id == member.credential_id
    await api.rows.execute(update(credential).where(first).values(expires_at=over))
    assert (await rotate(api, member, api.admin.api_key))["credential_id"] == str(second.credential_id)
    named = {"credential_id": str(member.credential_id)}
    answer = await api.client.post(rotate_path(member), headers=api.admin.headers, json=named)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == "credential-expired"
    await api.rows.execute(
        update(credential).where(~first, credential.c.user_id == member.user_id).values(expires_at=over)
    )
    answer = await api.client.post(rotate_path(member), headers=api.admin.headers, json={})
    assert (answer.status_code, answer.json()["code"]) == (404, "credential-not-found")


@pytest.mark.parametrize("hours", [-1, 1])
class TestAnotherClock:
    """An API whose own clock is an hour behind or ahead."""

    async def test_keys_end_by_the_databases_clock(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch, hours: int
    ) -> None:
        shift_clock(monkeypatch, hours * HOUR)
        rotated = await rotate(api, member, member.api_key, grace_period_seconds=1800)
        assert [(await who(api, each))[0] for each in (member.api_key, rotated["api_key"])] == [200, 200]
        await pass_time(api, timedelta(seconds=1801))
        assert [(await who(api, each))[0] for each in (member.api_key, rotated["api_key"])] == [401, 200]
        ends_at = (datetime.now(UTC) + HOUR / 2).isoformat()
        answer = await api.client.patch(path_of(member), headers=api.admin.headers, json={"expires_at": ends_at})
        assert answer.status_code == 200, answer.text
        assert (await who(api, rotated["api_key"]))[0] == 200
        await pass_time(api, HOUR / 2)
        assert (await who(api, rotated["api_key"]))[0] == 401

    async def test_a_key_in_the_cache_ends_while_it_is_there(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, hours: int
    ) -> None:
        owner = await api.user()
        soon = datetime.now(UTC) + timedelta(seconds=30)
        key = await testing.add_key(api.rows, owner.user_id, owner.team_id, expires_at=soon)
        shift_clock(monkeypatch, hours * HOUR)
        cache, seconds = api.app.state.key_cache, 1000.0
        monkeypatch.setattr(cache.rows, "clock", lambda: seconds)
        monkeypatch.setattr("image_api.lookups.fresh_cache.CACHE_SECONDS", 60.0)
        api.forget_keys()
        for seconds, status in ((1000.0, 200), (1029.0, 200), (1031.0, 401)):  # noqa: B007
            answer = await api.client.get("/api/v1/whoami", headers=key.headers)
            assert answer.status_code == status

    async def test_uses_are_dated_by_the_databases_clock(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch, hours: int
    ) -> None:
        shift_clock(monkeypatch, hours * HOUR)
        await who(api, member.api_key)
        used_at = (await row_of(api, member))["last_used_at"]
        assert abs(used_at - datetime.now(UTC)) < timedelta(minutes=1)

    async def test_sessions_and_their_tokens_end_by_the_databases_clock(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, hours: int
    ) -> None:
        person = await api.person()
        elsewhere = (await api.login(person.email)).json()
        shift_clock(monkeypatch, hours * HOUR)
        here = (await api.login(person.email)).json()
        assert here["expires_in"] == elsewhere["expires_in"]
        for token in (elsewhere["access_token"], here["access_token"]):
            headers = {"Authorization": f"Bearer {token}"}
            assert (await api.client.get("/api/v1/whoami", headers=headers)).status_code == 200
        ends = {"expires_at": session.c.expires_at - timedelta(hours=api.services.settings.session_hours)}
        await api.rows.execute(update(session).values(ends))
        api.forget_keys()
        answer = await api.client.get("/api/v1/whoami", headers={"Authorization": f"Bearer {here['access_token']}"})
        assert answer.json()["code"] == "session-ended"

    async def test_a_token_ends_by_the_databases_clock(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, hours: int
    ) -> None:
        person, session_id, now = await api.person(), new_id(), datetime.now(UTC)
        values = {"id": session_id, "user_id": person.user_id, "expires_at": now + HOUR}
        await api.rows.execute(insert(session).values(values))
        issued_at = now - timedelta(seconds=api.services.access_tokens.lifetime_seconds)
        tokens = [
            (await api.services.access_tokens.issue(session_id, person.user_id, at, now + HOUR))[0]
            for at in (issued_at - timedelta(seconds=10), issued_at + timedelta(seconds=60))
        ]
        shift_clock(monkeypatch, hours * HOUR)
        answers = [
            await api.client.get("/api/v1/whoami", headers={"Authorization": f"Bearer {token}"}) for token in tokens
        ]
        assert [(answer.status_code, answer.json().get("code")) for answer in answers] == [
            (401, "token-expired"),
            (200, None),
        ]

    async def test_invitations_and_resets_end_by_the_databases_clock(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, hours: int
    ) -> None:
        person = await api.person()
        shift_clock(monkeypatch, hours * HOUR)
        invited = await api.client.post(
            f"/api/v1/teams/{person.team_id}/invitations",
            headers=api.admin.headers,
            json={"email": "grace@example.org", "expires_in_seconds": 3600},
        )
        reset = await api.client.post(
            f"/api/v1/users/{person.user_id}/password-reset",
            headers=api.admin.headers,
            json={"expires_in_seconds": 3600},
        )
        for made in (invited, reset):
            left = datetime.fromisoformat(json.loads(made.text)["expires_at"]) - datetime.now(UTC)
            assert timedelta(minutes=59) < left <= HOUR
        joined = {
            "email": "grace@example.org", "name": "Grace", "password": "a very long password",
            "invitation_token": invited.json()["token"],
        }  # fmt: skip
        assert (await api.client.post("/api/v1/auth/register", json=joined)).status_code == 202
        again = {"token": reset.json()["token"], "password": "another long password"}
        assert (await api.client.post("/api/v1/auth/password-reset", json=again)).status_code == 204


async def test_a_revoked_key_is_not_rotated(api: Api, member: UserWithKey) -> None:
    second = await testing.add_key(api.rows, member.user_id, member.team_id, revoked_at=datetime.now(UTC))
    wish = {"credential_id": str(second.credential_id)}
    answer = await api.client.post(rotate_path(member), headers=member.headers, json=wish)
    assert (answer.status_code, answer.json()["code"]) == (404, "credential-not-found")
