"""Operations on pages: begun for all images that a filter matches, followed, and cancelled."""

from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import UUID, uuid4

import orjson
import pytest
from sqlalchemy import insert, select, update

from image_api.actor import Role
from image_api.tasks import runner
from image_api.tasks_app import STEPS
from image_core import models, testing
from image_core.testing import UserWithKey

from ..conftest import Api
from ..housekeeping import Tasks
from .browser import tags_of
from .test_images import IMAGES, signed_in

OPERATIONS = "/console/operations"
BATCH = f"{IMAGES}/batch"
RUN = f"{BATCH}/run"
EXPORT = f"{IMAGES}/export"


async def run(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run operations as the tick does."""
    monkeypatch.setattr("image_api.operations.tasks._IDLE_SECONDS", 0.0)
    await runner.run_step(tasks.parts, "operations", STEPS["operations"], 30)


async def test_all_that_match_are_tagged_by_an_operation_whose_page_follows(
    api: Api, tasks: Tasks, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert member.team_id is not None
    ids = [await testing.add_image(api.rows, member.team_id, filename=f"fjord {n}.png") for n in range(2)]
    other = await testing.add_image(api.rows, member.team_id, filename="fell.png")
    browser = await signed_in(api, member)
    await browser.get(f"{IMAGES}?q=fjord&view=table")
    assert browser.form(BATCH)["query"] == "q=fjord&view=table"
    query = urlencode({"action": "tag", "query": "q=fjord&view=table&order_by=filename asc", "all": "1"})
    assert "Add tags to all images that match" in (await browser.get(f"{BATCH}?{query}")).text
    page = (await browser.submit(BATCH, tags="norway")).text
    assert "2 images match now" in page
    fields = browser.form(RUN)
    # Sent twice, it begins once.
    (path,) = {(await browser.post(RUN, fields)).headers["location"] for _ in range(2)}
    assert path.startswith(OPERATIONS)
    assert "finding items" in (await browser.get(path)).text
    await run(tasks, monkeypatch)
    over = (await browser.get(path)).text
    assert "succeeded" in over
    assert "2 of 2" in over
    assert "data-operation=" not in over
    assert [(await api.row(each))["tags"] for each in (*ids, other)] == [["norway"], ["norway"], []]


async def test_a_list_without_filters_means_all_images_of_the_team(api: Api, member: UserWithKey) -> None:
    assert member.team_id is not None
    for status in ("ready", "failed"):
        await testing.add_image(api.rows, member.team_id, status)
    browser = await signed_in(api, member)
    page = await browser.get(f"{BATCH}?{urlencode({'action': 'analyze', 'query': '', 'all': '1'})}")
    assert page.status_code == 200
    page = await browser.submit(BATCH, analyzer="colors")
    assert "2 images match now" in page.text
    await browser.submit(RUN, budget="7")
    row = await api.rows.fetch_one(select(models.operation))
    assert row is not None
    assert (row["kind"], row["budget_credits"]) == ("analyze", 7)


async def test_it_is_listed_with_its_failures_and_cancelled_on_a_page_that_says_what_that_does(
    api: Api, member: UserWithKey
) -> None:
    assert member.team_id is not None
    operation_id = await testing.add_operation(api.rows, member.team_id, member.user_id, total=1500, done=400, failed=1)
    failed = {"operation_id": operation_id, "position": 7, "image_id": UUID(int=7), "state": "failed"}
    await api.rows.execute(
        insert(models.operation_item).values(**failed, code="image-not-found", detail="The image does not exist.")
    )
    browser = await signed_in(api, member)
    assert "401 of 1,500" in (await browser.get(OPERATIONS)).text
    page = (await browser.get(f"{OPERATIONS}/{operation_id}")).text
    assert "/errors/image-not-found" in page
    assert "data-operation=" in page
    asked = (await browser.get(f"{OPERATIONS}/{operation_id}/cancel")).text
    assert "1,099 of 1,500 items are left" in asked
    await browser.submit(f"{OPERATIONS}/{operation_id}/cancel")
    assert "It was cancelled" in (await browser.get(f"{OPERATIONS}/{operation_id}")).text
    await api.rows.execute(update(models.operation).values(status="failed", failure_code="budget-exhausted"))
    assert "/errors/budget-exhausted" in (await browser.get(f"{OPERATIONS}/{operation_id}")).text


async def test_another_teams_is_not_there(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    assert stranger.team_id is not None
    operation_id = await testing.add_operation(api.rows, stranger.team_id, stranger.user_id)
    browser = await signed_in(api, member)
    for path in (f"{OPERATIONS}/{operation_id}", f"{OPERATIONS}/{operation_id}/cancel"):
        assert (await browser.get(path)).status_code == 404
    assert str(operation_id) not in (await browser.get(OPERATIONS)).text


async def test_all_that_match_are_exported_by_an_operation_whose_page_offers_the_manifest(
    api: Api, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = await api.user(role=Role.VIEWER)
    assert viewer.team_id is not None
    for name in ("fjord.png", "fell.png"):
        await testing.add_image(api.rows, viewer.team_id, filename=name)
    browser = await signed_in(api, viewer)
    page = (await browser.get(f"{IMAGES}?q=fjord&view=table")).text
    assert f'href="{EXPORT}?query=q%3Dfjord' in page
    assert "1 image matches now" in (await browser.get(f"{EXPORT}?query=q%3Dfjord")).text
    fields = browser.form(f"{EXPORT}/begin")
    # Sent twice, it begins once.
    (path,) = {(await browser.post(f"{EXPORT}/begin", fields)).headers["location"] for _ in range(2)}
    assert "Its manifest" not in (await browser.get(path)).text
    await run(tasks, monkeypatch)
    manifest = f"/api/v1/exports/{path.rpartition('/')[2]}/manifest"
    assert f'href="{manifest}"' in (await browser.get(path)).text
    lines = (await browser.get(manifest)).text.splitlines()
    assert [line.count('"filename":"fjord.png"') for line in lines] == [1]


async def test_images_that_are_ticked_are_exported(
    api: Api, tasks: Tasks, stranger: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = await api.user(role=Role.VIEWER)
    assert viewer.team_id is not None
    assert stranger.team_id is not None
    first, _, last = [await testing.add_image(api.rows, viewer.team_id, filename=f"{each}.png") for each in range(3)]
    waiting = await testing.add_image(api.rows, viewer.team_id, "stored", filename="waiting.png")
    theirs = await testing.add_image(api.rows, stranger.team_id, filename="secret.png")
    browser = await signed_in(api, viewer)
    (button,) = [each for _, each in tags_of((await browser.get(IMAGES)).text) if each.get("formaction") == EXPORT]
    ticked = [("image_id", each) for each in (last, first, waiting, theirs)]
    page = (await browser.get(f"{EXPORT}?{urlencode([*ticked, ('query', 'q=png'), (button['name'], '1')])}")).text
    assert "Export 4 images" in page
    assert "2 images can be exported now" in page
    assert "2 images cannot be exported" in page
    assert "waiting.png" in page
    assert "secret.png" not in page
    assert f'href="{IMAGES}?q=png"' in page
    path = (await browser.submit(f"{EXPORT}/begin")).headers["location"]
    await run(tasks, monkeypatch)
    assert "The images that were chosen" in (await browser.get(path)).text
    assert [code in browser.page for code in ("image-not-ready", "image-not-found")] == [True, True]
    lines = (await browser.get(f"/api/v1/exports/{path.rpartition('/')[2]}/manifest")).text.splitlines()
    assert [UUID(orjson.loads(line)["image_id"]) for line in lines] == [last, first, waiting, theirs]
    # With nothing ticked it says so, instead of exporting everything; the box for all that match does.
    assert "No image is chosen" in (await browser.get(f"{EXPORT}?{button['name']}=1")).text
    assert "4 images match now" in (await browser.get(f"{EXPORT}?{button['name']}=1&all=1")).text


async def test_more_images_than_an_address_holds_are_exported_by_a_form(api: Api, member: UserWithKey) -> None:
    assert member.team_id is not None
    image_id = await testing.add_image(api.rows, member.team_id)
    browser = await signed_in(api, member)
    await browser.get(f"{EXPORT}?query=q%3Dpng")
    token = browser.form(f"{EXPORT}/begin")["csrf_token"]
    sent = " ".join([str(image_id), *(str(uuid4()) for _ in range(1001))])
    page = (await browser.post(EXPORT, {"csrf_token": token, "image_ids": sent})).text
    assert "2 images beyond them are left out" in page
    assert "1 image can be exported now" in page
    assert len(browser.form(f"{EXPORT}/begin")["image_ids"].split()) == 1000
    for ids in ("", "x"):
        assert (await browser.post(EXPORT, {"csrf_token": token, "image_ids": ids})).status_code == 422


async def test_an_admin_exports_chosen_images_of_one_team_only(api: Api, member: UserWithKey) -> None:
    assert member.team_id is not None
    await testing.add_image(api.rows, member.team_id)
    browser = await signed_in(api, api.admin)
    await testing.add_image(api.rows, member.team_id, deleted_at=datetime.now(UTC))
    of_team = f"?team_id={member.team_id}"
    # What is in the trash cannot be exported.
    for query, buttons in ((of_team, 1), ("", 0), (f"{of_team}&status=trashed", 0)):
        tags = tags_of((await browser.get(f"{IMAGES}{query}")).text)
        assert len([each for _, each in tags if each.get("formaction") == EXPORT]) == buttons


async def test_a_granted_source_is_imported_by_a_form(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    assert member.team_id is not None
    assert stranger.team_id is not None
    await testing.add_import_source(api.rows, member.team_id, name="old-site", prefix="site/")
    await testing.add_import_source(api.rows, stranger.team_id, name="theirs")
    browser = await signed_in(api, member)
    page = (await browser.get(f"{OPERATIONS}/import")).text
    assert "old-site" in page
    assert "theirs" not in page
    form = f"{OPERATIONS}/import"
    refused = await browser.submit(form, source="theirs", prefix="photos/")
    assert refused.status_code == 403
    assert "source-not-granted" in refused.text
    assert browser.form(form)["prefix"] == "photos/"
    chosen = {"source": "old-site", "tags": "a, b", "tags_from_folders": "true", "include_resized": ""}
    fields = browser.form(form) | chosen
    # Sent twice, it begins once.
    (path,) = {(await browser.post(form, fields)).headers["location"] for _ in range(2)}
    assert "photos/" in (await browser.get(path)).text
    row = await api.rows.fetch_one(select(models.operation))
    assert row is not None
    assert (row["kind"], row["team_id"]) == ("import-bucket", member.team_id)
    asked = orjson.loads(row["parameters"])
    assert (asked["tags"], asked["tags_from_folders"], asked["include_resized"]) == (["a", "b"], True, False)


async def test_a_list_of_urls_is_imported_by_a_form(api: Api, member: UserWithKey) -> None:
    browser, form = await signed_in(api, member), f"{OPERATIONS}/import-urls"
    assert "No bucket is granted" in (await browser.get(f"{OPERATIONS}/import")).text
    assert "It is empty" in (await browser.submit(form, lines=" ")).text
    lines = '{"url": "https://example.org/a.jpg"}\r\nbroken\r\n'
    answer = await browser.submit(form, lines=lines)
    path = answer.headers["location"]
    page = (await browser.get(path)).text
    assert "Import of addresses: 2 items" in page
    report = f"/api/v1/imports/{path.rpartition('/')[2]}/report"
    assert f'href="{report}"' in page
    assert '"position":2' in (await browser.get(report)).text
    rows = await api.rows.fetch(select(models.operation_item.c.payload).order_by(models.operation_item.c.position))
    assert [sorted(orjson.loads(row["payload"])) for row in rows] == [
        ["filename", "metadata", "tags", "url"], ["broken"],
    ]  # fmt: skip


async def test_admins_have_failed_images_processed_again(api: Api, member: UserWithKey) -> None:
    browser, form = await signed_in(api, api.admin), f"{OPERATIONS}/reprocess"
    assert "Those of all teams" in (await browser.get(form)).text
    assert "Send the code of a failure" in (await browser.submit(form, code="No Code")).text
    answer = await browser.submit(form, code="processing-timeout")
    assert answer.headers["location"].startswith(OPERATIONS)
    of_team = f"{form}?team_id={member.team_id}"
    assert "Those of the chosen team" in (await browser.get(of_team)).text
    await browser.submit(of_team, code="")
    rows = await api.rows.fetch(select(models.operation.c.parameters).order_by(models.operation.c.created_at))
    assert [orjson.loads(row["parameters"]) for row in rows] == [
        {"failed": True, "code": "processing-timeout"}, {"failed": True, "team_id": str(member.team_id)},
    ]  # fmt: skip
    members = await signed_in(api, member)
    assert (await members.get(form)).status_code == 403
    assert form not in (await members.get(OPERATIONS)).text
