"""The API or the processor dies at every step of a direct upload, whose bytes pass neither."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from image_core.storage.protocol import SESSION_UNIT_BYTES

from .conftest import Scene
from .http_proxy import HttpRule
from .pictures import heavy_picture
from .postgres_proxy import SqlRule
from .proxy import Rule
from .system import FaultySystem, Service, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True, scope="module")
def impatient_api(system: FaultySystem) -> Iterator[None]:
    """An upload whose address was not kept expires after 15 s."""
    system.api.restart(UPLOAD_DEADLINE_SECONDS="15")
    yield
    system.api.restart()


async def open_upload(scene: Scene, content: bytes) -> Any:
    """The opened upload, or None if the API died."""
    declared = {"content_type": "image/jpeg", "size_bytes": len(content)}
    answer = await scene.caller.ask("POST", "/uploads", json=declared, headers={"Idempotency-Key": str(len(content))})
    if answer is None:
        return None
    assert answer.status_code == 201, answer.text
    return answer.json()


async def send(address: str, content: bytes, start: int, end: int) -> int:
    """Send a piece straight to storage."""
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        span = f"bytes {start}-{end - 1}/{len(content)}"
        return (await client.put(address, content=content[start:end], headers={"Content-Range": span})).status_code


async def holds(scene: Scene) -> tuple[int, int]:
    """The bytes and images that count against the team's quota."""
    sql = "SELECT bytes, images FROM storage_usage WHERE team_id = $1"
    rows = await scene.system.query(sql, scene.caller.team_id)
    return (rows[0]["bytes"], rows[0]["images"]) if rows else (0, 0)


async def becomes_ready(scene: Scene, content: bytes) -> None:
    """One whole upload, which alone counts afterwards."""
    opened = await open_upload(scene, content)
    assert opened is not None
    assert await send(opened["url"], content, 0, len(content)) == 200
    await scene.until(opened["upload_id"], "ready")
    assert await holds(scene) == (len(content), 1)


def before_the_rows(api: Service) -> Rule:
    return api.database.add(SqlRule(sql="INSERT INTO upload_session", act=api.kill_from_proxy, then="cut"))


def after_the_session_was_opened(api: Service) -> Rule:
    rule = HttpRule(method="POST", target="uploadType=resumable", at="response", act=api.kill_from_proxy, then="cut")
    return api.storage.add(rule)


def before_the_address_is_kept(api: Service) -> Rule:
    return api.database.add(SqlRule(sql="UPDATE upload_session SET", act=api.kill_from_proxy, then="cut"))


def before_the_answer(api: Service) -> Rule:
    return api.database.add(SqlRule(sql="UPDATE idempotency_key SET", act=api.kill_from_proxy, then="cut"))


@pytest.mark.parametrize(
    "moment",
    [before_the_rows, after_the_session_was_opened, before_the_address_is_kept, before_the_answer],
    ids=lambda moment: moment.__name__,
)
async def test_an_upload_that_a_dying_api_opened_expires_and_frees_the_quota(
    scene: Scene, moment: Callable[[Service], Rule]
) -> None:
    scene.journal.connections_may_break = True
    content = heavy_picture(300_000)
    rule = moment(scene.api)
    assert await open_upload(scene, content) is None
    await asyncio.to_thread(rule.wait)
    wait_until(lambda: scene.api.child.exit_status is not None, 10, "the API still runs")
    await asyncio.to_thread(scene.system.heal)
    if moment is before_the_answer:
        assert await holds(scene) == (len(content), 1)
        # Nobody waits for the half day that a client may take.
        await scene.system.query("UPDATE image SET deadline_at = now() WHERE team_id = $1", scene.caller.team_id)
    async with asyncio.timeout(60):
        while await scene.system.query(
            "SELECT FROM image WHERE team_id = $1 AND status <> 'expired'", scene.caller.team_id
        ):
            await asyncio.sleep(0.2)
    assert await holds(scene) == (0, 0)
    await becomes_ready(scene, heavy_picture(400_000))


def while_the_object_is_read(processor: Service) -> Rule:
    rule = HttpRule(method="GET", target=r"originals/o/.*alt=media", act=processor.kill_from_proxy, then="cut")
    return processor.storage.add(rule)


def before_the_row_is_complete(processor: Service) -> Rule:
    return processor.database.add(SqlRule(sql=r"UPDATE image SET .*sha256", act=processor.kill_from_proxy, then="cut"))


def after_the_row_is_complete(processor: Service) -> Rule:
    sql = r"UPDATE image SET .*claim_token.*RETURNING"
    return processor.database.add(SqlRule(sql=sql, act=processor.kill_from_proxy, then="cut"))


@pytest.mark.parametrize(
    "moment",
    [while_the_object_is_read, before_the_row_is_complete, after_the_row_is_complete],
    ids=lambda moment: moment.__name__,
)
async def test_a_file_that_a_dying_processor_meets_becomes_ready(
    scene: Scene, moment: Callable[[Service], Rule]
) -> None:
    content = heavy_picture(300_000)
    opened = await open_upload(scene, content)
    rule = moment(scene.processor)
    assert await send(opened["url"], content, 0, len(content)) == 200
    await asyncio.to_thread(rule.wait)
    # What has not ended yet is not started again.
    wait_until(lambda: scene.processor.child.exit_status is not None, 10, "the processor still runs")
    assert await holds(scene) == (len(content), 1)
    await asyncio.to_thread(scene.system.heal)
    await scene.until(opened["upload_id"], "ready")
    assert await holds(scene) == (len(content), 1)


async def test_a_file_can_be_sent_while_api_and_processor_are_dead(scene: Scene) -> None:
    scene.journal.connections_may_break = True
    content = heavy_picture(300_000)
    opened = await open_upload(scene, content)
    assert await send(opened["url"], content, 0, SESSION_UNIT_BYTES) == 308
    await asyncio.to_thread(scene.api.kill)
    await asyncio.to_thread(scene.processor.kill)
    assert await send(opened["url"], content, SESSION_UNIT_BYTES, len(content)) == 200
    await asyncio.to_thread(scene.system.heal)
    await scene.until(opened["upload_id"], "ready")
    upload = (await scene.caller.get(f"/uploads/{opened['upload_id']}")).json()
    assert (upload["state"], upload["image_id"]) == ("received", opened["upload_id"])
    assert await holds(scene) == (len(content), 1)
