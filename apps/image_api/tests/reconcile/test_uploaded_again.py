"""A later upload of the same bytes, by whatever way, replaces an original that was lost or changed."""

import asyncio
import hashlib
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update

from image_api.tasks import runner
from image_api.tasks_app import STEPS
from image_api.uploads import queries as upload_queries
from image_core import models, testing
from image_core.db import Record
from image_core.ids import new_id
from image_core.images.removal.lost_originals import KEPT_FOR, STEP, keep_for_replacement
from image_core.testing import UserWithKey

from ..conftest import Api
from ..housekeeping import Tasks
from ..pictures import large_picture, picture
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


# --- With a full quota --------------------------------------------------------------------------------------------

LONG = 8 * 1024 * 1024 + 70_000
QUOTAS: list[Any] = ["quota_bytes", "quota_images"]


async def usage(api: Api, team_id: UUID | None) -> tuple[int, int]:
    found = await api.rows.fetch_one(select(models.storage_usage).where(models.storage_usage.c.team_id == team_id))
    assert found is not None
    return found["bytes"], found["images"]


async def fill_quota(api: Api, team_id: UUID | None, *quotas: str) -> tuple[int, int]:
    """Leave no room beside what a team has, in one of its quotas or in both; return what it has."""
    used = await usage(api, team_id)
    full = {name: number for name, number in zip(QUOTAS, used, strict=True) if name in (quotas or QUOTAS)}
    await api.rows.execute(update(models.team).where(models.team.c.id == team_id).values(full))
    return used


def other_than(body: bytes) -> bytes:
    return body[:-1] + bytes([body[-1] ^ 1])


@pytest.mark.parametrize("quota", QUOTAS)
@pytest.mark.parametrize("way", WAYS)
async def test_a_full_quota_has_room_for_a_lost_original(
    api: Api, tasks: Tasks, member: UserWithKey, way: str, quota: str
) -> None:
    lost = await lose(api, tasks, member)
    used = await fill_quota(api, member.team_id, quota)
    assert (await send(api, member, way))["id"] == str(lost["id"])
    assert await run(tasks) == 1
    assert (await api.row(lost["id"]))["status"] == "stored"
    assert await usage(api, member.team_id) == used
    # It is lost no more, and nothing else has room.
    assert (await post(api, member, picture(20), 429))["code"] == "storage-quota-exceeded"


async def test_a_full_quota_has_no_room_for_anything_else(
    api: Api, tasks: Tasks, member: UserWithKey, stranger: UserWithKey
) -> None:
    lost = await lose(api, tasks, member)
    await api.upload(stranger, picture(20))
    for each in (member, stranger):
        await fill_quota(api, each.team_id)
    # Other bytes of its size; its bytes in another team, which holds no image of them; an original that is not lost.
    await post(api, member, other_than(picture()), 429)
    await post(api, stranger, picture(), 429)
    await api.set_row(lost["id"], failure_code="image-truncated")
    await post(api, member, other_than(picture()), 429)
    # Neither does one in the trash count, whose bytes would become a new image.
    await api.set_row(lost["id"], failure_code="original-missing", deleted_at=func.now())
    await post(api, member, picture(), 429)
    assert await api.rows.fetch(select(models.image.c.id).where(models.image.c.status == "pending")) == []


@pytest.mark.parametrize("is_same", [True, False], ids=["same", "other"])
async def test_bytes_that_are_known_only_at_their_end_are_compared_there(
    api: Api, tasks: Tasks, member: UserWithKey, is_same: bool
) -> None:
    body = large_picture(LONG)
    lost = await api.row((await api.upload(member, body))["id"])
    await tasks.parts.originals.delete(lost["object_name"], lost["generation"])
    await api.set_row(lost["id"], status="failed", failure_code="original-missing", failure_message="It is gone.")
    used = await fill_quota(api, member.team_id)
    # Without a length, nobody knows beforehand that it may be this one.
    assert (await post(api, member, in_pieces(body), 429))["code"] == "storage-quota-exceeded"
    told = await post(api, member, body if is_same else other_than(body), 200 if is_same else 429)
    assert await usage(api, member.team_id) == used
    assert await run(tasks) == int(is_same)
    if is_same:
        assert (told["id"], (await api.row(lost["id"]))["status"]) == (str(lost["id"]), "stored")
    else:
        refused = models.image.c.failure_code == "storage-quota-exceeded"
        assert await api.rows.fetch_value(select(models.image.c.status).where(refused)) == "expired"
        assert len(await tasks.discarded()) == 1


async def open_direct(api: Api, by: UserWithKey, body: bytes, expected: int = 201, **claimed: Any) -> dict[str, Any]:
    new = {"content_type": "image/png", "size_bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(), **claimed}
    answer = await api.client.post("/api/v1/uploads", headers=by.headers, json=new)
    assert answer.status_code == expected, answer.text
    opened: dict[str, Any] = answer.json()
    return opened


async def test_a_direct_upload_of_a_lost_original_is_opened_once_at_a_time(
    api: Api, tasks: Tasks, member: UserWithKey
) -> None:
    lost = await lose(api, tasks, member)
    there = await api.upload(member, large_picture(1000))
    await fill_quota(api, member.team_id)
    # Another hash, another size, and the size of an original that is there.
    await open_direct(api, member, other_than(picture()), 429)
    await open_direct(api, member, picture(), 429, size_bytes=len(picture()) + 1)
    await open_direct(api, member, bytes(there["size_bytes"]), 429, sha256=None)
    opened = await open_direct(api, member, picture())
    assert (await api.row(UUID(opened["upload_id"])))["duplicate_of"] == lost["id"]
    await open_direct(api, member, picture(), 429)
    await api.client.delete(f"/api/v1/uploads/{opened['upload_id']}", headers=member.headers)
    both = await asyncio.gather(*(open_at_all(api, member) for _ in range(4)))
    assert sorted(both) == [201, 429, 429, 429]


async def test_each_of_several_lost_originals_of_one_size_is_replaced(
    api: Api, tasks: Tasks, member: UserWithKey
) -> None:
    for seed in (1, 2):
        row = await api.row((await api.upload(member, large_picture(1000, seed)))["id"])
        await api.set_row(row["id"], status="failed", failure_code="original-missing", failure_message="It is gone.")
    await fill_quota(api, member.team_id)
    for expected in (201, 201, 429):
        await open_direct(api, member, bytes(1000), expected, sha256=None)


async def test_two_at_once_do_not_replace_the_same_original(api: Api, tasks: Tasks, member: UserWithKey) -> None:
    lost = await lose(api, tasks, member)

    async def add() -> bool:
        image_id = new_id()
        row = upload_queries.NewRow(
            image_id, lost["team_id"], member.user_id, f"originals/{lost['team_id']}/{image_id}", "image/png", "png",
            None, timedelta(hours=1), lost["size_bytes"],
        )  # fmt: skip
        async with api.services.database.transaction() as transaction:
            added = await upload_queries.add_replacement(transaction, row, lost["sha256"])
            if not first_has_added.is_set():
                first_has_added.set()
                while not await api.rows.fetch_value(waiting):
                    await asyncio.sleep(0.01)
        return added

    first_has_added = asyncio.Event()
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    first = asyncio.create_task(add())
    await first_has_added.wait()
    assert (await add(), await first) == (False, True)


async def open_at_all(api: Api, by: UserWithKey) -> int:
    # Without a hash, it is compared once the bytes are there.
    new = {"content_type": "image/png", "size_bytes": len(picture())}
    return (await api.client.post("/api/v1/uploads", headers=by.headers, json=new)).status_code


async def test_the_holder_of_an_upload_token_does_not_learn_what_is_lost(
    api: Api, tasks: Tasks, member: UserWithKey
) -> None:
    await lose(api, tasks, member)
    await fill_quota(api, member.team_id)
    made = await api.client.post("/api/v1/upload-tokens", headers=member.headers, json={"max_uploads": 9})
    new = {"content_type": "image/png", "size_bytes": len(picture())}
    headers = {"X-Upload-Token": made.json()["token"]}
    answer = await api.client.post("/api/v1/uploads", headers=headers, json=new)
    assert (answer.status_code, answer.json()["code"]) == (429, "upload-quota-full")
