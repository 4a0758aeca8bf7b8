"""Sessions that begin with a key: what they may do, and when they end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update

from image_api.actor import Role, Scope
from image_api.people.key_sessions import sign_in_by_key
from image_api.proofs import session_cookies
from image_api.proofs.key_cache import Origin, authenticate_key
from image_core import errors, testing
from image_core.models import credential, session
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi
from ..pictures import picture

AUTH, WHO = "/api/v1/auth", "/api/v1/whoami"


async def session_of(api: Api, by: UserWithKey) -> dict[str, str]:
    """The headers of a page whose session began with this key."""
    owner = await authenticate_key(api.app.state.key_cache, by.api_key, Origin("unknown", None))
    made = await sign_in_by_key(api.services, owner, "192.0.2.7", "a browser")
    assert made.cookie is not None
    name = api.services.settings.session_cookie_name
    return {"Cookie": f"{name}={made.cookie}", "X-CSRF-Token": session_cookies.csrf_token(made.cookie)}


async def who(api: Api, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    answer = await api.client.get(WHO, headers=headers)
    return answer.status_code, answer.json()


def credentials_of(by: UserWithKey) -> str:
    return f"/api/v1/users/{by.user_id}/credentials"


async def rotate(api: Api, by: UserWithKey, headers: dict[str, str], **body: Any) -> httpx2.Response:
    answer = await api.client.post(
        f"{credentials_of(by)}/rotate", headers=headers, json={"credential_id": str(by.credential_id), **body}
    )
    assert answer.status_code == 200, answer.text
    return answer


async def test_it_is_who_the_key_is_with_no_more_rights(api: Api, member: UserWithKey) -> None:
    ends_at = datetime.now(UTC) + timedelta(hours=1)
    narrow = await testing.add_key(
        api.rows, member.user_id, member.team_id, scopes=["images:read", "keys:self"], expires_at=ends_at
    )
    headers = await session_of(api, narrow)
    _, shown = await who(api, headers)
    assert (shown["user_id"], shown["credential_id"]) == (str(member.user_id), str(narrow.credential_id))
    assert shown["scopes"] == ["images:read", "keys:self"]
    assert shown["session_id"] is not None
    upload = await api.client.post("/api/v1/images", headers={**headers, "content-type": "image/png"}, content=b"")
    assert (upload.status_code, upload.json()["code"]) == (403, "scope-missing")
    # What it makes lies within the key's limits.
    answer = await api.client.post(credentials_of(member), headers=headers, json={"name": "wider", "expires_at": None})
    assert (answer.status_code, answer.json()["code"]) == (403, "key-limit-exceeded")
    made = await api.client.post(credentials_of(member), headers=headers, json={"name": "like it"})
    assert datetime.fromisoformat(made.json()["expires_at"]) == ends_at
    assert made.json()["scopes"] == ["images:read", "keys:self"]


async def test_it_works_only_from_the_networks_of_the_key(make_api: MakeApi) -> None:
    async with make_api(trusted_proxy_depth=1) as api:
        member = await api.user()
        headers = await session_of(api, member)
        await api.rows.execute(
            update(credential).where(credential.c.id == member.credential_id).values(address_ranges=["192.0.2.0/24"])
        )
        api.forget_keys()
        assert (await who(api, headers | {"X-Forwarded-For": "192.0.2.7"}))[0] == 200
        status, body = await who(api, headers | {"X-Forwarded-For": "198.51.100.1"})
        assert (status, body["code"]) == (403, "address-not-allowed")


@pytest.mark.parametrize("how", ["revoked_at", "expires_at"])
async def test_it_ends_with_the_key(api: Api, member: UserWithKey, how: str) -> None:
    headers = await session_of(api, member)
    assert (await who(api, headers))[0] == 200
    past = datetime.now(UTC) - timedelta(minutes=1)
    await api.rows.execute(update(credential).where(credential.c.id == member.credential_id).values({how: past}))
    api.forget_keys()
    status, body = await who(api, headers)
    assert (status, body["code"]) == (401, "session-ended")


async def test_it_ends_when_others_rotate_its_key_with_the_grace_period(api: Api, member: UserWithKey) -> None:
    headers = await session_of(api, member)
    await rotate(api, member, api.admin.headers, grace_period_seconds=60)
    assert (await who(api, headers))[0] == 200
    await rotate(api, member, api.admin.headers, grace_period_seconds=0)
    status, body = await who(api, headers)
    assert (status, body["code"]) == (401, "session-ended")


async def test_a_session_that_rotates_its_key_goes_on_under_the_new_one(api: Api, member: UserWithKey) -> None:
    headers, other = await session_of(api, member), await session_of(api, member)
    new = (await rotate(api, member, headers, grace_period_seconds=0)).json()
    status, shown = await who(api, headers)
    assert (status, shown["key_prefix"]) == (200, new["key_prefix"])
    assert (await who(api, other))[0] == 401
    await rotate(api, member, api.admin.headers, grace_period_seconds=0)
    assert (await who(api, headers))[0] == 401


async def test_another_instance_follows_a_rotated_session_at_once(
    api: Api, make_api: MakeApi, member: UserWithKey
) -> None:
    headers = await session_of(api, member)
    async with make_api() as elsewhere:
        assert (await who(elsewhere, headers))[0] == 200
        await rotate(api, member, headers, grace_period_seconds=0)
        # Its cache of keys is no longer than five seconds old; here they have passed, and those of sessions have not.
        elsewhere.app.state.key_cache.rows.clear()
        assert (await who(elsewhere, headers))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"{AUTH}/password", {"current_password": "x", "password": "y"}),
        ("GET", f"{AUTH}/sessions", None),
        ("DELETE", f"{AUTH}/sessions/{{session_id}}", None),
        ("POST", f"{AUTH}/logout?all=true", None),
        ("POST", "/api/v1/teams/{team_id}/invitations", {"email": "ada@example.org"}),
        ("POST", "/api/v1/users/{user_id}/password-reset", None),
    ],
)
async def test_it_cannot_touch_passwords_sessions_and_invitations(
    api: Api, method: str, path: str, body: dict[str, str] | None
) -> None:
    admin = await api.user(role=Role.ADMIN)
    headers = await session_of(api, admin)
    session_id = (await who(api, headers))[1]["session_id"]
    path = path.format(session_id=session_id, team_id=await api.team(), user_id=admin.user_id)
    answer = await api.client.request(method, path, headers=headers, json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "session-required"), answer.text
    assert (await who(api, headers))[0] == 200


async def test_it_signs_out_itself(api: Api, member: UserWithKey) -> None:
    headers, other = await session_of(api, member), await session_of(api, member)
    assert (await api.client.get(f"{AUTH}/session", headers=headers)).json()["csrf_token"] == headers["X-CSRF-Token"]
    assert (await api.client.post(f"{AUTH}/logout", headers=headers)).status_code == 204
    assert [(await who(api, each))[0] for each in (headers, other)] == [401, 200]


async def test_one_that_was_ended_elsewhere_makes_nothing_more(api: Api, member: UserWithKey) -> None:
    headers = await session_of(api, member)
    assert (await who(api, headers))[0] == 200
    # This instance has not seen it yet.
    await api.rows.execute(update(session).values(ended_at=session.c.created_at))
    answer = await api.client.post(credentials_of(member), headers=headers, json={"name": "another"})
    assert (answer.status_code, answer.json()["code"]) == (401, "session-ended")


async def test_code_that_knows_only_peoples_sessions_does_not_find_it(api: Api, member: UserWithKey) -> None:
    headers = await session_of(api, member)
    stored = await api.rows.fetch_value(select(session.c.token_hash))
    assert stored != session_cookies.hash_value(headers["Cookie"].partition("=")[2])
    # Nor does a row become one of a person by losing its key.
    await api.rows.execute(update(session).values(key_public_id=None))
    api.forget_keys()
    assert (await who(api, headers))[0] == 401


async def test_the_default_key_begins_no_session(api: Api, member: UserWithKey) -> None:
    await api.rows.execute(update(credential).where(credential.c.id == member.credential_id).values(is_default=True))
    with pytest.raises(errors.DefaultKeyMustBeRotated):
        await session_of(api, member)


async def test_what_it_makes_belongs_to_its_key(api: Api, member: UserWithKey) -> None:
    headers = await session_of(api, member)
    answer = await api.client.post("/api/v1/upload-tokens", headers=headers, json={"max_uploads": 1})
    assert answer.status_code == 201, answer.text
    holder = {"X-Upload-Token": answer.json()["token"]}
    file = {"content_type": "image/png", "size_bytes": len(picture())}
    assert Scope.IMAGES_WRITE in (await who(api, headers))[1]["scopes"]
    assert (await api.client.post("/api/v1/uploads", headers=holder, json=file)).status_code == 201
    await rotate(api, member, api.admin.headers, grace_period_seconds=0)
    assert (await api.client.post("/api/v1/uploads", headers=holder, json=file)).status_code == 401
