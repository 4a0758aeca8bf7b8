"""The list of images without script: its table, the filters that are set, and counted values."""

import re
from uuid import UUID

import orjson
import pytest

from image_core.testing import UserWithKey

from ..conftest import Api
from .browser import Browser, tags_of
from .catalogue import call
from .test_images import IMAGES, link, shown, signed_in, upload_some

FIELDS = [{"name": "country", "type": "enum", "enum": ["NO", "SE"]}, {"name": "age", "type": "integer"}]


@pytest.fixture
async def browser(api: Api, member: UserWithKey) -> Browser:
    return await signed_in(api, member)


def links(page: str) -> list[str]:
    return [each["href"] for tag, each in tags_of(page) if tag == "a"]


def listed(page: str) -> list[str]:
    return re.findall(r'<tr data-image="([0-9a-f-]{36})"', page)


async def test_the_table_shows_facts_and_is_kept_by_every_link(api: Api, member: UserWithKey, browser: Browser) -> None:
    ids = await upload_some(api, member, 3)
    await api.set_row(UUID(ids[0]), tags=["sea", "fjord"], width=40, height=30, rating=4)
    page = (await browser.get(f"{IMAGES}?view=table&limit=2&q=png")).text
    assert listed(page) == ids[:2]
    for text in ("002.png", "sea, fjord", "40 × 30", "Somebody"):
        assert text in page
    assert listed((await browser.get(link(page, "next"))).text) == ids[2:]
    assert f"{IMAGES}/{ids[0]}?view=table&q=png" in links(page)
    image = (await browser.get(f"{IMAGES}/{ids[0]}?view=table&q=png")).text
    assert {f"{IMAGES}?view=table&q=png&at={ids[0]}", f"{IMAGES}/{ids[1]}?view=table&q=png"} <= set(links(image))
    # Sorting by name turns around.
    by_name = next(each for each in links(page) if "order_by=filename" in each)
    assert listed((await browser.get(by_name)).text) == ids[:0:-1]
    assert 'aria-sort="ascending"' in browser.page
    assert any("order_by=filename+desc" in each for each in links(browser.page))
    assert shown((await browser.get(f"{IMAGES}?limit=2&q=png")).text) == ids[:2]


async def test_a_view_is_no_part_of_a_search_nor_of_the_api(api: Api, member: UserWithKey, browser: Browser) -> None:
    await upload_some(api, member, 1)
    page = (await browser.get(f"{IMAGES}?view=table&facet=country&q=png")).text
    assert "/console/searches/new?query=q%3Dpng" in links(page)
    assert "/api/v1/images?q=png&#34;" in page
    await browser.get("/console/searches/new")
    await browser.submit("/console/searches", name="All", query=f"{IMAGES}?view=table&facet=country&q=png")
    assert (await call(api, member, "GET", "/saved-searches"))["items"][0]["query"] == "q=png"


async def test_each_filter_that_is_set_can_be_removed(browser: Browser) -> None:
    query = (
        "tag=sea&tag=fjord&has=location&taken_after=2026-03-01&status=ready&visibility=public&orientation=square"
        "&view=table"
    )
    page = (await browser.get(f"{IMAGES}?{query}")).text
    chips = {each["aria-label"]: each["href"] for tag, each in tags_of(page) if tag == "a" and "aria-label" in each}
    assert (
        chips.items()
        >= {
            "Remove Tag: sea": f"{IMAGES}?{query.replace('tag=sea&', '')}",
            "Remove Has: A place": f"{IMAGES}?{query.replace('has=location&', '')}",
            "Remove Taken from: 2026-03-01": f"{IMAGES}?{query.replace('taken_after=2026-03-01&', '')}",
            "Remove Status: Ready": f"{IMAGES}?{query.replace('status=ready&', '')}",
            "Remove Visibility: Public": f"{IMAGES}?{query.replace('visibility=public&', '')}",
            "Remove Orientation: Square": f"{IMAGES}?{query.replace('orientation=square&', '')}",
        }.items()
    )
    fields = [(each.get("name"), each.get("value")) for tag, each in tags_of(page) if tag == "input"]
    # Tags stay while another one is added.
    assert [value for name, value in fields if name == "tag"] == ["sea", "fjord", ""]
    assert ("taken_after", "2026-03-01") in fields
    chosen = {each["value"] for tag, each in tags_of(page) if tag == "option" and "selected" in each}
    assert {"public", "square"} <= chosen


async def test_values_are_counted_when_asked_for_within_the_team(
    api: Api, member: UserWithKey, stranger: UserWithKey, browser: Browser
) -> None:
    for owner in (member, stranger):
        await call(api, api.admin, "PUT", f"/metadata-schema?team_id={owner.team_id}", fields=FIELDS)
        for country, image_id in zip(("NO", "SE", "NO"), await upload_some(api, owner, 3), strict=True):
            await api.set_row(UUID(image_id), metadata=orjson.dumps({"country": country, "age": 3}).decode())
    page = (await browser.get(f"{IMAGES}?q=png")).text
    assert f"{IMAGES}?q=png&facet=country" in links(page)
    assert "facet=age" not in page
    counted = (await browser.get(f"{IMAGES}?q=png&facet=country")).text
    assert re.findall(r"<span>(\w+)</span> <span class=.muted.>(\d+)<", counted) == [("NO", "2"), ("SE", "1")]
    only = f"{IMAGES}?q=png&meta.country=SE"
    assert only in links(counted)
    assert len(shown((await browser.get(only)).text)) == 1
    # The others are still counted, and the chosen one leads back.
    chosen = (await browser.get(f"{only}&facet=country")).text
    assert re.findall(r'href="([^"]+)" aria-current="true"><span>SE', chosen) == [f"{IMAGES}?q=png"]
    assert f"{IMAGES}?q=png&meta.country=NO" in links(chosen)
