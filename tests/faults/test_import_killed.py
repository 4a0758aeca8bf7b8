"""A bucket is copied in while what copies and what processes it are killed: nothing twice, nothing lost.

IMPORT_OBJECTS=10000 runs it in the size that imports are made for, which takes a quarter of an hour on two busy cores.
"""

import asyncio
import io
import json
import os
import time
from collections import Counter
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from PIL import Image

from .conftest import Scene

OBJECTS = int(os.environ.get("IMPORT_OBJECTS", "500"))
SECONDS = 120 + OBJECTS
pytestmark = [pytest.mark.faults, pytest.mark.timeout(2 * SECONDS)]


def png() -> bytes:
    target = io.BytesIO()
    Image.frombytes("RGB", (16, 16), os.urandom(16 * 16 * 3)).save(target, "PNG")
    return target.getvalue()


def broken(number: int) -> tuple[bytes, str]:
    """Bytes that become no image, and the code that says why."""
    text, empty, half = (b"no picture", "not-an-image"), (b"", "source-not-an-image"), (png()[:400], "image-truncated")
    return (text, empty, half)[number % 3]


async def fill_bucket(scene: Scene, bucket: str) -> dict[str, str | None]:
    """Create a bucket with so many objects, one in a hundred of them broken; return the code that each will have."""
    url, codes, room = scene.system.layout.emulators_url, dict[str, str | None](), asyncio.Semaphore(16)
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        (await client.post(f"{url}/storage/v1/b", json={"name": bucket})).raise_for_status()

        async def put(number: int) -> None:
            name, content = f"site/{number // 1000}/{number:05}.png", png()
            codes[name] = None
            if number % 100 == 7:
                content, codes[name] = broken(number // 100)
            async with room:
                parameters = {"uploadType": "media", "name": name}
                address = f"{url}/upload/storage/v1/b/{bucket}/o"
                (await client.post(address, params=parameters, content=content)).raise_for_status()

        await asyncio.gather(*(put(number) for number in range(OBJECTS)))
    return codes


async def until(scene: Scene, operation_id: str, share: float) -> dict[str, Any]:
    """Wait until so much of an operation is done, and return it."""
    async with asyncio.timeout(SECONDS):
        while True:
            operation: dict[str, Any] = (await scene.caller.get(f"/operations/{operation_id}")).json()
            over = operation["done"] + operation["failed"]
            if operation["finished_at"] or (share < 1 and operation["total"] and over >= share * operation["total"]):
                return operation
            await asyncio.sleep(0.5)


async def read_report(scene: Scene, operation_id: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    address: str | None = f"/imports/{operation_id}/report"
    while address:
        answer = await scene.caller.get(address)
        assert answer.status_code == 200, answer.text
        lines += [json.loads(line) for line in answer.text.splitlines()]
        address = answer.links.get("next", {}).get("url", "").removeprefix("/api/v1") or None
    return lines


async def test_an_import_that_is_stopped_and_started_reports_every_object_once(scene: Scene) -> None:
    bucket, system = f"old-site-{uuid4().hex[:8]}", scene.system
    codes = await fill_bucket(scene, bucket)
    granted = {"team_id": scene.caller.team_id, "name": "old", "bucket": bucket, "prefix": "site/"}
    async with httpx2.AsyncClient(trust_env=False, headers={"X-API-KEY": system.admin_api_key}) as admin:
        (await admin.post(f"{system.layout.url}/api/v1/import-sources", json=granted)).raise_for_status()
    answer = await scene.caller.ask("POST", "/imports", json={"source": "old"})
    assert answer is not None
    operation_id, began_at = answer.json()["operation_id"], time.monotonic()

    await until(scene, operation_id, 0.1)
    await asyncio.to_thread(system.tasks.kill)
    await asyncio.to_thread(system.heal)
    await until(scene, operation_id, 0.3)
    await asyncio.to_thread(system.processor.kill)
    await asyncio.to_thread(system.heal)
    await until(scene, operation_id, 0.5)
    await asyncio.to_thread(system.tasks.restart)
    operation = await until(scene, operation_id, 1)
    print(f"{OBJECTS} objects in {time.monotonic() - began_at:.0f} s")  # noqa: T201 (for whoever runs it by hand)

    failed = {name: code for name, code in codes.items() if code}
    assert (operation["status"], operation["total"]) == ("succeeded", OBJECTS)
    assert (operation["done"], operation["failed"]) == (OBJECTS - len(failed), len(failed))
    lines = await read_report(scene, operation_id)
    assert [line["position"] for line in lines] == list(range(1, OBJECTS + 1))
    assert {line["source"]: line["code"] for line in lines} == codes
    assert Counter(line["state"] for line in lines) == {"done": OBJECTS - len(failed), "failed": len(failed)}
    sql = "SELECT id, status, sha256 FROM image WHERE team_id = $1 AND status <> 'expired'"
    rows = await system.query(sql, scene.caller.team_id)
    ready = {str(row["id"]) for row in rows if row["status"] == "ready"}
    assert ready == {line["image_id"] for line in lines if line["state"] == "done"}
    assert len({row["sha256"] for row in rows}) == len(rows)
