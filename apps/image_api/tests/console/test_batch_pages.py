"""One action for many images on pages without script: what is asked for, what would happen, what happened, undo."""

import re
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import httpx2
import orjson
from sqlalchemy import func, select

from image_api.actor import Role, Scope
from image_api.batches.schemas import BatchAction
from image_core import testing
from image_core.models import audit_event
from image_core.testing import UserWithKey

from ..conftest import Api
from .browser import Browser, tags_of
from .catalogue import call
from .test_images import IMAGES, signed_in, upload_some

BATCH = f"{IMAGES}/batch"
RUN = f"{BATCH}/run"
EVENTS = select(func.count()).select_from(audit_event)


async def opened(browser: Browser, ids: list[str], action: str, **query: str) -> httpx2.Response:
    pairs = [*(("image_id", each) for each in ids), ("action", action), *query.items()]
    return await browser.get(f"{BATCH}?{urlencode(pairs)}")


async def rows(api: Api, ids: list[str]) -> list[Any]:
    return [await api.row(UUID(each)) for each in ids]


async def test_images_are_moved_to_the_trash_and_back_and_failures_are_named(api: Api, member: UserWithKey) -> None:
    ids, absent, browser = await upload_some(api, member, 3), str(uuid4()), await signed_in(api, member)
    await browser.get(f"{IMAGES}?q=png")
    boxes = [each["value"] for _, each in tags_of(browser.page) if each.get("form") == "batch"]
    assert (boxes, browser.form(BATCH)["query"]) == (ids, "q=png")
    page = (await opened(browser, [*ids[:2], absent], "trash", query="q=png")).text
    assert "Move 3 images to the trash" in page
    assert "2 images will be moved to the trash" in page
    assert "1 image cannot be changed" in page
    assert [row["deleted_at"] for row in await rows(api, ids)] == [None] * 3
    done = (await browser.submit(RUN)).text
    assert "2 images are in the trash" in done
    assert f"{IMAGES}/{absent}" in done
    assert "/errors/image-not-found" in done
    assert f'href="{IMAGES}?q=png"' in done
    assert [row["deleted_at"] is not None for row in await rows(api, ids)] == [True, True, False]
    assert browser.form(RUN)["image_ids"].split() == ids[:2]
    assert "2 images are restored" in (await browser.submit(RUN)).text
    assert [row["deleted_at"] for row in await rows(api, ids)] == [None] * 3


async def test_one_tag_is_added_after_a_preview_and_taken_back_where_it_was_new(api: Api, member: UserWithKey) -> None:
    ids, browser = await upload_some(api, member, 2), await signed_in(api, member)
    await api.set_row(UUID(ids[0]), tags=["sea"])
    await opened(browser, ids, "tag")
    empty = await browser.submit(BATCH, tags=" ")
    assert empty.status_code == 422
    assert 'aria-invalid="true"' in empty.text
    events = await api.rows.fetch_value(EVENTS)
    page = (await browser.submit(BATCH, tags="sea\r\n")).text
    assert "1 image will be tagged" in page
    assert "1 image needs no change" in page
    assert await api.rows.fetch_value(EVENTS) == events
    # With the name of the button that leads back to the form.
    await browser.post(BATCH, browser.form(RUN))
    assert browser.form(BATCH)["tags"].strip() == "sea"
    await browser.submit(BATCH)
    await browser.submit(RUN)
    assert [row["tags"] for row in await rows(api, ids)] == [["sea"], ["sea"]]
    assert "1 image is untagged" in (await browser.submit(RUN)).text
    assert [row["tags"] for row in await rows(api, ids)] == [["sea"], []]
    # Of two tags, an image may have had one before.
    await opened(browser, ids, "tag")
    await browser.submit(BATCH, tags="sea\nfjord")
    assert "Undo" not in (await browser.submit(RUN)).text


async def test_every_action_asks_for_what_it_needs_and_is_done(api: Api, member: UserWithKey) -> None:
    ids, browser = await upload_some(api, member, 2), Browser(api)
    await browser.sign_in(await api.person(role=Role.MEMBER, team_id=member.team_id, scopes=list(Scope)))
    await opened(browser, ids, "add_to_collection")
    assert "no collection yet" in browser.page
    collection_id = (await call(api, member, "POST", "/collections", name="Fjords"))["id"]
    filled = {
        "trash": {}, "restore": {}, "tag": {"tags": "sea"}, "untag": {"tags": "sea"},
        "set_metadata": {"metadata": '{"place": "Oslo"}'}, "set_visibility": {"visibility": "public"},
        "add_to_collection": {"collection_id": collection_id},
        "remove_from_collection": {"collection_id": collection_id}, "analyze": {"analyzer": "colors"},
    }  # fmt: skip
    assert filled.keys() == set(BatchAction)
    for action, values in filled.items():
        page = (await opened(browser, ids, action)).text
        if values:
            assert f'name="{next(iter(values))}"' in page
            page = (await browser.submit(BATCH, **values)).text
        assert ("2 images will be" in page, "This costs 2 credits" in page) == (True, action == "analyze"), action
        done = (await browser.submit(RUN)).text
        assert re.search("2 images are", done), (action, done)
    row = (await rows(api, ids))[0]
    assert (orjson.loads(row["metadata"]), row["visibility"]) == ({"place": "Oslo"}, "public")


async def test_metadata_are_asked_for_by_the_schema_and_wrong_ones_are_marked(api: Api, member: UserWithKey) -> None:
    schema = {"fields": [{"name": "age", "type": "integer", "max": 120}, {"name": "place", "type": "string"}]}
    path = f"/api/v1/metadata-schema?team_id={member.team_id}"
    assert (await api.client.put(path, headers=api.admin.headers, json=schema)).status_code == 200
    ids, browser = await upload_some(api, member, 1), await signed_in(api, member)
    await opened(browser, ids, "set_metadata")
    assert "Fill in at least one field" in (await browser.submit(BATCH)).text
    wrong = await browser.submit(BATCH, **{"metadata.age": "180"})
    assert (wrong.status_code, "Must be at most 120." in wrong.text) == (422, True)
    await browser.submit(BATCH, **{"metadata.age": "18"})
    await browser.submit(RUN)
    assert orjson.loads((await rows(api, ids))[0]["metadata"]) == {"age": 18}


async def test_the_first_thousand_are_taken(api: Api, member: UserWithKey) -> None:
    ids, browser = await upload_some(api, member, 1), await signed_in(api, member)
    await opened(browser, ids, "tag")
    sent = " ".join([*ids, *(str(uuid4()) for _ in range(1001))])
    await browser.post(BATCH, browser.form(BATCH) | {"action": "trash", "image_ids": sent})
    assert "2 images beyond them are left out" in browser.page
    assert len(browser.form(RUN)["image_ids"].split()) == 1000


async def test_a_batch_needs_the_scope_of_its_action(api: Api, member: UserWithKey) -> None:
    ids = await upload_some(api, member, 1)
    narrow = await testing.add_key(api.rows, member.user_id, member.team_id, scopes=["images:read", "delivery:manage"])
    browser = await signed_in(api, narrow)
    buttons = {value for _, value in (await offered(browser))}
    assert buttons == {"set_visibility"}
    assert (await opened(browser, ids, "trash")).status_code == 403
    await opened(browser, ids, "set_visibility")
    token = browser.form(BATCH)["csrf_token"]
    fields = {"csrf_token": token, "action": "trash", "image_ids": ids[0]}
    assert [(await browser.post(path, fields)).status_code for path in (BATCH, RUN)] == [403, 403]
    viewer = Browser(api)
    await viewer.sign_in(await api.person(role=Role.VIEWER, team_id=member.team_id))
    assert await offered(viewer) == []
    assert (await opened(viewer, ids, "trash")).status_code == 403


async def offered(browser: Browser) -> list[tuple[str, str]]:
    """The buttons of the list, and the boxes of its images."""
    tags = tags_of((await browser.get(IMAGES)).text)
    return [(tag, each["value"]) for tag, each in tags if tag == "button" and each.get("name") == "action"]


async def test_nothing_of_another_team_is_shown_or_changed(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    (theirs,), browser = await upload_some(api, stranger, 1), await signed_in(api, member)
    page = (await opened(browser, [theirs, str(uuid4())], "trash")).text
    assert "000.png" not in page
    assert page.count("/errors/image-not-found") == 2
    collection_id = (await call(api, stranger, "POST", "/collections", name="Secret"))["id"]
    page = (await opened(browser, [theirs], "add_to_collection")).text
    assert "Secret" not in page
    token = browser.form("/console/sign-out")["csrf_token"]
    fields = {"csrf_token": token, "action": "add_to_collection", "image_ids": theirs, "collection_id": collection_id}
    assert (await browser.post(RUN, fields)).status_code == 404


async def test_without_images_or_an_action_it_says_so(api: Api, member: UserWithKey) -> None:
    browser = await signed_in(api, member)
    assert "No image is chosen" in (await opened(browser, [], "trash")).text
    assert (await browser.get(BATCH)).headers["location"] == IMAGES
    await browser.get("/console")
    token = browser.form("/console/sign-out")["csrf_token"]
    for fields in ({"action": "explode", "image_ids": str(uuid4())}, {"action": "trash", "image_ids": "x"}):
        assert (await browser.post(RUN, {"csrf_token": token, **fields})).status_code == 422
