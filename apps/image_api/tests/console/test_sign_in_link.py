"""Links of the local cloud that sign in once."""

import pytest
from sqlalchemy import update

from image_api.actor import Actor
from image_api.proofs import sign_in_links
from image_api.proofs.key_cache import Origin, authenticate_key
from image_api.proofs.sign_in_links import LIFETIME_SECONDS, SignInLinks
from image_core import errors
from image_core.models import credential
from image_core.testing import UserWithKey

from ..conftest import Api
from .browser import Browser

ISSUE, LINK = "/console/sign-in/links", "/console/sign-in/link"


@pytest.fixture
async def api(local_api: Api) -> Api:
    return local_api


async def token_of(api: Api, by: UserWithKey) -> str:
    answer = await api.client.post(ISSUE, headers=by.headers)
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    address, _, token = answer.json()["url"].partition("#")
    assert address == "http://api/console/sign-in/link"
    return token


async def test_a_link_signs_in_the_owner_of_the_key_once(api: Api, member: UserWithKey) -> None:
    token, browser = await token_of(api, member), Browser(api)
    await browser.get(LINK)
    answer = await browser.submit(LINK, token=token)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    assert str(member.user_id) in (await browser.get("/console")).text

    second = Browser(api)
    await second.get(LINK)
    answer = await second.submit(LINK, token=token)
    assert answer.status_code == 401
    assert "image-manager open" in answer.text
    assert token not in answer.text
    assert second.cookie == ""
    # Without script, the page has the form for the key.
    assert (await second.submit("/console/sign-in/key", api_key=member.api_key)).status_code == 303


async def test_a_link_ends_with_its_key(api: Api, member: UserWithKey) -> None:
    token, browser = await token_of(api, member), Browser(api)
    await api.rows.execute(
        update(credential).where(credential.c.id == member.credential_id).values(revoked_at=credential.c.created_at)
    )
    api.forget_keys()
    await browser.get(LINK)
    assert (await browser.submit(LINK, token=token)).status_code == 401
    assert browser.cookie == ""


async def test_another_site_cannot_spend_it(api: Api, member: UserWithKey) -> None:
    token, browser = await token_of(api, member), Browser(api)
    answer = await browser.post(LINK, {"token": token}, Sec_Fetch_Site="cross-site")
    assert (answer.status_code, browser.cookie) == (403, "")


async def test_only_a_key_issues_links(api: Api, member: UserWithKey) -> None:
    assert (await api.client.post(ISSUE)).status_code == 401
    browser = Browser(api)
    await browser.sign_in_by_key(member.api_key)
    await browser.get("/console")
    csrf = browser.form("/console/sign-out")["csrf_token"]
    headers = {"Cookie": browser.cookie, "X-CSRF-Token": csrf, "Sec-Fetch-Site": "same-origin"}
    assert (await api.client.post(ISSUE, headers=headers)).status_code == 401
    assert (await api.client.post("/console/sign-out", headers=headers)).status_code == 415


async def owner_of(api: Api, by: UserWithKey) -> Actor:
    return await authenticate_key(api.app.state.key_cache, by.api_key, Origin("unknown", None))


async def test_links_last_five_minutes_and_are_a_hundred_at_most(api: Api, member: UserWithKey) -> None:
    now = 0.0
    links = SignInLinks(lambda: now)
    owner = await owner_of(api, member)
    first, last = links.issue(owner), links.issue(owner)
    now = LIFETIME_SECONDS
    with pytest.raises(errors.SignInLinkSpent):
        links.spend(first)
    now -= 0.1
    assert links.spend(last) in member.api_key
    tokens = [links.issue(owner) for _ in range(sign_in_links._MAX_LINKS + 1)]
    with pytest.raises(errors.SignInLinkSpent):
        links.spend(tokens[0])
    assert links.spend(tokens[1]) in member.api_key
