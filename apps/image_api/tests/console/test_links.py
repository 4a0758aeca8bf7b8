"""Share links on the console's pages, without script: an address is shown once, and edits do not overwrite others'."""

import re
from typing import Any

import pytest

from image_api.idempotency.service import RequestIdentity
from image_core.testing import UserWithKey

from ..conftest import Api
from .browser import Browser, tags_of
from .catalogue import add_catalogue, call
from .test_images import signed_in, upload_some

LINKS = "/console/links"


@pytest.fixture
async def browser(api: Api, member: UserWithKey) -> Browser:
    return await signed_in(api, member)


@pytest.fixture
async def ids(api: Api, member: UserWithKey) -> dict[str, str]:
    """A collection of one image, and an open link to it."""
    (image_id,) = await upload_some(api, member, 1)
    return await add_catalogue(api, member, image_id, "Norway") | {"image_id": image_id}


def secret_on(browser: Browser) -> str:
    found = re.search(r'<pre[^>]* id="secret"[^>]*>([^<]*)</pre>', browser.page)
    assert found
    return found[1]


async def is_answered(api: Api, address: str) -> int:
    return (await api.client.get(address.removeprefix(api.services.settings.base_url))).status_code


async def links(api: Api, member: UserWithKey) -> list[dict[str, Any]]:
    return list((await call(api, member, "GET", "/links"))["items"])


@pytest.mark.parametrize("shown", ["collection_id", "image_id"])
async def test_an_address_is_shown_once_and_a_link_made_once(
    api: Api, member: UserWithKey, browser: Browser, ids: dict[str, str], shown: str
) -> None:
    await browser.get(f"{LINKS}/new?{shown}={ids[shown]}")
    form = browser.form(LINKS) | {"title": "Fjords", "expires_at": "2100-01-01", "download": "stripped"}
    refused = await browser.post(LINKS, form | {"password": "short"})
    assert refused.status_code == 422
    assert "At least 8 characters" in refused.text
    assert browser.form(LINKS)["title"] == "Fjords"
    form |= {"idempotency_key": browser.form(LINKS)["idempotency_key"]}
    answer = await browser.post(LINKS, form)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    address = secret_on(browser)
    assert await is_answered(api, address) == 200
    again = await browser.post(LINKS, form)
    assert "shown before" in again.text
    assert address not in again.text
    made = [each for each in await links(api, member) if each["title"] == "Fjords"]
    assert [(each["expires_at"][:10], each["download"], each["has_password"]) for each in made] == [
        ("2100-01-01", "stripped", False)
    ]
    page = await browser.get(LINKS)
    assert "Fjords" in page.text
    assert address not in page.text + (await browser.get(f"{LINKS}/{made[0]['id']}")).text


async def test_what_repeated_forms_are_compared_with_does_not_give_a_password_away(
    browser: Browser, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[bytes] = []

    def fingerprint(_: RequestIdentity, content: bytes) -> bytes:
        hashed.append(content)
        return content

    monkeypatch.setattr(RequestIdentity, "fingerprint", fingerprint)
    await browser.get(f"{LINKS}/new?image_id={ids['image_id']}")
    answer = await browser.post(LINKS, browser.form(LINKS) | {"password": "trolls and fjords"})
    assert answer.status_code == 200
    assert [(len(content), b"trolls" in content) for content in hashed] == [(32, False)]


async def test_a_link_gets_another_address_and_ends(
    api: Api, member: UserWithKey, browser: Browser, ids: dict[str, str]
) -> None:
    page = f"{LINKS}/{ids['link_id']}"
    await browser.get(f"{page}/rotate")
    form = browser.form(f"{page}/rotate")
    await browser.post(f"{page}/rotate", form)
    address = secret_on(browser)
    assert await is_answered(api, address) == 200
    assert "shown before" in (await browser.post(f"{page}/rotate", form)).text
    assert await is_answered(api, address) == 200
    assert "Its address ends for everybody" in (await browser.get(f"{page}/end")).text
    assert (await browser.submit(f"{page}/end")).status_code == 303
    assert (await browser.get(page)).status_code == 404
    assert await links(api, member) == []


async def test_a_change_keeps_what_the_form_leaves_and_meets_no_other(
    api: Api, member: UserWithKey, browser: Browser, ids: dict[str, str]
) -> None:
    page, path = f"{LINKS}/{ids['link_id']}", f"/links/{ids['link_id']}"
    await call(api, member, "PATCH", path, expires_at="2100-01-01T15:30:00Z", title="Old", download="stripped")
    await browser.get(f"{page}/change")
    form = browser.form(f"{page}/change") | {"download": "stripped", "title": "Mine"}
    await call(api, member, "PATCH", path, title="Theirs")
    refused = await browser.post(f"{page}/change", form)
    assert refused.status_code == 412
    assert "Theirs" in refused.text
    form |= {"revision": browser.form(f"{page}/change")["revision"], "password": "fjord fjord"}
    assert browser.form(f"{page}/change")["title"] == "Mine"
    assert (await browser.post(f"{page}/change", form)).status_code == 303
    changed = (await links(api, member))[0]
    assert (changed["title"], changed["has_password"], changed["download"]) == ("Mine", True, "stripped")
    assert changed["expires_at"] == "2100-01-01T15:30:00Z"
    await browser.get(f"{page}/change")
    fields = browser.form(f"{page}/change") | {"download": "none", "unprotected": "true", "expires_at": "", "title": ""}
    assert (await browser.post(f"{page}/change", fields)).status_code == 303
    changed = (await links(api, member))[0]
    assert [changed[name] for name in ("title", "has_password", "download", "expires_at")] == [
        None,
        False,
        "none",
        None,
    ]


async def test_a_team_reaches_its_own_links_only(
    api: Api, stranger: UserWithKey, browser: Browser, ids: dict[str, str]
) -> None:
    other, page = await signed_in(api, stranger), f"{LINKS}/{ids['link_id']}"
    assert "Norway" not in (await other.get(LINKS)).text
    token = {"csrf_token": other.form("/console/sign-out")["csrf_token"]}
    assert (await other.get(page)).status_code == 404
    for name in ("change", "rotate", "end"):
        assert (await other.get(f"{page}/{name}")).status_code == 404
        assert (await other.post(f"{page}/{name}", token | {"download": "none"})).status_code == 404
    for name in ("collection_id", "image_id"):
        assert (
            await other.post(LINKS, token | {name: ids[name], "download": "none", "presets": "thumb"})
        ).status_code == 404
    assert (await other.get(f"{LINKS}/new?collection_id={ids['collection_id']}")).status_code == 404


async def test_a_link_shows_the_presets_that_are_ticked(
    api: Api, member: UserWithKey, browser: Browser, ids: dict[str, str]
) -> None:
    await call(api, member, "PUT", "/presets/card", width=640)
    await browser.get(f"{LINKS}/new?image_id={ids['image_id']}")
    boxes = [each for _, each in tags_of(browser.page) if each.get("name") == "presets"]
    assert {each["value"] for each in boxes if "checked" in each} == {"thumb", "preview", "large"}
    form = browser.form(LINKS) | {"title": "Cards"}
    for chosen, status in (([], 422), (["nothing"], 404), (["card", "thumb"], 200)):
        assert (await browser.post(LINKS, form | {"presets": chosen})).status_code == status, chosen
        form |= {"idempotency_key": browser.form(LINKS)["idempotency_key"]} if status != 200 else {}
    (made,) = [each for each in await links(api, member) if each["title"] == "Cards"]
    assert made["presets"] == ["card", "thumb"]
    page = f"{LINKS}/{made['id']}/change"
    await browser.get(page)
    form = browser.form(page)
    for chosen in (["thumb", "card"], ["thumb"]):
        assert (await browser.post(page, form | {"presets": chosen})).status_code == 303
        (row,) = [each for each in await links(api, member) if each["title"] == "Cards"]
        await browser.get(page)
        form = browser.form(page)
    assert row["presets"] == ["thumb"]
