"""Removing a team that has images, and a user whom very many rows name: told at once, done by the sweep."""

from typing import Any

import pytest
from sqlalchemy import func, select, update

from image_api.actor import Role
from image_api.users import service as users
from image_core import testing
from image_core.models import audit_event, image, user
from image_core.testing import UserWithKey

from ..conftest import Api

TEAMS = "/api/v1/teams"


async def remove(api: Api, team_id: Any, expected: int = 202) -> dict[str, Any]:
    answer = await api.client.delete(f"{TEAMS}/{team_id}?force=true", headers=api.admin.headers)
    assert answer.status_code == expected, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def code_of(api: Api, method: str, path: str, **body: Any) -> str | None:
    answer = await api.client.request(method, path, headers=api.admin.headers, json=body)
    code: str | None = answer.json().get("code")
    return code


@pytest.fixture
async def person(api: Api) -> Any:
    made = await api.person()
    await testing.add_image(api.rows, made.team_id, uploaded_by=made.user_id)
    return made


class TestTeam:
    async def test_its_keys_and_sessions_end_at_once_and_no_others(
        self, api: Api, person: Any, stranger: UserWithKey
    ) -> None:
        bearer = await api.bearer(person)
        for headers in (person.headers, bearer):
            assert (await api.client.get("/api/v1/whoami", headers=headers)).status_code == 200
        assert (await remove(api, person.team_id))["deleting_at"] is not None
        for headers in (person.headers, bearer):
            answer = await api.client.get("/api/v1/whoami", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "user-disabled")
        assert (await api.login(person.email)).json()["code"] == "user-disabled"
        assert (await api.client.get("/api/v1/whoami", headers=stranger.headers)).status_code == 200
        # The request itself touches no image, however many there are.
        assert await api.rows.fetch_value(select(func.count()).where(image.c.deleted_at.is_not(None))) == 0
        actions = await api.rows.fetch(select(audit_event.c.action).where(audit_event.c.team_id == person.team_id))
        assert "team.removal_begun" in [row["action"] for row in actions]

    async def test_nothing_can_be_added_to_it(self, api: Api, person: Any) -> None:
        invited = await api.client.post(
            f"{TEAMS}/{person.team_id}/invitations", headers=api.admin.headers, json={"email": "eve@example.org"}
        )
        await remove(api, person.team_id)
        team = f"{TEAMS}/{person.team_id}"
        assert await code_of(api, "PATCH", team, name="Other") == "team-being-removed"
        assert await code_of(api, "POST", f"{team}/users", name="Eve") == "team-being-removed"
        assert await code_of(api, "POST", f"{team}/invitations", email="e@example.org") == "team-being-removed"
        for path in ("images/import", "classify"):
            url = "https://example.org/a.png"
            assert (
                await code_of(api, "POST", f"/api/v1/{path}?team_id={person.team_id}", url=url) == "team-being-removed"
            )
        joined = {
            "email": "eve@example.org", "name": "Eve", "password": "a very long password",
            "invitation_token": invited.json()["token"],
        }  # fmt: skip
        assert await code_of(api, "POST", "/api/v1/auth/register", **joined) == "invitation-not-found"

    async def test_asked_again_it_is_still_being_removed(self, api: Api, person: Any) -> None:
        first = await remove(api, person.team_id)
        assert await remove(api, person.team_id) == first
        shown = await api.client.get(f"{TEAMS}/{person.team_id}", headers=api.admin.headers)
        assert shown.json() == {name: value for name, value in first.items() if name != "operation_id"}

    async def test_a_team_of_an_admin_stays(self, api: Api, person: Any) -> None:
        await api.user(person.team_id, Role.ADMIN)
        assert (await remove(api, person.team_id, 409))["code"] == "team-not-empty"

    async def test_who_is_of_no_team_any_more_does_not_count_as_an_admin(self, api: Api, person: Any) -> None:
        await remove(api, person.team_id)
        promoted = {"role": "admin"}
        answer = await api.client.patch(f"/api/v1/users/{person.user_id}", headers=api.admin.headers, json=promoted)
        assert answer.status_code == 200
        assert await code_of(api, "PATCH", f"/api/v1/users/{api.admin.user_id}", disabled=True) == "last-admin"


class TestUserWithManyImages:
    @pytest.fixture
    async def removed(self, api: Api, person: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setattr(users, "_MAX_REFERENCES", 0)
        bearer = await api.bearer(person)
        assert (await api.client.get("/api/v1/whoami", headers=person.headers)).status_code == 200
        answer = await api.client.delete(f"/api/v1/users/{person.user_id}", headers=api.admin.headers)
        assert answer.status_code == 202
        for headers in (person.headers, bearer):
            assert (await api.client.get("/api/v1/whoami", headers=headers)).status_code == 401
        return person

    async def test_it_is_gone_for_everybody(self, api: Api, removed: Any) -> None:
        path = f"/api/v1/users/{removed.user_id}"
        assert [await code_of(api, method, path) for method in ("GET", "PATCH", "DELETE")] == ["user-not-found"] * 3
        assert await code_of(api, "POST", f"{path}/credentials", name="key") == "user-not-found"
        assert await code_of(api, "POST", f"{path}/password-reset") == "user-not-found"
        assert await code_of(api, "PATCH", f"{path}/credentials/{removed.credential_id}", name="x") == (
            "credential-not-found"
        )
        listed = await api.client.get(f"{TEAMS}/{removed.team_id}/users", headers=api.admin.headers)
        assert listed.json()["items"] == []
        assert (await api.login(removed.email)).json()["code"] == "sign-in-failed"

    async def test_nothing_of_the_person_is_kept_and_no_image_touched(self, api: Api, removed: Any) -> None:
        row = await api.rows.fetch_one(select(user).where(user.c.id == removed.user_id))
        assert row is not None
        assert (row["name"], row["email"], row["password_hash"]) == ("removed", None, None)
        assert await api.rows.fetch_value(select(image.c.uploaded_by)) == removed.user_id
        # Its address is free for somebody else.
        body = {"name": "Ada", "email": removed.email}
        answer = await api.client.post(f"{TEAMS}/{removed.team_id}/users", headers=api.admin.headers, json=body)
        assert answer.status_code == 201

    async def test_the_last_admin_stays(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(users, "_MAX_REFERENCES", -1)
        await api.rows.execute(update(user).where(user.c.id != api.admin.user_id).values(disabled_at=func.now()))
        assert await code_of(api, "DELETE", f"/api/v1/users/{api.admin.user_id}") == "last-admin"
