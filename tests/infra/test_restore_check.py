"""A database restored to an earlier state, beside buckets that moved on: what the check finds and what it mends."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
from scripts.infra import restore_check
from sqlalchemy import delete, insert, select, update

from image_core.db import Database, DatabaseConfig
from image_core.ids import new_id
from image_core.models import derivative, discarded_object, image, rendition
from image_core.states import ImageStatus
from image_core.storage.gcs import GcsClient, GcsStorage
from image_core.testing import GENERATION, a_sha256, add_derivative, add_image, add_team


@dataclass
class World:
    """The database in service, the one restored from it, and the buckets that both speak of."""

    database: Database
    url: str
    restored_url: str
    originals: GcsStorage
    derivatives: GcsStorage
    storage_host: str
    team_id: UUID

    async def image(self, status: ImageStatus = ImageStatus.READY, **columns: Any) -> UUID:
        image_id = new_id()
        name = f"originals/{self.team_id}/{image_id}"
        stored = await self.originals.put(name, image_id.bytes * 4, "image/png")
        if status is not ImageStatus.PENDING:
            columns |= {"generation": stored.generation, "size_bytes": stored.size_bytes}
        await add_image(self.database, self.team_id, status, image_id=image_id, object_name=name, **columns)
        return image_id

    def derivative_name(self, image_id: UUID, version: str = "first") -> str:
        return f"derivatives/{self.team_id}/{image_id}/{version}/thumb.webp"

    async def add_derivative(self, image_id: UUID, version: str = "first") -> None:
        name = self.derivative_name(image_id, version)
        await self.derivatives.put(name, name.encode(), "image/webp")
        await add_derivative(self.database, image_id, name)

    async def add_rendition(self, image_id: UUID, format_: str) -> str:
        name = f"derivatives/{self.team_id}/{image_id}/made/card.{format_}"
        stored = await self.derivatives.put(name, name.encode(), f"image/{format_}")
        row = {
            "id": new_id(), "team_id": self.team_id, "image_id": image_id, "generation": GENERATION, "preset": "card",
            "format": format_, "spec_hash": bytes(16), "object_name": name, "width": 40, "height": 30, "frames": 1,
            "size_bytes": stored.size_bytes, "sha256": a_sha256(name), "eager": False,
        }  # fmt: skip
        await self.database.execute(insert(rendition).values(row))
        return name

    async def purge(self, image_id: UUID) -> None:
        await self.originals.delete(f"originals/{self.team_id}/{image_id}")
        await self.derivatives.delete(self.derivative_name(image_id))
        await self.database.execute(delete(image).where(image.c.id == image_id))

    async def process_again(self, image_id: UUID) -> None:
        await self.derivatives.delete(self.derivative_name(image_id))
        await self.database.execute(delete(derivative).where(derivative.c.image_id == image_id))
        await self.add_derivative(image_id, "second")

    async def promise(self, bucket: str, name: str, generation: int | None) -> None:
        row = {"id": new_id(), "bucket": bucket, "object_name": name, "generation": generation}
        await self.database.execute(insert(discarded_object).values(remove_after=datetime.now(UTC), **row))

    async def objects(self) -> list[Any]:
        return [*await self.originals.list(""), *await self.derivatives.list("")]


async def copy_database(superuser_url: str, source: str, name: str) -> None:
    connection = await asyncpg.connect(superuser_url)
    await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{source}"')
    await connection.close()


@pytest.fixture
async def world(
    clone_template: Callable[[str], Any], template_urls: Any, emulators: Any, worker_name: str
) -> AsyncIterator[World]:
    name = f"before_restore_{worker_name}"
    urls = await asyncio.to_thread(clone_template, name)
    client = GcsClient(emulators.storage_host, None)
    buckets = [f"{kind}-{uuid4()}" for kind in ("originals", "derivatives")]
    for bucket in buckets:
        httpx2.post(f"{emulators.storage_host}/storage/v1/b", json={"name": bucket}, trust_env=False).raise_for_status()
    database = Database(DatabaseConfig(url=urls.superuser))
    await database.open()
    restored_url = urls.of(f"restored_{worker_name}").superuser
    originals, derivatives = (client.bucket(bucket) for bucket in buckets)
    team_id = await add_team(database)
    yield World(database, urls.superuser, restored_url, originals, derivatives, emulators.storage_host, team_id)
    await client.close()
    await database.close()


async def restore(world: World, template_urls: Any) -> None:
    """Keeps the state of now as the restored database."""
    await world.database.close()
    names = [url.rpartition("/")[2].partition("?")[0] for url in (world.url, world.restored_url)]
    await copy_database(template_urls.superuser, *names)
    await world.database.open()


@dataclass
class Images:
    """What happened to each after the chosen time."""

    kept: UUID
    purged: UUID
    processed_again: UUID
    uploaded: UUID


@pytest.fixture
async def images(world: World, template_urls: Any) -> Images:
    before = [await world.image() for _ in range(3)]
    for image_id in before:
        await world.add_derivative(image_id)
    await world.image(ImageStatus.PENDING)
    left = await world.originals.put("left", b"left", "image/png")
    await world.promise("originals", "left", left.generation)
    await world.derivatives.put("derivatives/a/b/c/thumb.webp", b"left", "image/webp")
    await world.promise("derivatives", "derivatives/a/b/c/", None)

    await restore(world, template_urls)

    kept, purged, processed_again = before
    await world.purge(purged)
    await world.process_again(processed_again)
    uploaded = await world.image()
    await world.add_derivative(uploaded)
    return Images(kept, purged, processed_again, uploaded)


@pytest.fixture
def run(world: World, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    async def run(url: str, *more: str) -> tuple[int, dict[str, Any]]:
        buckets = [f"--originals={world.originals.bucket}", f"--derivatives={world.derivatives.bucket}"]
        arguments = [f"--database-url={url}", *buckets, f"--storage-emulator-host={world.storage_host}", *more]
        code = await asyncio.to_thread(restore_check.main, arguments)
        return code, json.loads(capsys.readouterr().out)

    return run


async def image_rows(database: Database) -> dict[UUID, dict[str, Any]]:
    found = await database.fetch(select(image))
    return {row["id"]: {column.name: row[column.name] for column in image.columns} for row in found}


def names(report: dict[str, Any], kind: str) -> list[str]:
    assert report[kind]["count"] == len(report[kind]["examples"])
    return sorted(each["object_name"] for each in report[kind]["examples"])


async def test_the_database_in_service_agrees(world: World, images: Images, run: Any) -> None:
    code, report = await run(world.url)
    assert (code, report["agrees"]) == (0, True)
    assert [report[kind]["count"] for kind in ("missing_originals", "missing_derivatives", "orphans")] == [0, 0, 0]
    assert report["compared"] == {
        "images": 3, "derivatives": 3, "renditions": 0, "objects_in_originals": 5, "objects_in_derivatives": 4,
    }  # fmt: skip


async def test_the_restored_one_differs_by_what_happened_since(world: World, images: Images, run: Any) -> None:
    code, report = await run(world.restored_url)
    assert (code, report["agrees"]) == (1, False)
    assert "repaired" not in report
    assert names(report, "missing_originals") == [f"originals/{world.team_id}/{images.purged}"]
    assert report["missing_originals"]["examples"][0]["found_size_bytes"] is None
    assert names(report, "missing_derivatives") == sorted(
        [world.derivative_name(images.purged), world.derivative_name(images.processed_again)]
    )
    assert {each["image_id"]: each["original_is_there"] for each in report["missing_derivatives"]["examples"]} == {
        str(images.purged): False, str(images.processed_again): True,
    }  # fmt: skip
    assert names(report, "orphans") == sorted(
        [
            f"originals/{world.team_id}/{images.uploaded}",
            world.derivative_name(images.uploaded),
            world.derivative_name(images.processed_again, "second"),
        ]
    )


async def test_repair_promises_and_asks_again_and_deletes_nothing(world: World, images: Images, run: Any) -> None:
    objects = await world.objects()
    restored = Database(DatabaseConfig(url=world.restored_url))
    await restored.open()
    await restored.execute(
        update(image)
        .where(image.c.id == images.processed_again)
        .values(status="processing", claim_token=new_id(), lease_expires_at=datetime.now(UTC), attempts=3)
    )
    rows_before = await image_rows(restored)

    code, report = await run(world.restored_url, "--repair")
    assert code == 1
    assert report["repaired"]["orphans_promised"]["count"] == 3
    assert report["repaired"]["images_sent_back"] == {"count": 1, "examples": [str(images.processed_again)]}

    rows_after = await image_rows(restored)
    changed = rows_after.pop(images.processed_again)
    old = rows_before.pop(images.processed_again)
    assert rows_after == rows_before
    assert (changed["status"], changed["attempts"], changed["revision"]) == ("stored", 0, old["revision"] + 1)
    assert (changed["claim_token"], changed["lease_expires_at"]) == (None, None)
    assert changed["queued_at"] > old["queued_at"]
    due = datetime.fromisoformat(report["repaired"]["orphans_promised"]["remove_after"])
    promised = await restored.fetch(select(discarded_object).where(discarded_object.c.remove_after == due))
    assert sorted(row["object_name"] for row in promised) == names(report, "orphans")
    assert timedelta(days=6, hours=23) < due - datetime.now(UTC) < timedelta(days=7)
    assert await world.objects() == objects

    code, report = await run(world.restored_url, "--repair")
    assert (code, report["orphans"]["count"], report["missing_originals"]["count"]) == (1, 0, 1)
    assert report["missing_derivatives"]["count"] == 2
    assert report["repaired"]["orphans_promised"]["count"] == report["repaired"]["images_sent_back"]["count"] == 0
    await restored.close()


async def test_a_rendition_is_no_orphan_and_is_forgotten_without_its_object(world: World, run: Any) -> None:
    image_id = await world.image()
    await world.add_derivative(image_id)
    kept, lost = [await world.add_rendition(image_id, each) for each in ("avif", "jpeg")]
    assert (await run(world.url))[0] == 0
    await world.derivatives.delete(lost)
    code, report = await run(world.url, "--repair")
    assert (code, names(report, "missing_renditions"), report["orphans"]["count"]) == (1, [lost], 0)
    assert report["repaired"]["renditions_forgotten"] == {"count": 1}
    assert [row["object_name"] for row in await world.database.fetch(select(rendition))] == [kept]
    assert (await run(world.url))[0] == 0


async def test_an_original_of_another_size_is_not_the_one(world: World, run: Any) -> None:
    image_id = await world.image(ImageStatus.FAILED)
    await world.database.execute(update(image).where(image.c.id == image_id).values(size_bytes=65))
    code, report = await run(world.url, "--repair")
    assert (code, report["missing_originals"]["count"], report["orphans"]["count"]) == (1, 1, 0)
    example = report["missing_originals"]["examples"][0]
    assert (example["size_bytes"], example["found_size_bytes"], example["status"]) == (65, 64, "failed")
    assert report["repaired"]["images_sent_back"]["count"] == 0


async def test_a_bucket_that_is_not_there_is_no_difference(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [f"--database-url={world.url}", "--originals=nowhere", "--derivatives=nowhere-else"]
    with pytest.raises(SystemExit) as ended:
        await asyncio.to_thread(restore_check.main, [*arguments, f"--storage-emulator-host={world.storage_host}"])
    assert ended.value.code == 2
    assert "Nothing was compared" in capsys.readouterr().err
