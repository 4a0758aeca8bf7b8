"""Images on the console's pages: the list, its pages and filters, and one image."""

import re
from urllib.parse import urlsplit
from uuid import UUID

import orjson
import pytest

from image_api.console.pictures import hourly_expiry
from image_core import testing
from image_core.delivery import grant
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi
from ..pictures import picture
from .browser import Browser, tags_of

IMAGES = "/console/images"


async def signed_in(api: Api, by: UserWithKey) -> Browser:
    browser = Browser(api)
    assert (await browser.sign_in_by_key(by.api_key)).status_code == 303
    return browser


def shown(page: str) -> list[str]:
    """The ids of the images that a page links, in its order."""
    return re.findall(rf'<a href="{IMAGES}/([0-9a-f-]{{36}})', page)


def link(page: str, rel: str) -> str:
    return next(each["href"] for tag, each in tags_of(page) if tag == "a" and each.get("rel") == rel)


async def upload_some(api: Api, by: UserWithKey, number: int) -> list[str]:
    """The ids of new images, newest first."""
    return [(await api.upload(by, picture(shade), filename=f"{shade:03}.png"))["id"] for shade in range(number)][::-1]


async def test_pages_lead_forward_and_back(api: Api, member: UserWithKey) -> None:
    ids, browser = await upload_some(api, member, 8), await signed_in(api, member)
    first = await browser.get(f"{IMAGES}?limit=3")
    second = await browser.get(link(first.text, "next"))
    third = await browser.get(link(second.text, "next"))
    assert [shown(page.text) for page in (first, second, third)] == [ids[:3], ids[3:6], ids[6:]]
    assert 'rel="prev"' not in first.text
    assert 'rel="next"' not in third.text
    back = await browser.get(link(third.text, "prev"))
    assert shown(back.text) == ids[3:6]
    assert shown((await browser.get(link(back.text, "next"))).text) == ids[6:]
    # What precedes the second page is the first one, which begins at the newest image.
    answer = await browser.get(link(back.text, "prev"))
    assert (answer.status_code, answer.headers["location"]) == (303, f"{IMAGES}?limit=3")


async def test_a_page_has_sixty_images_and_no_more(api: Api, member: UserWithKey) -> None:
    for _ in range(61):
        await testing.add_image(api.rows, member.team_id)
    page = (await (await signed_in(api, member)).get(IMAGES)).text
    assert len(shown(page)) == 60


async def test_words_and_a_status_select_and_empty_fields_are_left_out(api: Api, member: UserWithKey) -> None:
    ids, browser = await upload_some(api, member, 3), await signed_in(api, member)
    answer = await browser.get(f"{IMAGES}?tag=&q=001&status=")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{IMAGES}?q=001")
    assert shown((await browser.get(f"{IMAGES}?q=001")).text) == [ids[1]]
    await api.client.delete(f"/api/v1/images/{ids[1]}", headers=api.admin.headers)
    assert shown((await browser.get(f"{IMAGES}?status=trashed")).text) == [ids[1]]
    assert shown((await browser.get(IMAGES)).text) == [ids[0], ids[2]]
    nothing = await browser.get(f"{IMAGES}?q=nothing&tag=sea")
    assert "No image matches" in nothing.text
    # The other filters of the address stay when the form is sent.
    assert ("input", "tag", "sea") in [
        (tag, each.get("name"), each.get("value")) for tag, each in tags_of(nothing.text)
    ]
    assert (await browser.get(f"{IMAGES}?colour=red")).status_code == 400
    assert (await browser.get(f"{IMAGES}?cursor=x")).status_code == 400


async def test_pictures_are_signed_for_one_to_two_hours_and_repeat(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upload_some(api, member, 1)
    browser = await signed_in(api, member)
    pictures = []
    for _ in range(2):
        await browser.get(IMAGES)
        pictures.append(next(each["src"] for tag, each in tags_of(browser.page) if tag == "img" and each["alt"]))
    assert pictures[0] == pictures[1]
    assert pictures[0].startswith("https://pictures.test/i/k")
    address = grant.parse(urlsplit(pictures[0]).path)
    assert address is not None
    assert address.grant is not None
    assert hourly_expiry(7200.0) == hourly_expiry(10_799.9) == 4 * 60
    assert hourly_expiry(10_800.0) == 5 * 60


async def test_a_team_sees_its_own_images_only(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    (mine,), (other,) = await upload_some(api, member, 1), await upload_some(api, stranger, 1)
    browser = await signed_in(api, member)
    assert shown((await browser.get(IMAGES)).text) == [mine]
    assert (await browser.get(f"{IMAGES}/{mine}")).status_code == 200
    for path in (f"{IMAGES}/{other}", f"{IMAGES}?team_id={stranger.team_id}"):
        answer = await browser.get(path)
        assert answer.status_code == 404
        assert other not in answer.text.replace(path, "")
    admin = await signed_in(api, api.admin)
    assert shown((await admin.get(IMAGES)).text) == [other, mine]
    chosen = await admin.get(f"{IMAGES}?team_id={stranger.team_id}")
    assert shown(chosen.text) == [other]
    assert f'href="{IMAGES}/{other}?team_id={stranger.team_id}"' in chosen.text


async def test_a_scope_is_needed_and_the_navigation_knows(api: Api, member: UserWithKey) -> None:
    narrow = await testing.add_key(api.rows, member.user_id, member.team_id, scopes=["keys:self"])
    browser = await signed_in(api, narrow)
    assert IMAGES not in (await browser.get("/console")).text
    assert (await browser.get(IMAGES)).status_code == 403


async def test_one_image_shows_what_is_known_and_why_it_failed(api: Api, member: UserWithKey) -> None:
    (image_id,), browser = await upload_some(api, member, 1), await signed_in(api, member)
    facts = {
        "exif": {"camera_model": "Pixel 9", "shutter": {"kind": "global"}},
        "colors": [{"hex": "#0f6b5c", "share": 0.5}],
        "blurhash": "LaRB",
    }
    await api.set_row(
        UUID(image_id), status="failed", failure_code="image-truncated", failure_message="Upload `all` of it.",
        tags=["sea"], facts=orjson.dumps(facts).decode(), metadata='{"place": "Oslo", "sold": false}',
        alt_text="A fjord", alt_text_language="en",
    )  # fmt: skip
    page = (await browser.get(f"{IMAGES}/{image_id}")).text
    for part in (
        "<h1>A fjord</h1>",
        "<dt>Camera</dt><dd>Pixel 9</dd>",
        # One that has no words yet.
        "<dt>shutter.kind</dt><dd>global</dd>",
        "Oslo",
        "<dd>false</dd>",
        "sea",
        "#0f6b5c, 50 %",
        "000.png",
    ):
        assert part in page
    assert "Upload <code>all</code> of it." in page
    assert "/errors/image-truncated" in page
    assert "LaRB" not in page
    assert "pictures.test" not in page


async def test_without_a_delivery_service_it_says_so(make_api: MakeApi) -> None:
    async with make_api(delivery_url=None, delivery_master=None) as api:
        member = await api.user()
        await upload_some(api, member, 1)
        page = (await (await signed_in(api, member)).get(IMAGES)).text
        assert "no delivery service" in page
        assert len(shown(page)) == 1
