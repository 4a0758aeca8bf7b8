"""Keys on the console's pages, without script: made and rotated once, shown once, and only one's own."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from image_api.actor import Actor, Role, Scope
from image_api.credentials import service
from image_core import errors
from image_core.models import credential
from image_core.testing import UserWithKey

from ..conftest import Api, Person
from .browser import Browser

KEYS = "/console/keys"


def path(of: UserWithKey, *more: str) -> str:
    return "/".join((f"/console/users/{of.user_id}/keys", *more))


@pytest.fixture
async def ada(api: Api) -> Person:
    return await api.person(name="Ada")


@pytest.fixture
async def browser(api: Api, ada: Person) -> Browser:
    browser = Browser(api)
    await browser.sign_in(ada)
    return browser


async def names(api: Api, of: UserWithKey) -> list[str]:
    """The names of the keys that are not revoked."""
    live = (credential.c.user_id == of.user_id) & credential.c.revoked_at.is_(None)
    rows = await api.rows.fetch(select(credential.c.name).where(live).order_by(credential.c.created_at))
    return [row["name"] for row in rows]


async def works(api: Api, key: str) -> bool:
    api.forget_keys()
    return (await api.client.get("/api/v1/whoami", headers={"X-API-KEY": key})).status_code == 200


def secret_on(browser: Browser) -> str:
    found = re.search(r'<pre[^>]* id="secret"[^>]*>([^<]*)</pre>', browser.page)
    assert found
    return found[1]


async def test_a_new_key_is_shown_once_and_made_once(api: Api, ada: Person, browser: Browser) -> None:
    await browser.get(path(ada, "new"))
    form = browser.form(path(ada)) | {"name": "import", "scopes": "images:read"}
    answer = await browser.post(path(ada), form)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    secret = secret_on(browser)
    assert await works(api, secret)
    again = await browser.post(path(ada), form)
    assert again.status_code == 200
    assert "shown before" in again.text
    assert secret not in again.text
    assert (await names(api, ada)).count("import") == 1
    assert secret not in (await browser.get(KEYS)).text
    # The form of a page that was opened anew makes another one.
    await browser.get(path(ada, "new"))
    await browser.submit(path(ada), name="import", scopes="images:read")
    assert (await names(api, ada)).count("import") == 2


async def test_a_rotation_that_is_sent_twice_rotates_once(api: Api, ada: Person, browser: Browser) -> None:
    action = path(ada, str(ada.credential_id), "rotate")
    await browser.get(action)
    form = browser.form(action) | {"grace_period_seconds": "3600"}
    await browser.post(action, form)
    secret = secret_on(browser)
    assert secret not in (await browser.post(action, form)).text
    assert await works(api, secret)
    assert await works(api, ada.api_key)


async def test_a_session_goes_on_when_it_rotates_its_own_key_away(api: Api, ada: Person) -> None:
    browser = Browser(api)
    await browser.sign_in_by_key(ada.api_key)
    action = path(ada, str(ada.credential_id), "rotate")
    await browser.get(action)
    await browser.submit(action, grace_period_seconds="0", force="")
    assert await works(api, secret_on(browser))
    assert not await works(api, ada.api_key)
    assert (await browser.get(KEYS)).status_code == 200


async def test_what_is_refused_changes_nothing_and_keeps_what_was_typed(
    api: Api, ada: Person, browser: Browser
) -> None:
    before = await names(api, ada)
    await browser.get(path(ada, "new"))
    answer = await browser.submit(path(ada), name="import", expires_at="2020-01-01", scopes="images:read")
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    form = browser.form(path(ada))
    assert (form["name"], form["expires_at"]) == ("import", "2020-01-01")
    assert await names(api, ada) == before
    # What was refused has not used up its key.
    await browser.submit(path(ada), expires_at="", scopes="images:read")
    assert await works(api, secret_on(browser))


async def test_the_key_that_a_session_began_with_is_revoked_with_the_session(api: Api, ada: Person) -> None:
    browser = Browser(api)
    await browser.sign_in_by_key(ada.api_key)
    action = path(ada, str(ada.credential_id), "revoke")
    assert "you will be signed out" in (await browser.get(action)).text
    assert await works(api, ada.api_key)
    await browser.submit(action)
    assert not await works(api, ada.api_key)
    assert (await browser.get(KEYS)).headers["location"].startswith("/console/sign-in")


async def test_the_key_that_expires_first_comes_first(api: Api, ada: Person, browser: Browser) -> None:
    for name, day in (("sooner", "2098-01-01"), ("later", "2099-01-01"), ("endless", None)):
        body = {"name": name, "expires_at": day}
        made = await api.client.post(f"/api/v1/users/{ada.user_id}/credentials", headers=api.admin.headers, json=body)
        assert made.status_code == 201
    page = (await browser.get(KEYS)).text
    assert page.index("sooner") < page.index("later") < page.index("endless")


async def test_nobody_sees_or_changes_keys_of_somebody_else(
    api: Api, ada: Person, browser: Browser, stranger: UserWithKey
) -> None:
    colleague = await api.user(ada.team_id)
    await browser.get(KEYS)
    token = browser.form("/console/sign-out")["csrf_token"]
    for other in (colleague, stranger):
        for more in ((), ("new",), (str(other.credential_id), "rotate"), (str(other.credential_id), "revoke")):
            assert (await browser.get(path(other, *more))).status_code == 404
        for more in ((), (str(other.credential_id), "rotate"), (str(other.credential_id), "revoke")):
            fields = {"csrf_token": token, "name": "x", "scopes": "images:read"}
            assert (await browser.post(path(other, *more), fields)).status_code == 404
            # A credential of another user below one's own address.
            if more:
                assert (await browser.post(path(ada, *more), fields)).status_code == 404
        assert await works(api, other.api_key)
        assert len(await names(api, other)) == 1


async def test_the_service_lists_nobody_elses_keys(api: Api, ada: Person) -> None:
    actor = Actor(ada.user_id, "Ada", ada.team_id, Role.MEMBER, frozenset(Scope), None, None, None, False)
    with pytest.raises(errors.UserNotFound):
        await service.live_credentials(api.services.database, actor, (await api.user(ada.team_id)).user_id)


async def test_an_admin_finds_the_keys_of_a_teams_users(api: Api, ada: Person) -> None:
    await api.rows.execute(update(credential).where(credential.c.user_id == ada.user_id).values(name="adas key"))
    browser = Browser(api)
    await browser.sign_in(await api.person(role=Role.ADMIN))
    assert path(ada) not in (await browser.get(KEYS)).text
    assert f"{path(ada)}?team_id={ada.team_id}" in (await browser.get(f"{KEYS}?team_id={ada.team_id}")).text
    assert "adas key" in (await browser.get(f"{path(ada)}?team_id={ada.team_id}")).text
    action = path(ada, str(ada.credential_id), "revoke")
    address = f"{action}?team_id={ada.team_id}"
    await browser.get(address)
    answer = await browser.submit(address)
    assert answer.headers["location"] == f"{path(ada)}?team_id={ada.team_id}&done=revoked"
    assert not await works(api, ada.api_key)


async def columns(api: Api, of: UserWithKey) -> dict[str, object]:
    found = await api.rows.fetch_one(select(credential).where(credential.c.id == of.credential_id))
    assert found is not None
    return dict(found)


async def test_a_key_is_changed_and_a_conflict_shows_both(api: Api, ada: Person, browser: Browser) -> None:
    page = path(ada, str(ada.credential_id), "change")
    ends_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=90, minutes=5)
    await api.rows.execute(
        update(credential).where(credential.c.id == ada.credential_id).values(expires_at=ends_at, scopes=None)
    )
    await browser.get(page)
    token = {name: value for name, value in browser.form(page).items() if name in ("csrf_token", "revision")}
    day = browser.form(page)["expires_at"]
    sent = {"name": "import", "scopes": ["images:read", "usage:read"], "address_ranges": "192.0.2.0/24 2001:db8::/32"}
    assert (await browser.post(page, token | sent | {"expires_at": day})).headers["location"] == f"{KEYS}?done=changed"
    row = await columns(api, ada)
    assert (row["name"], row["scopes"]) == ("import", ["images:read", "usage:read"])
    # The day was left as it was, and so was the time of the day.
    assert (row["expires_at"], row["address_ranges"]) == (ends_at, ["192.0.2.0/24", "2001:db8::/32"])
    every = {"name": "all", "all_scopes": "true", "expires_at": "", "address_ranges": ""}
    refused = await browser.post(page, token | every)
    assert refused.status_code == 412
    assert "192.0.2.0/24" in refused.text
    assert (await columns(api, ada))["name"] == "import"
    assert (await browser.post(page, token | every | {"revision": browser.form(page)["revision"]})).status_code == 303
    row = await columns(api, ada)
    assert [row[name] for name in ("name", "scopes", "expires_at", "address_ranges")] == ["all", None, None, None]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": "admin"}, None),
        ({"expires_at": "2020-01-01"}, "expires_at"),
        ({"address_ranges": "here"}, "address_ranges"),
        ({"name": ""}, "name"),
    ],
)
async def test_a_key_gets_nothing_that_it_may_not_have(
    api: Api, ada: Person, browser: Browser, wrong: dict[str, object], field: str | None
) -> None:
    page, before = path(ada, str(ada.credential_id), "change"), await columns(api, ada)
    await browser.get(page)
    form = browser.form(page) | {"scopes": "images:read"}
    form.pop("all_scopes", None)
    refused = await browser.post(page, form | wrong)
    assert refused.status_code == (422 if field else 403)
    assert f'id="{field}-mistake"' in refused.text or field is None
    assert await columns(api, ada) == before


async def test_a_session_by_key_widens_no_other_key(api: Api, ada: Person) -> None:
    browser, page = Browser(api), path(ada, str(ada.credential_id), "change")
    body = {"name": "narrow", "scopes": ["keys:self", "images:read"]}
    made = await api.client.post(f"/api/v1/users/{ada.user_id}/credentials", headers=ada.headers, json=body)
    await browser.sign_in_by_key(made.json()["api_key"])
    for each in (page, path(ada, made.json()["id"], "change")):
        await browser.get(each)
        answer = await browser.submit(each, all_scopes="true")
        assert answer.status_code == 403
        assert "scope-missing" in answer.text


async def test_a_reported_key_is_shown_as_leaked(api: Api, ada: Person, browser: Browser) -> None:
    other = await api.user(ada.team_id)
    for each in (ada, other):
        await api.client.post("/api/v1/credentials/report", json={"key": each.api_key})
    (row,) = [await columns(api, ada)]
    page = (await browser.get(KEYS)).text
    assert page.count("was reported as leaked") == 1
    assert f"im_{row['public_id']}" in page
    assert "reported as leaked" in (await browser.get(path(ada, "all"))).text
    assert (await browser.get(path(ada, str(ada.credential_id), "change"))).status_code == 404
    month = update(credential).where(credential.c.id == ada.credential_id)
    await api.rows.execute(month.values(revoked_at=datetime.now(UTC) - timedelta(days=31)))
    assert "reported" not in (await browser.get(KEYS)).text
    assert (await browser.get(path(other, "all"))).status_code == 404
