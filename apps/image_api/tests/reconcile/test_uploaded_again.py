"""A later upload of the same bytes, by whatever way, replaces an original that was lost or changed."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from image_api.tasks import runner
from image_api.tasks_app import STEPS
from image_core import models, testing
from image_core.db import Record
from image_core.images.removal.lost_originals import KEPT_FOR, STEP, keep_for_replacement
from image_core.testing import UserWithKey

from ..conftest import Api
from ..housekeeping import Tasks
from ..pictures import picture
from ..uploading import form, in_pieces, post

WAYS: list[Any] = ["body", "pieces", "form"]


async def lose(api: Api, tasks: Tasks, by: UserWithKey, code: str = "original-missing", **columns: Any) -> Record:
    """An image whose original was removed or overwritten, as reconciliation leaves it."""
    row = await api.row((await api.upload(by, picture()))["id"])
    originals = tasks.parts.originals
    await originals.delete(row["object_name"], row["generation"])
    if code == "original-changed":
        await originals.put(row["object_name"], b"something else", "image/png")
    lost = {"status": "failed", "failure_code": code, "failure_message": "It is gone.", **columns}
    await api.set_row(row["id"], **lost)
    return await api.row(row["id"])


async def send(api: Api, by: UserWithKey, way: str) -> dict[str, Any]:
    if way == "form":
        return await form(api, by, [("file", ("a.png", picture(), "image/png"))], 200)
    return await post(api, by, picture() if way == "body" else in_pieces(picture(), 100), 200)


async def run(tasks: Tasks) -> int:
    return await runner.run_step(tasks.parts, STEP, STEPS[STEP], 30)


async def content_of(tasks: Tasks, row: Record) -> bytes:
    return await tasks.parts.originals.read(row["object_name"], row["generation"], 0, row["size_bytes"] - 1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("code", ["original-missing", "original-changed"])
async def test_an_upload_of_the_same_bytes_replaces_it(
    api: Api, tasks: Tasks, member: UserWithKey, way: str, code: str
) -> None:
    lost = await lose(api, tasks, member, code, filename="first.png", revision=7)
    told = await send(api, member, way)
    assert (told["id"], told["duplicate"], told["filename"]) == (str(lost["id"]), True, "first.png")
    nudged = select(models.event.c.payload).where(models.event.c.type == "task.nudged")
    assert STEP in str(await api.rows.fetch_value(nudged))
    assert await run(tasks) == 1
    back = await api.row(lost["id"])
    assert (back["status"], back["failure_code"], back["object_name"]) == ("stored", None, lost["object_name"])
    assert back["revision"] > 7
    assert await content_of(tasks, back) == picture()
    assert ("image.process", True) in await tasks.events(back["id"])
    # Nothing is done twice, and what was uploaded goes.
    assert await run(tasks) == 0
    assert len(await api.rows.fetch(select(models.discarded_object.c.id))) == 1
    await tasks.sweep()
    assert await tasks.originals_of(back["team_id"]) == [back["object_name"]]


async def test_what_was_copied_before_a_crash_is_used(
    api: Api, tasks: Tasks, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = await lose(api, tasks, member)
    await send(api, member, "body")
    with monkeypatch.context() as patched:
        patched.setattr("image_api.reconcile.tasks._process_again", None)
        await run(tasks)
    copied = await tasks.parts.originals.stat(lost["object_name"])
    assert copied is not None
    assert await run(tasks) == 1
    assert (await api.row(lost["id"]))["generation"] == copied.generation


@pytest.mark.parametrize("known", [{"size_bytes": 1}, {"crc32c": "AAAAAA=="}])
async def test_an_object_of_other_bytes_replaces_nothing(
    api: Api, tasks: Tasks, member: UserWithKey, known: dict[str, Any]
) -> None:
    lost = await lose(api, tasks, member, "original-changed", **known)
    changed = await tasks.parts.originals.stat(lost["object_name"])
    await send(api, member, "body")
    await run(tasks)
    row = await api.row(lost["id"])
    assert (row["status"], row["failure_code"], row["generation"]) == ("failed", "original-changed", lost["generation"])
    assert await tasks.parts.originals.stat(lost["object_name"]) == changed
    assert await run(tasks) == 0


async def test_other_bytes_are_another_image(api: Api, tasks: Tasks, member: UserWithKey) -> None:
    lost = await lose(api, tasks, member)
    other = await post(api, member, picture(20))
    assert other["id"] != str(lost["id"])
    assert await run(tasks) == 0
    assert (await api.row(lost["id"]))["status"] == "failed"


async def test_another_team_replaces_nothing(
    api: Api, tasks: Tasks, member: UserWithKey, stranger: UserWithKey
) -> None:
    lost = await lose(api, tasks, member)
    theirs = await post(api, stranger, picture())
    # Not even if a row said that it is a duplicate of another team's.
    assert stranger.team_id is not None
    upload_id = await testing.add_image(api.rows, stranger.team_id, "expired", duplicate_of=lost["id"])
    upload = await api.row(upload_id)
    await tasks.parts.originals.put(upload["object_name"], picture(), "image/png")
    async with api.rows.transaction() as transaction:
        await keep_for_replacement(transaction, upload["object_name"])
    assert await run(tasks) == 0
    assert [(await api.row(each))["status"] for each in (lost["id"], theirs["id"])] == ["failed", "stored"]


async def test_only_what_is_lost_is_replaced(api: Api, tasks: Tasks, member: UserWithKey) -> None:
    lost = await lose(api, tasks, member)
    await send(api, member, "body")
    await api.set_row(lost["id"], failure_code="image-truncated")
    assert await run(tasks) == 0
    await api.set_row(lost["id"], failure_code="original-missing", purge_marked_at=func.now(), deleted_at=func.now())
    assert await run(tasks) == 0


async def test_a_duplicate_of_what_is_there_is_kept_no_longer_than_before(api: Api, member: UserWithKey) -> None:
    await api.upload(member, picture())
    await post(api, member, in_pieces(picture(), 100), 200)
    kept = select(models.discarded_object.c.id).where(
        models.discarded_object.c.remove_after > func.now() + KEPT_FOR / 2
    )
    assert await api.rows.fetch(kept) == []


async def test_one_in_the_trash_stays_there_and_the_upload_is_a_new_image(
    api: Api, tasks: Tasks, member: UserWithKey
) -> None:
    lost = await lose(api, tasks, member, deleted_at=func.now())
    told = await post(api, member, picture(), 201)
    assert told["id"] != str(lost["id"])
    assert await run(tasks) == 0


async def test_whoever_asks_first_is_told_to_send_the_bytes(api: Api, tasks: Tasks, member: UserWithKey) -> None:
    lost = await lose(api, tasks, member)
    sha256 = lost["sha256"].hex()
    checked = await api.client.post("/api/v1/images/check-hashes", headers=member.headers, json={"sha256": [sha256]})
    assert checked.json()["items"][0]["state"] == "absent"
    new = {"content_type": "image/png", "size_bytes": lost["size_bytes"], "sha256": sha256}
    opened = await api.client.post("/api/v1/uploads", headers=member.headers, json=new)
    assert opened.status_code == 201, opened.text
    # Its object arrives, and the processor expires its row as a duplicate.
    upload_id = UUID(opened.json()["upload_id"])
    upload = await api.row(upload_id)
    await tasks.parts.originals.put(upload["object_name"], picture(), "image/png")
    await api.set_row(upload_id, status="expired", failure_code="duplicate", duplicate_of=lost["id"])
    async with api.rows.transaction() as transaction:
        await keep_for_replacement(transaction, upload["object_name"])
    assert await run(tasks) == 1
    assert (await api.row(lost["id"]))["status"] == "stored"


async def test_waiting_goes_on_until_the_original_is_there(api: Api, tasks: Tasks, member: UserWithKey) -> None:
    await lose(api, tasks, member)
    told = await post(api, member, picture(), 200, params={"wait": 1})
    assert told["status"] == "failed"
