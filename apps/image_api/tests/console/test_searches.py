"""Saved searches on the console's pages."""

from typing import Any

from image_api.actor import Role
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


async def test_a_search_is_changed_and_a_conflict_shows_both(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    browser, other = await signed_in(api, member), await signed_in(api, stranger)
    reader = await signed_in(api, await api.user(member.team_id, role=Role.VIEWER))
    saved = await call(api, member, "POST", "/saved-searches", name="First", query="q=001")
    page = f"{SEARCHES}/{saved['id']}/change"
    assert page in (await browser.get(SEARCHES)).text
    await browser.get(page)
    assert (await browser.submit(page, name="Second", query=f"{IMAGES}?q=002&limit=7")).status_code == 303
    assert [(each["name"], each["query"]) for each in await searches(api, member)] == [("Second", "q=002")]
    await browser.get(page)
    assert (await browser.submit(page, query="colour=red")).status_code == 400
    assert browser.form(page)["query"] == "colour=red"
    await call(api, member, "PATCH", f"/saved-searches/{saved['id']}", query="q=003")
    refused = await browser.submit(page, query="q=004")
    assert refused.status_code == 412
    assert "q=003" in refused.text
    for each, status in ((other, 404), (reader, 403)):
        await each.get("/console")
        fields = {"csrf_token": each.form("/console/sign-out")["csrf_token"], "name": "Mine", "query": "q=1"}
        assert (await each.get(page)).status_code == (await each.post(page, fields)).status_code == status
    assert [each["query"] for each in await searches(api, member)] == ["q=003"]
    assert (await browser.submit(page)).status_code == 303
    assert [each["query"] for each in await searches(api, member)] == ["q=004"]
