"""The pages of what belongs to one image, without script: analyses, similar images, collections, links, history."""

from uuid import UUID

import pytest

from image_api.actor import Role
from image_api.console.pages.image.related import analyses
from image_core import testing
from image_core.testing import UserWithKey

from ..conftest import Api
from .browser import Browser, tags_of
from .catalogue import call
from .test_images import IMAGES, signed_in, upload_some
from .test_one_image import READY

PAGES = ("analyses", "similar", "collections", "history")


@pytest.fixture
async def image_id(api: Api, member: UserWithKey) -> str:
    image_id = (await upload_some(api, member, 1))[0]
    await api.set_row(image_id, **READY)
    return image_id


@pytest.fixture
async def browser(api: Api, member: UserWithKey) -> Browser:
    return await signed_in(api, member)


async def test_an_analysis_is_requested_at_a_price_and_shown_with_its_origin(
    api: Api, member: UserWithKey, image_id: str, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = f"{IMAGES}/{image_id}/analyses"
    assert f'href="{page}"' in (await browser.get(f"{IMAGES}/{image_id}")).text
    assert "has no analyses" in (await browser.get(page)).text
    assert "2 credits." in browser.page
    form = browser.form(page)
    monkeypatch.setattr(analyses, "_WAIT_SECONDS", 0.0)
    answer = await browser.post(page, form | {"analyzer": "quality"})
    assert answer.headers["location"] == f"{page}?done=requested"
    assert "in progress" in (await browser.get(answer.headers["location"])).text
    assert "<dt>Paid</dt><dd>1 credit</dd>" in browser.page
    # Sent twice, it is requested once.
    assert (await browser.post(page, form | {"analyzer": "quality"})).status_code == 303
    listed = await call(api, member, "GET", f"/images/{image_id}/analyses")
    assert [each["analyzer"] for each in listed["items"]] == ["quality"]
    refused = await browser.post(page, browser.form(page) | {"analyzer": "taste"})
    assert (refused.status_code, "Unknown analyzer" in refused.text) == (422, True)


async def test_similar_images_and_near_duplicates_are_shown_apart(
    api: Api, member: UserWithKey, image_id: str, browser: Browser
) -> None:
    assert member.team_id is not None
    page = f"{IMAGES}/{image_id}/similar"
    assert "processed before images could be compared" in (await browser.get(page)).text
    near, alike = [await testing.add_image(api.rows, member.team_id, "ready") for _ in range(2)]
    await testing.add_near_duplicate(api.rows, member.team_id, (UUID(image_id), near))
    for each in (UUID(image_id), near, alike):
        await testing.add_vector(api.rows, member.team_id, each, [1.0] * 96)
    await browser.get(page)
    first, _, second = browser.page.partition('id="similar"')
    shown = [[each for each in (near, alike) if f"{IMAGES}/{each}" in part] for part in (first, second)]
    assert shown == [[near], [alike]]


async def test_an_image_is_added_to_a_collection_and_its_links_are_shown(
    api: Api, member: UserWithKey, image_id: str, browser: Browser
) -> None:
    page = f"{IMAGES}/{image_id}/collections"
    assert "in no collection" in (await browser.get(page)).text
    collection_id = (await call(api, member, "POST", "/collections", name="Norway"))["id"]
    await call(api, member, "POST", "/links", collection_id=collection_id, title="For the jury")
    assert "For the jury" not in (await browser.get(page)).text
    answer = await browser.post(page, browser.form(page) | {"collection_id": collection_id})
    assert answer.headers["location"] == f"{page}?done=added"
    await browser.get(page)
    assert "For the jury" in browser.page
    links = {each["href"] for tag, each in tags_of(browser.page) if tag == "a"}
    assert {
        f"/console/collections/{collection_id}",
        f"/console/collections/{collection_id}/take-out?image_id={image_id}",
    } <= links
    # It is in the only one.
    assert 'name="collection_id"' not in browser.page
    reader = await testing.add_key(api.rows, member.user_id, member.team_id, scopes=["images:read"])
    assert "For the jury" not in (await (await signed_in(api, reader)).get(page)).text


async def test_another_teams_collection_takes_no_image(
    api: Api, stranger: UserWithKey, member: UserWithKey, image_id: str, browser: Browser
) -> None:
    await call(api, member, "POST", "/collections", name="Ours")
    theirs = (await call(api, stranger, "POST", "/collections", name="Theirs"))["id"]
    page = f"{IMAGES}/{image_id}/collections"
    await browser.get(page)
    refused = await browser.post(page, browser.form(page) | {"collection_id": theirs})
    assert refused.status_code == 404
    assert (await call(api, stranger, "GET", f"/collections/{theirs}"))["image_count"] == 0


async def test_admins_see_who_changed_an_image(api: Api, member: UserWithKey, image_id: str, browser: Browser) -> None:
    page = f"{IMAGES}/{image_id}/history"
    assert page not in (await browser.get(f"{IMAGES}/{image_id}")).text
    assert (await browser.get(page)).status_code == 403
    await call(api, member, "PATCH", f"/images/{image_id}", description="A fjord")
    assert member.team_id is not None
    other = await testing.add_image(api.rows, member.team_id)
    await call(api, member, "PATCH", f"/images/{other}", tags=["sea"])
    admin = await signed_in(api, await api.user(role=Role.ADMIN, name="Grace"))
    assert f'href="{page}"' in (await admin.get(f"{IMAGES}/{image_id}")).text
    shown = (await admin.get(page)).text
    assert shown.index("Changed") < shown.index("Uploaded")
    assert "fields: description" in shown
    assert "fields: tags" not in shown
    # Those of the feed stand below.
    assert "image.trashed" not in shown
    await call(api, await api.user(member.team_id, scopes=("images:delete",)), "DELETE", f"/images/{image_id}")
    assert "<code>image.trashed</code>" in (await admin.get(page)).text


async def test_another_teams_image_has_no_such_pages(api: Api, image_id: str, stranger: UserWithKey) -> None:
    other = await signed_in(api, stranger)
    for name in PAGES[:3]:
        assert (await other.get(f"{IMAGES}/{image_id}/{name}")).status_code == 404
