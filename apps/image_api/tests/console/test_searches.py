"""Saved searches on the console's pages."""

from typing import Any

from image_core.testing import UserWithKey

from ..conftest import Api
from .browser import tags_of
from .catalogue import call
from .test_images import IMAGES, shown, signed_in, upload_some

SEARCHES = "/console/searches"


async def searches(api: Api, by: UserWithKey) -> list[dict[str, Any]]:
    return list((await call(api, by, "GET", "/saved-searches"))["items"])


async def test_a_search_is_saved_from_an_address_opened_and_removed(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    ids, browser = await upload_some(api, member, 3), await signed_in(api, member)
    assert "No search is saved yet" in (await browser.get(SEARCHES)).text
    await browser.get(f"{SEARCHES}/new")
    refused = await browser.submit(SEARCHES, name="Second", query="colour=red")
    assert refused.status_code == 400
    assert browser.form(SEARCHES)["name"] == "Second"
    assert (await browser.submit(SEARCHES, query="q=why?")).status_code == 303
    await call(api, member, "DELETE", f"/saved-searches/{(await searches(api, member))[0]['id']}")
    await browser.get(f"{SEARCHES}/new?query=q%3D001")
    assert browser.form(SEARCHES)["query"] == "q=001"
    form = browser.form(SEARCHES) | {
        "name": "Second",
        "query": f"http://api{IMAGES}?q=001&status=&limit=7&team_id={member.team_id}",
    }
    for _ in range(2):
        assert (await browser.post(SEARCHES, form)).status_code == 303
    saved = await searches(api, member)
    assert [(each["name"], each["query"]) for each in saved] == [("Second", "q=001")]
    await browser.get(SEARCHES)
    (address,) = [each["href"] for tag, each in tags_of(browser.page) if each.get("href", "").startswith(f"{IMAGES}?")]
    assert shown((await browser.get(address)).text) == [ids[1]]
    page, other = f"{SEARCHES}/{saved[0]['id']}/remove", await signed_in(api, stranger)
    assert "Second" not in (await other.get(SEARCHES)).text
    token = {"csrf_token": other.form("/console/sign-out")["csrf_token"]}
    assert (await other.get(page)).status_code == (await other.post(page, token)).status_code == 404
    await browser.get(page)
    await call(api, member, "PATCH", f"/saved-searches/{saved[0]['id']}", query="q=002")
    refused = await browser.submit(page)
    assert refused.status_code == 412
    assert "q=002" in refused.text
    assert (await browser.submit(page)).status_code == 303
    assert await searches(api, member) == []
