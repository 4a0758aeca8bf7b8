from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from sqlalchemy import func, select

from image_api.actor import Role
from image_core import testing
from image_core.admin import ADMIN_USER_ID
from image_core.billing import credits
from image_core.models import audit_event, team
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi

TEAMS = "/api/v1/teams"


async def audited(api: Api) -> list[str]:
    rows = await api.rows.fetch(select(audit_event.c.action).order_by(audit_event.c.created_at, audit_event.c.id))
    return [row[0] for row in rows]


async def test_an_admin_creates_a_team(api: Api) -> None:
    answer = await api.client.post(TEAMS, headers=api.admin.headers, json={"name": "  Field team "})
    assert answer.status_code == 201
    assert answer.json()["name"] == "Field team"
    assert answer.headers["etag"] == '"1"'
    assert await audited(api) == ["team.created"]


async def test_a_new_team_starts_with_credits(make_api: MakeApi) -> None:
    async with make_api(starting_credits=70) as api:
        answer = await api.client.post(TEAMS, headers=api.admin.headers, json={"name": "Field team"})
        account = await credits.find_account(api.rows, UUID(answer.json()["id"]))
    assert account is not None
    assert account["balance"] == 70


async def test_who_changed_a_team_is_recorded_with_the_change(api: Api) -> None:
    team_id = await api.team("before")
    answer = await api.client.patch(f"{TEAMS}/{team_id}", headers=api.admin.headers, json={"name": "after"})
    row = await api.rows.fetch_one(select(audit_event))
    assert row is not None
    assert (row["actor_user_id"], row["credential_id"]) == (ADMIN_USER_ID, api.admin.credential_id)
    assert (row["team_id"], row["target_id"], row["target_type"]) == (team_id, team_id, "team")
    assert (orjson.loads(row["before"]), orjson.loads(row["after"])) == ({"name": "before"}, {"name": "after"})
    assert row["request_id"] == answer.headers["x-request-id"]


async def test_a_change_that_fails_leaves_no_audit_event(api: Api) -> None:
    await api.team("taken")
    answer = await api.client.post(TEAMS, headers=api.admin.headers, json={"name": "taken"})
    assert (answer.status_code, answer.json()["code"]) == (409, "team-name-taken")
    team_id = await api.team("other")
    answer = await api.client.patch(f"{TEAMS}/{team_id}", headers=api.admin.headers, json={"name": "taken"})
    assert (answer.status_code, answer.json()["code"]) == (409, "team-name-taken")
    assert await audited(api) == []


@pytest.mark.parametrize("name", ["", "   ", "x" * 121, "a\x00b", "a\nb", None, 5, "\ud800"])
async def test_a_team_needs_a_name_that_people_can_read(api: Api, name: Any) -> None:
    body = orjson.dumps({"name": name}) if name != "\ud800" else b'{"name": "\\ud800"}'
    headers = {**api.admin.headers, "content-type": "application/json"}
    answer = await api.client.post(TEAMS, headers=headers, content=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "name"


async def test_a_field_that_is_not_known_is_refused(api: Api) -> None:
    answer = await api.client.post(TEAMS, headers=api.admin.headers, json={"name": "x", "quota": 5})
    assert answer.json()["errors"][0]["field"] == "quota"


async def test_members_read_their_own_team_and_no_other(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    own = await api.client.get(f"{TEAMS}/{member.team_id}", headers=member.headers)
    other = await api.client.get(f"{TEAMS}/{stranger.team_id}", headers=member.headers)
    listed = await api.client.get(TEAMS, headers=member.headers)
    assert (own.status_code, other.status_code) == (200, 404)
    assert [each["id"] for each in listed.json()["items"]] == [str(member.team_id)]


@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("PATCH", "/{id}"), ("DELETE", "/{id}")])
async def test_members_change_no_team(api: Api, member: UserWithKey, method: str, path: str) -> None:
    answer = await api.client.request(
        method, TEAMS + path.format(id=member.team_id), headers=member.headers, json={"name": "mine"}
    )
    assert (answer.status_code, answer.json()["missing_scopes"]) == (403, ["admin"])


async def test_the_scope_admin_in_a_members_hands_is_worth_nothing(api: Api) -> None:
    member = await api.user(scopes=("admin", "images:read"))
    answer = await api.client.post(TEAMS, headers=member.headers, json={"name": "mine"})
    assert (answer.status_code, answer.json()["code"]) == (403, "role-missing")


async def test_an_empty_patch_changes_nothing(api: Api) -> None:
    team_id = await api.team()
    answer = await api.client.patch(f"{TEAMS}/{team_id}", headers=api.admin.headers, json={})
    assert (answer.status_code, answer.headers["etag"]) == (200, '"1"')
    assert await audited(api) == []


async def test_a_change_against_an_old_copy_is_refused(api: Api) -> None:
    team_id = await api.team()
    path, stale = f"{TEAMS}/{team_id}", {**api.admin.headers, "if-match": '"7"'}
    for answer in (
        await api.client.patch(path, headers=stale, json={"name": "new"}),
        await api.client.delete(path, headers=stale),
    ):
        assert (answer.status_code, answer.json()["code"], answer.json()["etag"]) == (412, "etag-mismatch", '"1"')
    fresh = {**api.admin.headers, "if-match": '"9", "1"'}
    answer = await api.client.patch(path, headers=fresh, json={"keep_location": False})
    assert (answer.status_code, answer.json()["keep_location"], answer.headers["etag"]) == (200, False, '"2"')


async def test_an_empty_team_is_removed(api: Api) -> None:
    team_id = await api.team()
    answer = await api.client.delete(f"{TEAMS}/{team_id}", headers=api.admin.headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert await api.rows.fetch_value(select(func.count()).select_from(team)) == 0
    assert await audited(api) == ["team.removed"]


async def test_a_team_with_people_or_images_stays(api: Api, member: UserWithKey) -> None:
    other_id = await api.team()
    await testing.add_image(api.rows, other_id)
    for team_id in (member.team_id, other_id):
        answer = await api.client.delete(f"{TEAMS}/{team_id}", headers=api.admin.headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "team-not-empty")


async def test_a_team_that_is_not_there_is_not_found(api: Api) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        answer = await api.client.request(
            method, f"{TEAMS}/{uuid4()}", headers=api.admin.headers, json={} if method == "PATCH" else None
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "team-not-found")


async def test_an_admin_of_a_team_still_sees_every_team(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    admin = await api.user(member.team_id, Role.ADMIN)
    listed = await api.client.get(TEAMS, headers=admin.headers)
    assert len(listed.json()["items"]) == 2
