"""Collections on the console's pages, without script."""

import re
from typing import Any
from uuid import uuid4

import pytest

from image_api.actor import Role
from image_api.console.pages.catalogue import arrange
from image_core.testing import UserWithKey

from ..conftest import Api
from .browser import Browser, tags_of
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


async def arranged(api: Api, by: UserWithKey, browser: Browser, number: int) -> tuple[str, list[str]]:
    """The path of a new collection, and its images in their order."""
    ids, page = (await upload_some(api, by, number))[::-1], await create(browser, "Norway")
    await call(api, by, "POST", f"{page.removeprefix('/console')}/images", image_ids=ids)
    return page, ids


async def press(browser: Browser, path: str, action: str, **fields: Any) -> Any:
    """Press a button of the page that arranges; no box is ticked but those that are named."""
    await browser.get(path)
    kept = {name: value for name, value in browser.form(path).items() if name in ("csrf_token", "revision", "order")}
    return await browser.post(path, kept | {"action": action, **fields})


async def test_images_are_moved_by_one_and_to_the_ends(
    api: Api, member: UserWithKey, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, (a, b, c, d, e) = await arranged(api, member, browser, 5)
    path = f"{page}/arrange"
    for action, chosen, order in (
        (f"later:{a}", [], [b, a, c, d, e]),
        (f"earlier:{e}", [], [b, a, c, e, d]),
        (f"earlier:{b}", [], [b, a, c, e, d]),
        ("first", [e, c], [e, c, b, a, d]),
        ("last", [d, e], [c, b, a, d, e]),
    ):
        assert (await press(browser, path, action, image_id=chosen)).status_code == 303, action
        assert shown((await browser.get(page)).text) == order, action
    nothing = await press(browser, path, "last")
    assert "No image is chosen" in (await browser.get(nothing.headers["location"])).text
    # Across the border of two pages, too.
    monkeypatch.setattr(arrange, "IMAGES_A_PAGE", 2)
    await browser.get(path)
    second = next(each["href"] for tag, each in tags_of(browser.page) if tag == "a" and each.get("rel") == "next")
    back = await press(browser, second, f"earlier:{a}")
    assert back.headers["location"].endswith(f"#image-{a}")
    assert "cursor=" in back.headers["location"]
    assert shown((await browser.get(page)).text) == [c, a, b, d, e]


async def test_a_cover_is_chosen_and_given_up(api: Api, member: UserWithKey, browser: Browser) -> None:
    page, (first, second) = await arranged(api, member, browser, 2)
    path = f"{page}/arrange"
    for named, cover in ((second, second), ("", None), (str(uuid4()), None)):
        answer = await press(browser, path, f"cover:{named}")
        assert answer.status_code == (404 if named not in ("", first, second) else 303)
        assert (await call(api, member, "GET", page.removeprefix("/console")))["cover_image_id"] == cover


async def test_nothing_is_moved_after_a_change_in_between(api: Api, member: UserWithKey, browser: Browser) -> None:
    page, (a, b, c) = await arranged(api, member, browser, 3)
    path = f"{page}/arrange"
    await browser.get(path)
    old = {name: browser.form(path)[name] for name in ("csrf_token", "revision", "order")}
    await press(browser, path, f"later:{a}")
    for fields in ({"action": f"later:{a}"}, {"action": "last", "image_id": b}, {"action": f"cover:{c}"}):
        refused = await browser.post(path, old | fields)
        assert refused.status_code == 412
        assert "Nothing was moved" in refused.text
    assert shown((await browser.get(page)).text) == [b, a, c]


async def test_a_reader_and_another_team_arrange_nothing(
    api: Api, member: UserWithKey, stranger: UserWithKey, browser: Browser
) -> None:
    page, (a, b) = await arranged(api, member, browser, 2)
    reader = await api.user(member.team_id, role=Role.VIEWER)
    for by, status in ((reader, 403), (stranger, 404)):
        other = await signed_in(api, by)
        await other.get("/console")
        token = other.form("/console/sign-out")["csrf_token"]
        assert (await other.get(f"{page}/arrange")).status_code == status
        for action in (f"later:{a}", "last", f"cover:{b}"):
            sent = {"csrf_token": token, "revision": "2", "order": f"{a} {b}", "action": action, "image_id": a}
            assert (await other.post(f"{page}/arrange", sent)).status_code == status
    assert shown((await browser.get(page)).text) == [a, b]
