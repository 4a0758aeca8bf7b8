"""Copying a bucket in."""

import asyncio
import itertools
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update

from image_api.imports import tasks as import_tasks
from image_api.imports.tasks import CopyBucket
from image_api.operations import tasks as operations
from image_core import errors, models, testing
from image_core.storage.connection import crc32c, crc32c_text

from ..operations.counting import Dies
from ..operations.killed_worker import KilledWorker
from ..pictures import picture
from .conftest import KINDS, Imports


async def test_every_object_has_its_line_in_the_report(imports: Imports, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of two copies at once either may be there first, and the other is the duplicate.
    monkeypatch.setattr(import_tasks, "_AT_ONCE", 1)
    objects = {
        "site/norway/fjord.png": picture(1),
        "site/norway/fjord_200x200.png": picture(2),
        "site/thumbs/fjord_200x200.png": picture(3),
        "site/poster_1920x1080.png": picture(4),
        "site/again.png": picture(1),
        "site/text.png": b"no picture at all",
        "site/empty.png": b"",
        "site/folder/": b"",
        "sitemap/other.png": picture(5),
    }
    for name, body in objects.items():
        await imports.source.put(name, body, "application/octet-stream")
    operation_id = await imports.begin(tags=["old"], tags_from_folders=True)
    await imports.run()
    # The copies in thumbs/ have no original beside or above them.
    assert await imports.report(operation_id) == {
        "site/again.png": ("done", None),
        "site/norway/fjord.png": ("done", "duplicate"),
        "site/poster_1920x1080.png": ("done", None),
        "site/thumbs/fjord_200x200.png": ("done", None),
        "site/text.png": ("failed", "not-an-image"),
        "site/empty.png": ("failed", "source-not-an-image"),
    }
    row = await imports.row(operation_id)
    assert (row["status"], row["total"], row["done"], row["failed"]) == ("succeeded", 6, 4, 2)
    images = {image["filename"]: image for image in await imports.images()}
    assert set(images) == {"again.png", "poster_1920x1080.png", "fjord_200x200.png"}
    assert images["fjord_200x200.png"]["tags"] == ["old", "thumbs"]
    assert images["again.png"]["crc32c"] == crc32c_text(crc32c(picture(1)))
    assert images["again.png"]["content_type"] == "image/png"


async def test_an_object_that_changes_while_it_is_copied_fails_alone(
    imports: Imports, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        await imports.source.put(f"site/{number}.png", picture(number), "image/png")
    operation_id = await imports.begin()
    really = CopyBucket.run_item

    async def run_item(self: Any, parts: Any, transaction: Any, operation: Any, item: Any) -> Any:
        outcome = await really(self, parts, transaction, operation, item)
        name = item.payload["name"]
        if not name.endswith("1.png"):
            await imports.source.delete(name)
        if name.endswith("2.png"):
            await imports.source.put(name, picture(9), "image/png")
        return outcome

    monkeypatch.setattr(CopyBucket, "run_item", run_item)
    await imports.run()
    changed = ("failed", "source-changed")
    assert await imports.report(operation_id) == {
        "site/1.png": ("done", None), "site/2.png": changed, "site/3.png": changed,
    }  # fmt: skip
    assert len(await imports.tasks.originals_of(imports.team_id)) == 1


async def test_what_dies_in_the_middle_goes_on_without_doubling_an_image(
    imports: Imports, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        body = b"broken" if number == 17 else picture(number)
        await imports.source.put(f"site/{number:02}.png", body, "image/png")
    operation_id = await imports.begin()
    really, calls = imports.tasks.parts.originals.copy_from, 0

    async def copy_from(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        number = calls
        stored = await really(*arguments)
        if number in (5, 23):
            # After the copy, before anything is noted of it.
            raise Dies
        return stored

    monkeypatch.setattr(imports.tasks.parts.originals, "copy_from", copy_from)
    for _ in range(2):
        with pytest.raises(Dies):
            await imports.run()
    await imports.run()
    row = await imports.row(operation_id)
    assert (row["status"], row["total"], row["done"], row["failed"]) == ("succeeded", 30, 29, 1)
    images = await imports.images()
    assert len(images) == len({image["sha256"] for image in images}) == 29
    assert sorted(await imports.tasks.originals_of(imports.team_id)) == sorted(row["object_name"] for row in images)


async def test_only_what_is_granted_now_is_copied(imports: Imports) -> None:
    await imports.source.put("site/1.png", picture(1), "image/png")
    stranger_id = await testing.add_team(imports.tasks.rows)
    await testing.add_import_source(imports.tasks.rows, stranger_id, name="theirs", bucket=imports.source.bucket)
    refused = []
    for name in ("theirs", "nowhere"):
        with pytest.raises(errors.SourceNotGranted) as caught:
            await imports.begin(source=name)
        refused.append((caught.value.detail, caught.value.extra))
    assert refused[0] == refused[1]
    # A source that an admin takes away after the import has begun is not read any more.
    operation_id = await imports.begin()
    await imports.tasks.rows.execute(
        delete(models.import_source).where(models.import_source.c.team_id == imports.team_id)
    )
    await imports.run()
    row = await imports.row(operation_id)
    assert (row["status"], row["failure_code"], row["total"]) == ("failed", "source-not-granted", 0)


@pytest.mark.parametrize("setting", ["image_upload_bucket_name", "image_derivatives_bucket_name"])
async def test_our_own_buckets_are_never_read_whatever_the_table_says(imports: Imports, setting: str) -> None:
    own = getattr(imports.tasks.parts.settings, setting)
    await imports.tasks.rows.execute(update(models.import_source).values(bucket=own, prefix=""))
    operation_id = await imports.begin()
    await imports.run()
    assert (await imports.row(operation_id))["failure_code"] == "source-not-granted"


async def test_a_bucket_that_is_not_there_ends_the_import(imports: Imports) -> None:
    await imports.tasks.rows.execute(update(models.import_source).values(bucket="nobody-has-this-bucket"))
    operation_id = await imports.begin()
    await imports.run(KINDS)
    assert (await imports.row(operation_id))["failure_code"] == "source-not-readable"


async def import_two_with_a_quota_of_one(imports: Imports) -> UUID:
    """Import `site/1.png` and `site/2.png` to the end, and return the operation's id."""
    for number in (1, 2):
        await imports.source.put(f"site/{number}.png", picture(number), "image/png")
    await imports.tasks.rows.execute(
        update(models.team).where(models.team.c.id == imports.team_id).values(quota_images=1)
    )
    operation_id = await imports.begin()
    await imports.run()
    return operation_id


async def test_a_full_quota_fails_what_has_no_room(imports: Imports) -> None:
    operation_id = await import_two_with_a_quota_of_one(imports)
    assert sorted(code or "" for _, code in (await imports.report(operation_id)).values()) == [
        "", "storage-quota-exceeded",
    ]  # fmt: skip
    rows = await imports.tasks.rows.fetch(select(models.upload_session))
    assert len(rows) == 1


async def test_a_full_quota_has_room_for_a_lost_original(imports: Imports) -> None:
    lost, stored = await imports.tasks.image(
        "failed", picture(1), imports.team_id, failure_code="original-missing", failure_message="It is gone."
    )
    await imports.tasks.parts.originals.delete(stored.name, stored.generation)
    operation_id = await import_two_with_a_quota_of_one(imports)
    assert await imports.report(operation_id) == {
        "site/1.png": ("done", "duplicate"), "site/2.png": ("failed", "storage-quota-exceeded"),
    }  # fmt: skip
    (ended,) = await imports.tasks.rows.fetch(select(models.image).where(models.image.c.status == "expired"))
    assert ended["duplicate_of"] == lost["id"]


@pytest.mark.faults
@pytest.mark.timeout(400)
async def test_the_worker_may_be_killed_between_any_two_statements(
    imports: Imports, killed_worker: KilledWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So also after a copy of which nothing is noted."""
    monkeypatch.setattr(operations, "_IDLE_SECONDS", 0.0)
    for number in itertools.count(1):
        for each in (1, 2):
            await imports.source.put(f"site/{number}/{each}.png", picture(2 * number + each), "image/png")
        operation_id = await imports.begin(prefix=f"{number}/")
        was_killed = await asyncio.to_thread(killed_worker.run, number)
        while (await imports.row(operation_id))["finished_at"] is None:
            await imports.run()
        done = ("done", None)
        assert await imports.report(operation_id) == {f"site/{number}/{each}.png": done for each in (1, 2)}, number
        images = await imports.images()
        assert len(images) == 2, number
        assert sorted(await imports.tasks.originals_of(imports.team_id)) == sorted(row["object_name"] for row in images)
        if not was_killed:
            break
        await imports.tasks.rows.execute(delete(models.image))
        for image in images:
            await imports.tasks.parts.originals.delete(image["object_name"])
    assert number > 30
