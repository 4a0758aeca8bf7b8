"""Collections on the console's pages, without script."""

import re
from uuid import uuid4

import pytest

from image_core.testing import UserWithKey

from ..conftest import Api
from .browser import Browser
from .catalogue import call
from .test_images import shown, signed_in, upload_some

COLLECTIONS = "/console/collections"


@pytest.fixture
async def browser(api: Api, member: UserWithKey) -> Browser:
    return await signed_in(api, member)


async def create(browser: Browser, name: str) -> str:
    """The path of the page of a new collection."""
    await browser.get(f"{COLLECTIONS}/new")
    answer = await browser.submit(COLLECTIONS, name=name)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"]).partition("?")[0]


async def test_a_collection_is_made_once_filled_and_emptied(api: Api, member: UserWithKey, browser: Browser) -> None:
    ids = await upload_some(api, member, 3)
    assert "Create a collection" in (await browser.get(COLLECTIONS)).text
    await browser.get(f"{COLLECTIONS}/new")
    form = browser.form(COLLECTIONS) | {"name": "Norway"}
    answers = [await browser.post(COLLECTIONS, form) for _ in range(2)]
    assert answers[0].headers["location"] == answers[1].headers["location"]
    page = answers[0].headers["location"].partition("?")[0]
    assert "The collection is empty" in (await browser.get(page)).text
    await browser.get(f"{page}/add")
    refused = await browser.submit(f"{page}/add", image_ids=f"{ids[0]} {uuid4()}")
    assert refused.status_code == 404
    assert browser.form(f"{page}/add")["image_ids"].startswith(ids[0])
    await browser.submit(f"{page}/add", image_ids=f"{ids[2]}\n{ids[0]} {ids[1]}")
    assert shown((await browser.get(page)).text) == [ids[2], ids[0], ids[1]]
    assert page in (await browser.get(COLLECTIONS)).text
    assert re.search(r'<img src="https://pictures\.test/i/', browser.page)
    nothing = await browser.get(f"{page}/take-out")
    assert "No image is chosen" in (await browser.get(nothing.headers["location"])).text
    assert (
        "Take 2 images out of Norway"
        in (await browser.get(f"{page}/take-out?image_id={ids[0]}&image_id={ids[1]}")).text
    )
    form = browser.form(f"{page}/take-out")
    assert (await browser.post(f"{page}/take-out", form | {"image_id": ids[0]})).status_code == 303
    assert shown((await browser.get(page)).text) == [ids[2], ids[1]]


async def test_a_change_in_between_shows_both_names(api: Api, member: UserWithKey, browser: Browser) -> None:
    page = await create(browser, "Norway")
    await browser.get(f"{page}/rename")
    await call(api, member, "PATCH", page.removeprefix("/console"), name="Sweden")
    refused = await browser.submit(f"{page}/rename", name="Denmark")
    assert refused.status_code == 412
    assert "Sweden" in refused.text
    assert browser.form(f"{page}/rename")["name"] == "Denmark"
    assert "<h1>Sweden</h1>" in (await browser.get(page)).text
    browser.page = refused.text
    assert (await browser.submit(f"{page}/rename")).status_code == 303
    assert "<h1>Denmark</h1>" in (await browser.get(page)).text
    # Without the version, nothing is overwritten.
    assert (await browser.post(f"{page}/rename", browser_form(browser) | {"name": "Iceland"})).status_code == 412


def browser_form(browser: Browser) -> dict[str, str]:
    return {"csrf_token": browser.form("/console/sign-out")["csrf_token"]}


async def test_a_removal_says_how_many_links_end(api: Api, member: UserWithKey, browser: Browser) -> None:
    page = await create(browser, "Norway")
    collection_id = page.rpartition("/")[2]
    manager = api.admin
    for title in ("first", "second"):
        await call(api, manager, "POST", f"/links?team_id={member.team_id}", collection_id=collection_id, title=title)
    text = (await browser.get(f"{page}/remove")).text
    assert "2 open share links end" in text
    assert (await browser.submit(f"{page}/remove")).status_code == 303
    assert (await browser.get(page)).status_code == 404
    listed = await call(api, manager, "GET", f"/links?team_id={member.team_id}")
    assert listed["items"] == []


async def test_a_team_reaches_its_own_collections_only(api: Api, stranger: UserWithKey, browser: Browser) -> None:
    page = await create(browser, "Norway")
    token, other = browser_form(browser), await signed_in(api, stranger)
    assert "Norway" not in (await other.get(COLLECTIONS)).text
    token = browser_form(other)
    for name in ("rename", "remove", "add", "take-out"):
        assert (await other.get(f"{page}/{name}")).status_code == 404
        assert (await other.post(f"{page}/{name}", token | {"name": "mine"})).status_code == 404
    admin = await signed_in(api, api.admin)
    assert "Choose a team" in (await admin.get(COLLECTIONS)).text
    assert (await admin.get(page)).status_code == 200
