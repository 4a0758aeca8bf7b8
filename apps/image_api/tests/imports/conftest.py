"""Imports with the real `image-tasks`, storage and database, and something that does the processor's part."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
import orjson
import pytest
from sqlalchemy import func, select

from image_api.imports import service
from image_api.imports.schemas import NewImport
from image_api.imports.tasks import CopyBucket, FetchUrls
from image_api.operations import tasks as operations
from image_api.operations.kinds import Kind
from image_api.tasks.runner import Budget
from image_core import models, testing
from image_core.db import Record, UniqueViolation
from image_core.ids import new_id
from image_core.storage.protocol import ObjectStorage

from ..housekeeping import Tasks
from ..operations.counting import actor_of
from ..operations.killed_worker import KilledWorker

KINDS: dict[str, Kind] = {service.FROM_BUCKET: CopyBucket(), service.FROM_URLS: FetchUrls()}


@dataclass
class Imports:
    """Imports of one team from one bucket."""

    tasks: Tasks
    team_id: UUID
    user_id: UUID
    source: ObjectStorage

    async def begin(self, **asked: Any) -> UUID:
        new = NewImport.model_validate({"source": "old-site", **asked})
        async with self.tasks.rows.transaction() as transaction:
            return await service.import_bucket(transaction, actor_of(self.user_id, self.team_id), None, new)

    async def run(self, kinds: dict[str, Kind] = KINDS) -> None:
        """Run what there is as ticks do, with the processor between them."""
        step = operations.step(kinds)
        while await step(self.tasks.parts, Budget("operations", 1)) or await self.process():
            pass

    async def process(self) -> int:
        """Do what the processor does with objects whose rows are pending."""
        waiting = models.image.c.status == "pending", models.image.c.generation.is_not(None)
        # The first of two with the same bytes is the image, and the other its duplicate.
        rows = await self.tasks.rows.fetch(select(models.image).where(*waiting).order_by(models.image.c.id))
        for row in rows:
            stored = await self.tasks.parts.originals.stat(row["object_name"])
            assert stored is not None
            body = await self.tasks.parts.originals.read(row["object_name"], None, 0, stored.size_bytes - 1)
            sha256 = hashlib.sha256(body).digest()
            whole = {"sha256": sha256, "size_bytes": len(body), "width": 1, "height": 1, "frames": 1}
            try:
                await self.tasks.set_row(row["id"], status="ready", **whole, ready_at=func.now())
            except UniqueViolation:
                live = models.image.c.sha256 == sha256, models.image.c.team_id == row["team_id"]
                twin = await self.tasks.rows.fetch_value(select(models.image.c.id).where(*live))
                await self.tasks.set_row(row["id"], status="expired", failure_code="duplicate", duplicate_of=twin)
        return len(rows)

    async def row(self, operation_id: UUID) -> Record:
        found = await self.tasks.rows.fetch_one(select(models.operation).where(models.operation.c.id == operation_id))
        assert found is not None
        return found

    async def report(self, operation_id: UUID) -> dict[str, tuple[str, str | None]]:
        """State and code of each object or URL."""
        lines = await service.list_report(self.tasks.rows, actor_of(self.user_id, self.team_id), operation_id, 0)
        return {line["source"]: (line["state"], line["code"]) for line in lines}

    async def images(self) -> list[Record]:
        held = models.image.c.team_id == self.team_id, models.image.c.status != "expired"
        return await self.tasks.rows.fetch(select(models.image).where(*held).order_by(models.image.c.filename))


async def make_bucket(tasks: Tasks) -> ObjectStorage:
    """Create a bucket that is not ours."""
    name = f"site-{new_id().hex[-12:]}"
    url = f"{tasks.parts.settings.storage_emulator_host}/storage/v1/b"
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(url, content=orjson.dumps({"name": name}))
    assert answer.status_code == 200, answer.text
    return tasks.parts.open_bucket(name)


@pytest.fixture
async def imports(tasks: Tasks) -> Imports:
    team_id = await testing.add_team(tasks.rows)
    user = await testing.add_user(tasks.rows, team_id)
    source = await make_bucket(tasks)
    await testing.add_import_source(tasks.rows, team_id, name="old-site", bucket=source.bucket, prefix="site/")
    return Imports(tasks, team_id, user.user_id, source)


@pytest.fixture(scope="module")
def killed_worker(running_tasks: Tasks) -> Iterator[KilledWorker]:
    worker = KilledWorker(running_tasks.parts.settings)
    yield worker
    worker.close()
