import asyncio
from typing import Any
from uuid import uuid4

import orjson
import pytest
from sqlalchemy import func, select, update

from image_api.actor import DEFAULT_SCOPES, Role
from image_core import testing
from image_core.admin import ADMIN_USER_ID
from image_core.models import audit_event, credential, image, user
from image_core.testing import UserWithKey

from ..conftest import Api


async def create(api: Api, team_id: object, expected: int = 201, **body: Any) -> dict[str, Any]:
    answer = await api.client.post(f"/api/v1/teams/{team_id}/users", headers=api.admin.headers, json=body)
    assert answer.status_code == expected, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def change(api: Api, user_id: object, expected: int = 200, **body: Any) -> dict[str, Any]:
    answer = await api.client.patch(f"/api/v1/users/{user_id}", headers=api.admin.headers, json=body)
    assert answer.status_code == expected, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


async def test_a_new_user_gets_a_key_that_works_and_is_shown_once(api: Api) -> None:
    team_id = await api.team()
    answer = await api.client.post(
        f"/api/v1/teams/{team_id}/users", headers=api.admin.headers, json={"name": "Ada", "email": "ada@example.org"}
    )
    assert answer.headers["cache-control"] == "no-store"
    created = answer.json()
    assert created["user"]["scopes"] == list(DEFAULT_SCOPES[Role.MEMBER])
    assert created["api_key"].startswith(created["key_prefix"])
    who = await api.client.get("/api/v1/whoami", headers={"X-API-KEY": created["api_key"]})
    assert who.json()["user_id"] == created["user"]["id"]
    shown = await api.client.get(f"/api/v1/users/{created['user']['id']}", headers=api.admin.headers)
    assert "api_key" not in shown.text


async def test_a_new_user_is_audited_without_name_address_or_key(api: Api) -> None:
    created = await create(api, await api.team(), name="Ada Lovelace", email="ada@example.org")
    row = await api.rows.fetch_one(select(audit_event))
    assert row is not None
    assert row["action"] == "user.created"
    for personal in ("Lovelace", "ada@", created["api_key"]):
        assert personal not in row["after"]


async def test_a_viewer_gets_fewer_scopes(api: Api) -> None:
    created = await create(api, await api.team(), name="Ada", role="viewer")
    assert created["user"]["scopes"] == list(DEFAULT_SCOPES[Role.VIEWER])


async def test_scopes_can_be_chosen(api: Api) -> None:
    created = await create(api, await api.team(), name="Ada", scopes=["images:read", "images:delete"])
    assert created["user"]["scopes"] == ["images:read", "images:delete"]


async def test_only_an_admin_can_have_the_scope_admin(api: Api, member: UserWithKey) -> None:
    body = await create(api, await api.team(), expected=422, name="Ada", scopes=["admin"])
    assert body["errors"][0]["code"] == "scope-needs-admin"
    await change(api, member.user_id, expected=422, scopes=["admin"])


async def test_a_user_needs_a_team_that_is_there(api: Api) -> None:
    body = await create(api, uuid4(), expected=404, name="Ada")
    assert body["code"] == "team-not-found"


async def test_an_address_belongs_to_one_user_in_any_case(api: Api, member: UserWithKey) -> None:
    team_id = await api.team()
    await create(api, team_id, name="Ada", email="Ada@example.org")
    body = await create(api, team_id, expected=409, name="Ada", email="ada@EXAMPLE.org")
    assert body["code"] == "email-taken"
    body = await change(api, member.user_id, expected=409, email="ADA@example.org")
    assert body["code"] == "email-taken"


@pytest.mark.parametrize("email", ["", "a", "@", "a@", "a b@c", "a@b\x00c", "x" * 250 + "@c.de", 1])
async def test_what_cannot_be_an_address_is_refused(api: Api, email: Any) -> None:
    body = await create(api, await api.team(), expected=422, name="Ada", email=email)
    assert body["errors"][0]["field"] == "email"


async def test_members_list_their_team_but_show_no_user(
    api: Api, member: UserWithKey, colleague: UserWithKey, stranger: UserWithKey
) -> None:
    own = await api.client.get(f"/api/v1/teams/{member.team_id}/users", headers=member.headers)
    assert {each["id"] for each in own.json()["items"]} == {str(member.user_id), str(colleague.user_id)}
    other = await api.client.get(f"/api/v1/teams/{stranger.team_id}/users", headers=member.headers)
    assert (other.status_code, other.json()["code"]) == (404, "team-not-found")
    shown = await api.client.get(f"/api/v1/users/{colleague.user_id}", headers=member.headers)
    assert shown.status_code == 403


async def test_a_patch_changes_what_it_names_and_removes_what_is_null(api: Api) -> None:
    created = await create(api, await api.team(), name="Ada", email="ada@example.org")
    changed = await change(api, created["user"]["id"], email=None)
    assert (changed["name"], changed["email"]) == ("Ada", None)
    await change(api, created["user"]["id"], expected=422, name=None)


async def test_a_new_role_brings_its_scopes(api: Api, member: UserWithKey) -> None:
    assert (await change(api, member.user_id, role="viewer"))["scopes"] == list(DEFAULT_SCOPES[Role.VIEWER])
    assert (await change(api, member.user_id, role="admin"))["scopes"] == list(DEFAULT_SCOPES[Role.ADMIN])


async def test_a_disabled_user_is_refused_at_once_on_this_instance(api: Api, member: UserWithKey) -> None:
    assert (await api.client.get("/api/v1/whoami", headers=member.headers)).status_code == 200
    assert (await change(api, member.user_id, disabled=True))["disabled_at"] is not None
    answer = await api.client.get("/api/v1/whoami", headers=member.headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "user-disabled")
    assert (await change(api, member.user_id, disabled=False))["disabled_at"] is None
    assert (await api.client.get("/api/v1/whoami", headers=member.headers)).status_code == 200


async def test_disabling_again_does_not_move_the_time(api: Api, member: UserWithKey) -> None:
    first = await change(api, member.user_id, disabled=True)
    second = await change(api, member.user_id, disabled=True)
    assert second["disabled_at"] == first["disabled_at"]


async def test_a_change_is_audited_with_what_was_before(api: Api, member: UserWithKey) -> None:
    await change(api, member.user_id, scopes=["images:read"], name="Somebody Else")
    row = await api.rows.fetch_one(select(audit_event))
    assert row is not None
    assert orjson.loads(row["before"]) == {"scopes": list(DEFAULT_SCOPES[Role.MEMBER])}
    assert orjson.loads(row["after"]) == {"scopes": ["images:read"]}


@pytest.mark.parametrize(
    "patch", [{"role": "viewer"}, {"role": "member"}, {"disabled": True}, {"scopes": ["images:read"]}]
)
async def test_the_last_admin_stays_one(api: Api, patch: dict[str, Any]) -> None:
    # Somebody with a team, so that the role alone is what is refused.
    team_id = await api.team()
    await api.rows.execute(user.update().where(user.c.id == ADMIN_USER_ID).values(team_id=team_id))
    body = await change(api, ADMIN_USER_ID, expected=409, **patch)
    assert body["code"] == "last-admin"


async def test_the_last_admin_is_not_removed(api: Api) -> None:
    await api.user(role=Role.ADMIN, disabled_at=(await api.rows.fetch_value(select(func.now()))))
    await api.user(role=Role.ADMIN, scopes=("keys:self",))
    answer = await api.client.delete(f"/api/v1/users/{ADMIN_USER_ID}", headers=api.admin.headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "last-admin")


async def test_of_two_admins_who_remove_each_other_one_stays(api: Api) -> None:
    other = await api.user(role=Role.ADMIN)
    answers = await asyncio.gather(
        api.client.delete(f"/api/v1/users/{other.user_id}", headers=api.admin.headers),
        api.client.delete(f"/api/v1/users/{ADMIN_USER_ID}", headers=other.headers),
    )
    assert sorted(answer.status_code for answer in answers) in ([204, 401], [204, 404], [204, 409])
    left = await api.rows.fetch_value(select(func.count()).select_from(user).where(user.c.role == "admin"))
    assert left == 1


async def test_an_admin_without_a_team_cannot_become_a_member(api: Api) -> None:
    other = await api.user(role=Role.ADMIN)
    body = await change(api, other.user_id, expected=422, role="member")
    assert body["errors"][0]["code"] == "role-needs-team"


async def test_removing_a_user_ends_its_keys_and_leaves_its_images(api: Api, member: UserWithKey) -> None:
    assert member.team_id is not None
    image_id = await testing.add_image(api.rows, member.team_id, uploaded_by=member.user_id)
    await api.client.get("/api/v1/whoami", headers=member.headers)
    answer = await api.client.delete(f"/api/v1/users/{member.user_id}", headers=api.admin.headers)
    assert answer.status_code == 204
    assert (await api.client.get("/api/v1/whoami", headers=member.headers)).status_code == 401
    left = select(func.count()).select_from(credential).where(credential.c.user_id == member.user_id)
    assert await api.rows.fetch_value(left) == 0
    owner = await api.rows.fetch_value(select(image.c.uploaded_by).where(image.c.id == image_id))
    assert owner is None


async def test_a_change_against_an_old_copy_is_refused(api: Api, member: UserWithKey) -> None:
    shown = await api.client.get(f"/api/v1/users/{member.user_id}", headers=api.admin.headers)
    await change(api, member.user_id, name="Ada")
    stale = {**api.admin.headers, "if-match": shown.headers["etag"]}
    answer = await api.client.patch(f"/api/v1/users/{member.user_id}", headers=stale, json={"name": "Bob"})
    assert answer.status_code == 412


async def test_a_user_that_is_not_there_is_not_found(api: Api) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        answer = await api.client.request(
            method, f"/api/v1/users/{uuid4()}", headers=api.admin.headers, json={} if method == "PATCH" else None
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "user-not-found")


async def test_scopes_that_a_newer_release_has_granted_are_not_shown(api: Api, member: UserWithKey) -> None:
    await api.rows.execute(
        update(user).where(user.c.id == member.user_id).values(scopes=["images:read", "links:manage"])
    )
    api.forget_keys()
    who = await api.client.get("/api/v1/whoami", headers=member.headers)
    assert (who.status_code, who.json()["scopes"]) == (200, ["images:read"])
    shown = await api.client.get(f"/api/v1/users/{member.user_id}", headers=api.admin.headers)
    assert (shown.status_code, shown.json()["scopes"]) == (200, ["images:read"])
