"""Rows and originals are compared, looked at twice, and repaired where that is asked for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import insert, select

from image_api.actor import Role
from image_api.operations import tasks as operations
from image_api.reconcile import tasks as reconcile
from image_api.reconcile.service import KIND
from image_api.tasks.runner import Budget
from image_core import models, testing
from image_core.db import Record, to_json
from image_core.ids import new_id
from image_core.storage.protocol import StoredObject

from ..housekeeping import Tasks

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Reconciling:
    tasks: Tasks
    user_id: UUID

    async def run(self, *, repair: bool = False, monkeypatch: Any = None) -> list[Record]:
        """Run one reconciliation; return its items, without those of other tests' objects."""
        operation_id = new_id()
        parameters = to_json({"min_age_hours": 1, "repair": repair})
        row = {"id": operation_id, "kind": KIND, "parameters": parameters, "user_id": self.user_id, "role": Role.ADMIN}
        await self.tasks.rows.execute(insert(models.operation).values(**row, scopes=["admin"]))
        step = operations.step({KIND: reconcile.Reconcile()})
        while await step(self.tasks.parts, Budget("operations", 1)):
            pass
        items = models.operation_item
        return await self.tasks.rows.fetch(
            select(items).where(items.c.operation_id == operation_id).order_by(items.c.position)
        )


@pytest.fixture
async def reconciling(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> Reconciling:
    monkeypatch.setattr(reconcile, "_min_age", lambda _operation: timedelta(0))
    monkeypatch.setattr(reconcile, "_CHUNK", 3)
    for found in await tasks.parts.originals.list(""):
        await tasks.parts.originals.delete(found.name, found.generation)
    user = await testing.add_user(tasks.rows, None, Role.ADMIN)
    return Reconciling(tasks, user.user_id)


def codes(items: list[Record]) -> list[tuple[str, str | None]]:
    return sorted((item["state"], item["code"]) for item in items)


async def ready(tasks: Tasks, **columns: Any) -> Any:
    return await tasks.image("ready", stored_at=LONG_AGO, **columns)


@asynccontextmanager
async def bucket_of(tasks: Tasks) -> AsyncIterator[httpx2.AsyncClient]:
    """What an operator has of the bucket for originals."""
    url = f"{tasks.parts.settings.storage_emulator_host}/storage/v1/b/{tasks.parts.originals.bucket}"
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        yield client


async def make_noncurrent(tasks: Tasks, name: str) -> None:
    """Remove an object as whoever has rights on the bucket does, which keeps its generation."""
    async with bucket_of(tasks) as client:
        assert (await client.delete(f"/o/{name.replace('/', '%2F')}")).status_code == 204


async def remove_for_good(tasks: Tasks, stored: StoredObject) -> None:
    async with bucket_of(tasks) as client:
        before = (await client.get("")).json()["softDeletePolicy"]
        await client.patch("", json={"softDeletePolicy": {"retentionDurationSeconds": 0}})
        await tasks.parts.originals.delete(stored.name, stored.generation)
        await client.patch("", json={"softDeletePolicy": before})
    assert await tasks.parts.originals.soft_deleted(stored.name) == []


async def test_what_agrees_is_no_finding_in_any_number_of_chunks(reconciling: Reconciling) -> None:
    for _ in range(8):
        await ready(reconciling.tasks)
    assert await reconciling.run() == []


async def test_findings_are_reported_and_change_nothing(reconciling: Reconciling) -> None:
    tasks = reconciling.tasks
    await ready(tasks)
    gone, stored = await ready(tasks)
    await tasks.parts.originals.delete(gone["object_name"], stored.generation)
    other, _ = await ready(tasks, crc32c="AAAAAA==")
    orphan = f"originals/{new_id()}/{new_id()}"
    await tasks.parts.originals.put(orphan, b"x", "image/png")
    await tasks.parts.originals.put("originals/readme.txt", b"x", "text/plain")
    pending, _ = await tasks.image("pending")
    found = await reconciling.run()
    assert codes(found) == [
        ("done", "foreign"), ("failed", "object-without-image"), ("failed", "original-changed"),
        ("failed", "original-missing"),
    ]  # fmt: skip
    assert {item["image_id"] for item in found if item["image_id"]} == {gone["id"], other["id"]}
    assert [(await tasks.row(each["id"]))["status"] for each in (gone, other, pending)] == ["ready", "ready", "pending"]
    assert await tasks.discarded() == []


async def test_what_can_be_repaired_is(reconciling: Reconciling) -> None:
    tasks = reconciling.tasks
    lost, stored = await ready(tasks)
    await remove_for_good(tasks, stored)
    other, _ = await ready(tasks, crc32c="AAAAAA==")
    orphan = await tasks.parts.originals.put(f"originals/{new_id()}/{new_id()}", b"x", "image/png")
    await tasks.parts.originals.put("originals/readme.txt", b"x", "text/plain")
    assert codes(await reconciling.run(repair=True)) == [
        ("done", "foreign"), ("done", "object-removed"), ("failed", "original-changed"), ("failed", "original-missing"),
    ]  # fmt: skip
    rows = [await tasks.row(each["id"]) for each in (lost, other)]
    assert [(row["status"], row["failure_code"]) for row in rows] == [
        ("failed", "original-missing"), ("failed", "original-changed"),
    ]  # fmt: skip
    assert await tasks.discarded() == [(orphan.name, orphan.generation)]


async def test_an_older_generation_is_brought_back_and_processed(reconciling: Reconciling) -> None:
    tasks = reconciling.tasks
    row, stored = await ready(tasks)
    name = row["object_name"]
    await make_noncurrent(tasks, name)
    assert await tasks.parts.originals.stat(name) is None
    assert codes(await reconciling.run(repair=True)) == [("done", "original-restored")]
    back = await tasks.row(row["id"])
    live = await tasks.parts.originals.stat(name)
    assert live is not None
    assert (back["status"], back["generation"]) == ("stored", live.generation)
    assert live.generation != stored.generation
    assert live.crc32c == stored.crc32c


@pytest.mark.parametrize(
    "known", [{"status": "ready"}, {"crc32c": None}, {"status": "failed", "failure_code": "original-missing"}]
)
async def test_a_soft_deleted_original_is_restored_and_processed(
    reconciling: Reconciling, known: dict[str, Any]
) -> None:
    tasks, originals = reconciling.tasks, reconciling.tasks.parts.originals
    row, stored = await ready(tasks)
    await tasks.set_row(row["id"], **known)
    await originals.delete(stored.name, stored.generation)
    assert codes(await reconciling.run()) == [("failed", "original-missing")]
    assert await originals.stat(stored.name) is None
    assert codes(await reconciling.run(repair=True)) == [("done", "original-restored")]
    back, live = await tasks.row(row["id"]), await originals.stat(stored.name)
    assert live is not None
    assert (back["status"], back["failure_code"], back["generation"]) == ("stored", None, live.generation)
    assert (live.size_bytes, live.crc32c) == (stored.size_bytes, stored.crc32c)
    assert ("image.process", True) in await tasks.events(row["id"])
    assert await reconciling.run() == []


@pytest.mark.parametrize(
    ("body", "known"), [(b"else", {}), (b"longer", {}), (b"same", {"crc32c": None})], ids=["else", "longer", "unknown"]
)
async def test_soft_deleted_bytes_that_may_be_others_stay_deleted(
    reconciling: Reconciling, body: bytes, known: dict[str, Any]
) -> None:
    tasks = reconciling.tasks
    row, stored = await ready(tasks, body=b"same", **known)
    await remove_for_good(tasks, stored)
    other = await tasks.parts.originals.put(stored.name, body, "image/png")
    await tasks.parts.originals.delete(stored.name, other.generation)
    assert codes(await reconciling.run(repair=True)) == [("failed", "original-missing")]
    assert (await tasks.row(row["id"]))["failure_code"] == "original-missing"
    assert await tasks.parts.originals.stat(stored.name) is None


async def test_the_generation_of_the_image_is_preferred_and_noncurrent_ones_to_soft_deleted_ones(
    reconciling: Reconciling,
) -> None:
    tasks, originals = reconciling.tasks, reconciling.tasks.parts.originals
    exact, stored = await ready(tasks, body=b"same")
    await originals.delete(stored.name, stored.generation)
    later = await originals.put(stored.name, b"same", "image/later")
    await originals.delete(stored.name, later.generation)
    older, kept = await ready(tasks, body=b"same")
    await make_noncurrent(tasks, kept.name)
    later = await originals.put(kept.name, b"same", "image/later")
    await originals.delete(kept.name, later.generation)
    await tasks.set_row(older["id"], generation=later.generation)
    assert codes(await reconciling.run(repair=True)) == [("done", "original-restored")] * 2
    for row in (exact, older):
        live = await originals.stat(row["object_name"])
        assert live is not None
        assert live.content_type == "image/png"


@pytest.mark.parametrize("state", [{"status": "expired"}, {"deleted_at": LONG_AGO, "purge_marked_at": LONG_AGO}])
async def test_an_image_that_has_given_up_its_object_does_not_get_it_back(
    reconciling: Reconciling, state: dict[str, Any]
) -> None:
    tasks = reconciling.tasks
    row, stored = await ready(tasks)
    await tasks.parts.originals.delete(stored.name, stored.generation)
    await tasks.set_row(row["id"], **state)
    assert await reconciling.run(repair=True) == []
    assert await tasks.parts.originals.list(stored.name) == []
    assert await tasks.parts.originals.soft_deleted(stored.name) == [stored]


async def purge(tasks: Tasks, row: Record) -> None:
    await tasks.set_row(row["id"], deleted_at=LONG_AGO)
    await tasks.sweep()
    assert await tasks.count(models.image, models.image.c.id == row["id"]) == 0


async def test_the_bytes_of_a_purged_image_do_not_come_back(reconciling: Reconciling) -> None:
    tasks = reconciling.tasks
    row, stored = await ready(tasks)
    await purge(tasks, row)
    assert await tasks.parts.originals.soft_deleted(stored.name) == [stored]
    assert await reconciling.run(repair=True) == []
    assert await tasks.parts.originals.list(stored.name) == []


@pytest.mark.parametrize("is_purged", [True, False], ids=["purged", "marked"])
async def test_what_was_purged_just_before_it_was_restored_is_removed_again(
    reconciling: Reconciling, monkeypatch: pytest.MonkeyPatch, is_purged: bool
) -> None:
    tasks = reconciling.tasks
    row, stored = await ready(tasks)
    await tasks.parts.originals.delete(stored.name, stored.generation)
    really = reconcile._bring_back_kept

    async def too_late(parts: Any, found: Record) -> Any:
        if is_purged:
            await purge(tasks, row)
        else:
            await tasks.set_row(row["id"], deleted_at=LONG_AGO, purge_marked_at=LONG_AGO)
        return await really(parts, found)

    monkeypatch.setattr(reconcile, "_bring_back_kept", too_late)
    assert codes(await reconciling.run(repair=True)) == [("done", None)]
    live = await tasks.parts.originals.stat(stored.name)
    assert live is not None
    assert await tasks.discarded() == [(live.name, live.generation)]
    assert ("image.process", True) not in await tasks.events(row["id"])


async def test_what_has_changed_at_the_second_look_is_no_finding(
    reconciling: Reconciling, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = reconciling.tasks
    orphan = f"originals/{new_id()}/{new_id()}"
    stored = await tasks.parts.originals.put(orphan, b"x", "image/png")
    really = reconcile.Reconcile.fill

    async def fill(self: Any, parts: Any, operation: Any) -> Any:
        filled = await really(self, parts, operation)
        await tasks.discard("originals", orphan, stored.generation)
        return filled

    monkeypatch.setattr(reconcile.Reconcile, "fill", fill)
    assert codes(await reconciling.run(repair=True)) == [("done", None)]
    assert len(await tasks.discarded()) == 1


async def stored_again(tasks: Tasks, row: Record, body: bytes) -> int:
    """Replace an object by a new generation, as an operator who restores a deleted one does."""
    await tasks.parts.originals.delete(row["object_name"], row["generation"])
    return (await tasks.parts.originals.put(row["object_name"], body, "image/png")).generation


@pytest.mark.parametrize("lost", [{"status": "ready"}, {"status": "failed", "failure_code": "original-missing"}])
async def test_the_same_bytes_as_another_generation_are_the_original(
    reconciling: Reconciling, lost: dict[str, Any]
) -> None:
    tasks = reconciling.tasks
    row, _ = await ready(tasks, body=b"same")
    await tasks.set_row(row["id"], **lost)
    generation = await stored_again(tasks, row, b"same")
    assert codes(await reconciling.run()) == [("failed", "original-moved")]
    assert (await tasks.row(row["id"]))["generation"] == row["generation"]
    assert codes(await reconciling.run(repair=True)) == [("done", "original-restored")]
    back = await tasks.row(row["id"])
    assert (back["status"], back["failure_code"], back["generation"]) == ("stored", None, generation)


@pytest.mark.parametrize(("body", "known"), [(b"else", {}), (b"longer", {}), (b"same", {"crc32c": None})])
async def test_what_may_have_other_bytes_is_not_the_original(
    reconciling: Reconciling, body: bytes, known: dict[str, Any]
) -> None:
    tasks = reconciling.tasks
    row, _ = await ready(tasks, body=b"same", **known)
    await stored_again(tasks, row, body)
    assert codes(await reconciling.run(repair=True)) == [("failed", "original-changed")]
    assert (await tasks.row(row["id"]))["failure_code"] == "original-changed"


@pytest.mark.parametrize("known", [{}, {"crc32c": None}])
async def test_an_object_that_appeared_meanwhile_is_compared_before_it_is_taken(
    reconciling: Reconciling, known: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = reconciling.tasks
    row, stored = await ready(tasks, body=b"same", **known)
    await tasks.parts.originals.delete(row["object_name"], stored.generation)
    really = reconcile.Reconcile.settle

    async def settle(self: Any, parts: Any, operation: Any, items: Any) -> Any:
        await tasks.parts.originals.put(row["object_name"], b"else", "image/png")
        return await really(self, parts, operation, items)

    monkeypatch.setattr(reconcile.Reconcile, "settle", settle)
    assert codes(await reconciling.run(repair=True)) == [("failed", "original-changed")]
    assert (await tasks.row(row["id"]))["failure_code"] == "original-changed"


async def test_checksums_of_an_earlier_release_are_filled_in_by_a_repair(reconciling: Reconciling) -> None:
    tasks = reconciling.tasks
    old = [await ready(tasks, crc32c=None) for _ in range(2)]
    await ready(tasks)
    other, _ = await ready(tasks, crc32c=None, size_bytes=1)
    assert codes(await reconciling.run()) == [("failed", "original-changed")]
    assert (await tasks.row(old[0][0]["id"]))["crc32c"] is None
    found = await reconciling.run(repair=True)
    assert {("done", "checksum-filled"), ("failed", "original-changed")} == set(codes(found))
    for row, stored in old:
        filled = await tasks.row(row["id"])
        assert (filled["crc32c"], filled["revision"]) == (stored.crc32c, row["revision"])
    assert (await tasks.row(other["id"]))["crc32c"] is None
    assert "checksum-filled" not in {code for _, code in codes(await reconciling.run(repair=True))}
