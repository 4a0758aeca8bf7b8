"""People and invitations on the console's pages, without script."""

import re
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from image_api.actor import DEFAULT_SCOPES, Role
from image_core.models import invitation, password_reset, user
from image_core.testing import UserWithKey

from ..conftest import PASSWORD, Api, Person
from .browser import Browser

PEOPLE, INVITATIONS = "/console/people", "/console/invitations"


@pytest.fixture
async def ada(api: Api) -> Person:
    return await api.person(name="Ada")


@pytest.fixture
async def admin(api: Api) -> Browser:
    browser = Browser(api)
    await browser.sign_in(await api.person(role=Role.ADMIN))
    return browser


async def row_of(api: Api, user_id: UUID) -> dict[str, object] | None:
    found = await api.rows.fetch_one(select(user).where(user.c.id == user_id))
    return None if found is None else dict(found)


def address_on(browser: Browser) -> str:
    found = re.search(r'id="secret"[^>]*>http://[^<]*(/console/[a-z]+#[^<]+)<', browser.page)
    assert found
    return found[1]


async def test_an_invitation_is_made_and_shown_once_and_leads_to_an_account(
    api: Api, ada: Person, admin: Browser
) -> None:
    address = f"{INVITATIONS}?team_id={ada.team_id}"
    await admin.get(f"{INVITATIONS}/new?team_id={ada.team_id}")
    form = admin.form(address) | {"email": "bea@example.org", "role": "member", "expires_in_seconds": "86400"}
    answer = await admin.post(address, form)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    path, _, token = address_on(admin).partition("#")
    again = await admin.post(address, form)
    assert "shown before" in again.text
    assert token not in again.text
    assert await api.rows.fetch_value(select(func.count()).select_from(invitation)) == 1
    lives = await api.rows.fetch_value(select(invitation.c.expires_at - invitation.c.created_at))
    assert abs(lives - timedelta(days=1)) < timedelta(minutes=1)
    joining = Browser(api)
    await joining.get(path)
    fields = {"token": token, "email": "bea@example.org", "name": "Bea", "password": PASSWORD}
    assert (await joining.submit(path, **fields)).headers["location"] == "/console"
    page = (await joining.get(PEOPLE)).text
    assert "Ada" in page
    assert "bea@example.org" in page
    assert "accepted" in (await admin.get(address)).text


async def test_an_open_invitation_is_revoked(api: Api, ada: Person, admin: Browser) -> None:
    path = f"/api/v1/teams/{ada.team_id}/invitations"
    made = await api.client.post(path, headers=api.admin.headers, json={"email": "bea@example.org"})
    await admin.get(f"{INVITATIONS}?team_id={ada.team_id}")
    await admin.submit(f"{INVITATIONS}/{made.json()['id']}/revoke?team_id={ada.team_id}")
    assert await api.rows.fetch_value(select(invitation.c.revoked_at)) is not None


async def test_a_change_keeps_what_was_not_changed(api: Api, ada: Person, admin: Browser) -> None:
    path = f"{PEOPLE}/{ada.user_id}"
    await admin.get(path)
    fields = {"csrf_token": "", "revision": "", **admin.form(path), "name": "Ada L.", "role": "member"}
    fields.pop("scopes", None)
    fields.pop("disabled", None)
    assert fields["email"] == ada.email
    scopes = list(DEFAULT_SCOPES[Role.MEMBER])
    answer = await admin.post(path, fields | {"scopes": scopes})  # type: ignore[dict-item]
    assert answer.headers["location"] == f"{PEOPLE}?team_id={ada.team_id}&done=changed"
    row = await row_of(api, ada.user_id)
    assert row is not None
    assert (row["name"], row["email"], row["role"], row["disabled_at"]) == ("Ada L.", ada.email, "member", None)
    assert set(row["scopes"]) == set(scopes)  # type: ignore[call-overload]


async def test_a_conflicting_change_shows_both_values_and_saves_nothing(api: Api, ada: Person, admin: Browser) -> None:
    path = f"{PEOPLE}/{ada.user_id}"
    await admin.get(path)
    scopes = list(DEFAULT_SCOPES[Role.MEMBER])
    fields = admin.form(path) | {"name": "Mine", "role": "member", "scopes": scopes}
    del fields["disabled"]
    await api.client.patch(f"/api/v1/users/{ada.user_id}", headers=api.admin.headers, json={"name": "Theirs"})
    answer = await admin.post(path, fields)
    assert answer.status_code == 412
    assert "Theirs" in answer.text
    assert admin.form(path)["name"] == "Mine"
    assert (await row_of(api, ada.user_id) or {})["name"] == "Theirs"
    answer = await admin.post(path, admin.form(path) | {"role": "member", "scopes": scopes, "disabled": ""})
    assert answer.status_code == 303
    assert (await row_of(api, ada.user_id) or {})["name"] == "Mine"


async def test_a_reset_is_made_once_and_sets_the_password(api: Api, ada: Person, admin: Browser) -> None:
    path = f"{PEOPLE}/{ada.user_id}/reset"
    await admin.get(path)
    form = admin.form(path) | {"expires_in_seconds": "3600"}
    await admin.post(path, form)
    lives = await api.rows.fetch_value(select(password_reset.c.expires_at - password_reset.c.created_at))
    assert abs(lives - timedelta(hours=1)) < timedelta(minutes=1)
    page, _, token = address_on(admin).partition("#")
    assert token not in (await admin.post(path, form)).text
    assert await api.rows.fetch_value(select(func.count()).select_from(password_reset)) == 1
    browser = Browser(api)
    await browser.get(page)
    await browser.submit(page, token=token, password="another battery staple")
    assert (await browser.sign_in(ada, "another battery staple")).status_code == 303


async def test_a_removed_user_can_do_nothing(api: Api, ada: Person, admin: Browser) -> None:
    path = f"{PEOPLE}/{ada.user_id}/remove"
    await admin.get(path)
    assert (await api.client.get("/api/v1/whoami", headers=ada.headers)).status_code == 200
    await admin.submit(path)
    assert await row_of(api, ada.user_id) is None
    # Known to the cache, from the request before.
    assert (await api.client.get("/api/v1/whoami", headers=ada.headers)).status_code == 401


async def test_members_see_their_own_team_and_change_nobody(api: Api, ada: Person, stranger: UserWithKey) -> None:
    await api.rows.execute(update(user).where(user.c.id == stranger.user_id).values(name="Stranger"))
    colleague = await api.user(ada.team_id)
    browser = Browser(api)
    await browser.sign_in(ada)
    page = (await browser.get(PEOPLE)).text
    assert "Ada" in page
    assert "Stranger" not in page
    assert f"{PEOPLE}/{colleague.user_id}" not in page
    assert (await browser.get(f"{PEOPLE}?team_id={stranger.team_id}")).status_code == 404
    token = browser.form("/console/sign-out")["csrf_token"]
    for path in (f"{PEOPLE}/{colleague.user_id}", f"{PEOPLE}/{colleague.user_id}/remove",
                 f"{PEOPLE}/{colleague.user_id}/reset", INVITATIONS):  # fmt: skip
        assert (await browser.get(path)).status_code == 403
        assert (await browser.post(path, {"csrf_token": token, "email": "x@example.org"})).status_code == 403


async def test_a_session_by_key_makes_neither_invitations_nor_resets(api: Api, ada: Person) -> None:
    browser = Browser(api)
    await browser.sign_in_by_key(api.admin.api_key)
    assert "Invite" not in (await browser.get(f"{PEOPLE}?team_id={ada.team_id}")).text
    token = browser.form("/console/sign-out")["csrf_token"]
    for path in (INVITATIONS, f"{PEOPLE}/{ada.user_id}/reset"):
        assert (await browser.get(path)).status_code == 403
        assert (await browser.post(path, {"csrf_token": token})).status_code == 403
