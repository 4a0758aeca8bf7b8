"""What people do with one image on its pages, without script."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from image_api.actor import Role
from image_core import testing
from image_core.testing import UserWithKey

from ..conftest import Api
from .browser import Browser, tags_of
from .test_images import IMAGES, link, shown, signed_in, upload_some

READY = {"status": "ready", "width": 40, "height": 30, "frames": 1, "ready_at": datetime(2026, 1, 1, tzinfo=UTC)}


@pytest.fixture
async def image_id(api: Api, member: UserWithKey) -> str:
    return (await upload_some(api, member, 1))[0]


@pytest.fixture
async def browser(api: Api, member: UserWithKey) -> Browser:
    return await signed_in(api, member)


async def patch(api: Api, by: UserWithKey, image_id: str, **body: Any) -> dict[str, Any]:
    answer = await api.client.patch(f"/api/v1/images/{image_id}", json=body, headers=by.headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_the_time_of_a_photograph_is_what_the_camera_showed(api: Api, image_id: str, browser: Browser) -> None:
    times = {"taken_at": datetime(2026, 1, 1, 8, 30, tzinfo=UTC), "taken_local": datetime(2026, 1, 1, 9, 30)}  # noqa: DTZ001
    await api.set_row(UUID(image_id), taken_at_source="exif", **times)
    page = (await browser.get(f"{IMAGES}/{image_id}")).text
    assert '<time datetime="2026-01-01T09:30:00">1 Jan 2026, 09:30</time>' in page
    assert "08:30" not in page


async def test_what_people_say_of_an_image_is_edited(
    api: Api, member: UserWithKey, image_id: str, browser: Browser
) -> None:
    await patch(api, member, image_id, metadata={"place": "Oslo"}, focal_point={"x": 0.2, "y": 0.3})
    edit = f"{IMAGES}/{image_id}/edit"
    assert f'href="{edit}"' in (await browser.get(f"{IMAGES}/{image_id}")).text
    await browser.get(edit)
    sent = {"tags": "sea\r\n\r\n winter ", "description": "One\r\ntwo", "alt_text": "A fjord", "rating": "4"}
    refused = await browser.submit(edit, **sent)
    assert refused.status_code == 422
    assert "language tag" in refused.text
    # Nothing that was typed is lost.
    assert browser.form(edit)["description"] == "One\ntwo"
    answer = await browser.submit(edit, alt_text_language="en-gb", rating="4")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{IMAGES}/{image_id}?done=saved")
    assert "The image is saved" in (await browser.get(answer.headers["location"])).text
    body = (await api.client.get(f"/api/v1/images/{image_id}", headers=member.headers)).json()
    expected = {
        "filename": "000.png", "tags": ["sea", "winter"], "description": "One\ntwo", "rating": 4,
        "alt_text": {"text": "A fjord", "language": "en-GB"}, "metadata": {"place": "Oslo"},
        "focal_point": {"x": 0.2, "y": 0.3},
    }  # fmt: skip
    assert {name: body[name] for name in expected} == expected
    await browser.get(edit)
    assert '<option value="4" selected>' in browser.page
    await browser.submit(edit, filename="", tags="", description="", alt_text="", rating="")
    row = await api.row(image_id)
    assert (row["filename"], row["tags"], row["description"], row["alt_text"], row["rating"]) == (
        None, [], None, None, None,
    )  # fmt: skip


async def test_lines_stay_apart_when_a_form_with_a_stale_token_is_sent_again(
    api: Api, image_id: str, browser: Browser
) -> None:
    edit = f"{IMAGES}/{image_id}/edit"
    await browser.get(edit)
    sent = {"csrf_token": "of an earlier session", "tags": "sea\r\nwinter", "description": "One\r\ntwo", "rating": ""}
    assert (await browser.submit(edit, **sent)).status_code == 403
    assert (await browser.submit(edit)).status_code == 303
    row = await api.row(image_id)
    assert (row["tags"], row["description"]) == (["sea", "winter"], "One\ntwo")


async def test_a_change_in_between_shows_both_values(
    api: Api, member: UserWithKey, image_id: str, browser: Browser
) -> None:
    edit = f"{IMAGES}/{image_id}/edit"
    await browser.get(edit)
    await patch(api, member, image_id, description="A lake", tags=["lake"])
    refused = await browser.submit(edit, description="A fjord", tags="fjord", rating="")
    assert refused.status_code == 412
    assert '<span class="lines">A lake</span>' in refused.text
    assert refused.text.count("Stored now:") == 2
    again = browser.form(edit)
    assert (again["description"], again["tags"]) == ("A fjord", "fjord")
    assert (await api.row(image_id))["description"] == "A lake"
    assert (await browser.submit(edit, rating="")).status_code == 303
    assert (await api.row(image_id))["description"] == "A fjord"
    # Without the version, nothing is overwritten.
    without = {name: value for name, value in again.items() if name != "revision"}
    assert (await browser.post(edit, without | {"description": "None", "rating": ""})).status_code == 412


async def test_an_image_is_rated_on_its_page(api: Api, member: UserWithKey, image_id: str, browser: Browser) -> None:
    page, rating = f"{IMAGES}/{image_id}", f"{IMAGES}/{image_id}/rating"
    await browser.get(page)
    form = browser.form(rating)
    answer = await browser.post(rating, form | {"rating": "4"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{page}?done=saved")
    assert '<option value="4" selected>' in (await browser.get(page)).text
    # Rated by somebody else since the page was shown: both values are, and nothing is overwritten.
    refused = await browser.post(rating, form | {"rating": "1"})
    assert refused.status_code == 412
    assert "now “4”; you sent “1”" in refused.text
    assert (await api.row(image_id))["rating"] == 4
    assert (await browser.post(rating, browser.form(rating) | {"rating": "9"})).status_code == 422
    assert (await browser.post(rating, browser.form(rating) | {"rating": ""})).status_code == 303
    assert (await api.row(image_id))["rating"] is None


async def test_an_image_goes_to_the_trash_and_back(api: Api, image_id: str, browser: Browser) -> None:
    page = f"{IMAGES}/{image_id}"
    assert "restored until it is purged" in (await browser.get(f"{page}/trash")).text
    assert (await browser.submit(f"{page}/trash")).headers["location"] == page
    assert (await api.row(image_id))["deleted_at"] is not None
    assert f'href="{page}/trash"' not in (await browser.get(page)).text
    assert f'href="{page}/restore"' in browser.page
    await browser.get(f"{page}/restore")
    assert (await browser.submit(f"{page}/restore")).status_code == 303
    assert (await api.row(image_id))["deleted_at"] is None


async def test_the_visibility_is_changed_and_addresses_are_revoked(
    api: Api, member: UserWithKey, image_id: str, browser: Browser
) -> None:
    page = f"{IMAGES}/{image_id}"
    for name in ("visibility", "revoke-addresses"):
        assert f'href="{page}/{name}"' in (await browser.get(page)).text
    form = await opened(browser, f"{page}/visibility")
    assert 'name="visibility" value="" checked' in browser.page
    await patch(api, member, image_id, rating=3)
    refused = await browser.post(f"{page}/visibility", form | {"visibility": "public"})
    assert refused.status_code == 412
    assert 'value="public" checked' in refused.text
    assert (await api.row(image_id))["visibility"] is None
    form = browser.form(f"{page}/visibility")
    for chosen, stored in (("public", "public"), ("", None)):
        answer = await browser.post(f"{page}/visibility", form | {"visibility": chosen})
        assert answer.headers["location"] == f"{page}?done=visibility"
        assert (await api.row(image_id))["visibility"] == stored
        form = await opened(browser, f"{page}/visibility")
    before = (await api.row(image_id))["delivery_epoch"]
    await browser.get(f"{page}/revoke-addresses")
    assert (await browser.submit(f"{page}/revoke-addresses")).headers["location"] == f"{page}?done=revoked"
    assert (await api.row(image_id))["delivery_epoch"] != before
    # image-delivery does not know the new addresses at once.
    assert "reload the page" in (await browser.get(f"{page}?done=revoked")).text
    assert "reload the page" not in (await browser.get(page)).text


async def test_an_image_that_failed_is_tried_again(api: Api, image_id: str, browser: Browser) -> None:
    page = f"{IMAGES}/{image_id}"
    await api.set_row(image_id, status="failed", failure_code="image-truncated", failure_message="Cut off.")
    assert "Cut off." in (await browser.get(page)).text
    form = browser.form(f"{page}/reprocess")
    answer = await browser.post(f"{page}/reprocess", form)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{page}?done=queued")
    assert (await api.row(image_id))["status"] == "stored"
    assert "The image is processed again" in (await browser.get(answer.headers["location"])).text
    # It waits already.
    assert f"{page}/reprocess" not in browser.page
    refused = await browser.post(f"{page}/reprocess", form)
    assert refused.status_code == 409
    assert "image-not-reprocessable" in refused.text


@pytest.mark.parametrize(("columns", "offered"), [({}, True), ({"deleted_at": READY["ready_at"]}, False)])
async def test_what_is_ready_can_be_processed_again_unless_it_is_in_the_trash(
    api: Api, image_id: str, browser: Browser, columns: dict[str, Any], offered: bool
) -> None:
    await api.set_row(image_id, **READY, **columns)
    assert ("Process the image again" in (await browser.get(f"{IMAGES}/{image_id}")).text) == offered


async def opened(browser: Browser, path: str) -> dict[str, str]:
    """The fields of the form at an address, without its choices."""
    await browser.get(path)
    return {name: value for name, value in browser.form(path).items() if name != "visibility"}


async def test_a_writer_without_delivery_changes_no_visibility(api: Api, member: UserWithKey, image_id: str) -> None:
    key = await testing.add_key(api.rows, member.user_id, member.team_id, scopes=["images:read", "images:write"])
    browser, page = await signed_in(api, key), f"{IMAGES}/{image_id}"
    assert f"{page}/visibility" not in (await browser.get(page)).text
    form = await opened(browser, f"{page}/visibility")
    assert (await browser.post(f"{page}/visibility", form | {"visibility": "public"})).status_code == 403
    assert (await api.row(image_id))["visibility"] is None


@pytest.mark.parametrize("order", ["", "&order_by=created_at", "&order_by=filename", "&order_by=filename%20desc"])
async def test_previous_and_next_follow_the_list_from_which_it_was_opened(
    api: Api, member: UserWithKey, browser: Browser, order: str
) -> None:
    ids = await upload_some(api, member, 6)
    for image_id in (ids[0], ids[1], ids[3], ids[5]):
        await patch(api, member, image_id, tags=["sea"])
    for image_id in (ids[1], ids[3]):
        await patch(api, member, image_id, filename=None)
    await browser.get(f"{IMAGES}?tag=sea{order}")
    listed, way = shown(browser.page), []
    address = next(each["href"] for tag, each in tags_of(browser.page) if tag == "a" and listed[0] in each["href"])
    while True:
        page = (await browser.get(address)).text
        way.append(urlsplit(address).path.rpartition("/")[2])
        if 'rel="next"' not in page:
            break
        address = link(page, "next")
    assert way == listed
    assert sorted(listed) == sorted([ids[0], ids[1], ids[3], ids[5]])
    while 'rel="prev"' in browser.page:
        await browser.get(link(browser.page, "prev"))
        way.pop()
        assert f">{way[-1]}</code>" in browser.page
    assert way == listed[:1]
    assert shown((await browser.get(f"{IMAGES}?tag=sea{order}")).text) == listed


FORMS = ("edit", "trash", "restore", "visibility", "revoke-addresses")


async def test_who_may_only_read_sees_no_forms(api: Api, member: UserWithKey, image_id: str) -> None:
    viewer = await signed_in(api, await api.user(member.team_id, Role.VIEWER))
    page = f"{IMAGES}/{image_id}"
    shown = (await viewer.get(page)).text
    assert not [name for name in (*FORMS, "reprocess", "rating") if f"{page}/{name}" in shown]
    await viewer.get("/console")
    token = viewer.form("/console/sign-out")["csrf_token"]
    before = await api.row(image_id)
    for name in FORMS:
        assert (await viewer.get(f"{page}/{name}")).status_code == 403
        sent = {"csrf_token": token, "revision": str(before["revision"]), "description": "Mine"}
        assert (await viewer.post(f"{page}/{name}", sent)).status_code == 403
    for name in ("reprocess", "rating", "collections", "analyses"):
        assert (await viewer.post(f"{page}/{name}", sent)).status_code == 403
    assert await api.row(image_id) == before


async def test_another_teams_image_is_not_found(api: Api, image_id: str, stranger: UserWithKey) -> None:
    other = await signed_in(api, stranger)
    for name in FORMS:
        assert (await other.get(f"{IMAGES}/{image_id}/{name}")).status_code == 404


async def test_a_writer_may_trash_its_own_uploads_only(
    api: Api, member: UserWithKey, colleague: UserWithKey, image_id: str
) -> None:
    scopes = ["images:read", "images:write"]
    page = f"{IMAGES}/{image_id}"
    for by, status in ((colleague, 403), (member, 303)):
        key = await testing.add_key(api.rows, by.user_id, by.team_id, scopes=scopes)
        browser = await signed_in(api, key)
        assert (f"{page}/trash" in (await browser.get(page)).text) == (status == 303)
        await browser.get(f"{page}/trash")
        assert (await browser.submit(f"{page}/trash")).status_code == status
