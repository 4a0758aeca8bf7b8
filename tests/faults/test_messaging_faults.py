"""Pub/Sub does not take messages, or delivers them twice, late, in another order, or after everything has changed."""

import asyncio
import base64
import time
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from local_cloud.system.environment import PROJECT_ID

from .conftest import Scene
from .grpc_proxy import GrpcRule
from .pictures import heavy_picture, picture
from .postgres_proxy import SqlRule

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

BUCKET = f"{PROJECT_ID}-originals"
EVENTS = b"topics/image-events"


async def put_object(scene: Scene, name: str, content: bytes) -> int:
    """Write straight to the object store, and return the generation."""
    url = f"{scene.system.layout.emulators_url}/upload/storage/v1/b/{BUCKET}/o"
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(url, params={"uploadType": "media", "name": name}, content=content)
    return int(answer.raise_for_status().json()["generation"])


async def push(scene: Scene, name: str, generation: int, **envelope: Any) -> int:
    """Deliver a finalize event past the broker, as the broker would."""
    attributes = {"eventType": "OBJECT_FINALIZE", "bucketId": BUCKET, "objectId": name}
    message = {
        "attributes": {**attributes, "objectGeneration": str(generation)},
        "messageId": str(uuid4().int)[:16],
        "data": base64.b64encode(b"{}").decode(),
        "publishTime": "2020-01-01T00:00:00Z",
        **envelope,
    }
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.post(
            f"{scene.system.layout.processor_url}/push/uploads",
            json={"message": message, "subscription": "checker"},
            headers={"Authorization": f"Bearer {scene.system.push_token()}"},
        )
    return answer.status_code


async def object_of(scene: Scene, image_id: str) -> tuple[str, int]:
    (row,) = await scene.system.query("SELECT object_name, generation FROM image WHERE id = $1", image_id)
    return row["object_name"], row["generation"]


@pytest.mark.parametrize("fault", ["refuse", "stall"])
async def test_a_broker_that_is_away_delays_no_answer_and_loses_no_event(scene: Scene, fault: str) -> None:
    images = [await scene.caller.uploaded(picture(), wait=20) for _ in range(3)]
    getattr(scene.api.pubsub, fault)()
    getattr(scene.processor.pubsub, fault)()
    began_at = time.monotonic()
    for image in images:
        await scene.caller.trash(image["id"])
    assert time.monotonic() - began_at < 3 * 5
    fresh = await scene.caller.uploaded(picture())
    await scene.until(fresh["id"], "ready")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_connection_to_the_broker_that_is_cut_costs_no_event(scene: Scene, when: Any) -> None:
    rules = [
        service.pubsub.add(GrpcRule(text=EVENTS, when=when, then="cut", times=2))
        for service in (scene.api, scene.processor)
    ]
    images = [await scene.caller.uploaded(picture(), wait=20) for _ in range(3)]
    for image in images:
        await scene.caller.trash(image["id"])
    for rule in rules:
        await asyncio.to_thread(rule.wait)


async def test_an_event_whose_marking_was_lost_comes_again_under_the_same_id(scene: Scene) -> None:
    rule = scene.processor.database.add(SqlRule(sql="UPDATE event SET published_at", then="cut"))
    image = await scene.caller.uploaded(picture(), wait=20)
    await asyncio.to_thread(rule.wait)
    of_image = "SELECT id FROM event WHERE image_id = $1 AND type = 'image.ready'"
    (event,) = await scene.system.query(of_image, image["id"])
    async with asyncio.timeout(60):
        while len(scene.inbox.received[str(event["id"])]) < 2:
            await asyncio.to_thread(scene.inbox.pull)


async def test_messages_in_any_order_bring_every_image_home(scene: Scene) -> None:
    scene.system.switch(paused=True, out_of_order=True)
    images = [await scene.caller.uploaded(picture()) for _ in range(20)]
    for image in images[:5]:
        await scene.caller.trash(image["id"])
    scene.system.switch(out_of_order=True, copies=2)
    for image in images[5:]:
        await scene.until(image["id"], "ready")


async def test_a_late_message_is_not_needed_and_does_no_harm(scene: Scene) -> None:
    scene.system.switch(delay_seconds=15)
    image = await scene.caller.uploaded(picture())
    ready = await scene.until(image["id"], "ready")
    again = await push(scene, *await object_of(scene, image["id"]))
    assert again == 204
    assert await scene.caller.image(image["id"]) == ready


async def test_the_same_push_at_once_from_several_sides_is_done_once(scene: Scene) -> None:
    scene.system.switch(paused=True)
    image = await scene.caller.uploaded(heavy_picture(2_000_000, side_px=1500))
    wanted = await object_of(scene, image["id"])
    statuses = await asyncio.gather(*(push(scene, *wanted) for _ in range(5)))
    assert set(statuses) <= {204, 503}
    assert 204 in statuses
    scene.system.switch()
    await scene.until(image["id"], "ready")


async def test_an_event_that_deletion_overtook_is_let_go_and_restoring_asks_again(scene: Scene) -> None:
    scene.system.switch(paused=True)
    kept, restored = [await scene.caller.uploaded(picture()) for _ in range(2)]
    for image in (kept, restored):
        await scene.caller.trash(image["id"])
    scene.system.switch()
    async with asyncio.timeout(30):
        while scene.system.emulator_state()["subscriptions"]["image-uploads-push"]["backlog"]:
            await asyncio.sleep(0.2)
    assert (await scene.caller.image(kept["id"]))["status"] == "stored"
    answer = await scene.caller.ask("POST", f"/images/{restored['id']}/restore")
    assert answer is not None
    assert answer.status_code == 200
    scene.journal.trashed.discard(restored["id"])
    await scene.until(restored["id"], "ready")


@pytest.mark.parametrize("paused", [True, False], ids=["before it was processed", "afterwards"])
async def test_an_object_that_is_overwritten_changes_nothing(scene: Scene, paused: bool) -> None:
    scene.system.switch(paused=paused)
    image = await scene.caller.uploaded(picture())
    if not paused:
        await scene.until(image["id"], "ready")
    name, generation = await object_of(scene, image["id"])
    assert await put_object(scene, name, picture()) > generation
    scene.system.switch()
    ready = await scene.until(image["id"], "ready")
    assert ready["sha256"] == image["sha256"]


async def test_objects_without_a_row_are_removed(scene: Scene) -> None:
    team_id = scene.caller.team_id
    for name in (f"originals/{team_id}/{uuid4()}", "originals/nonsense", "elsewhere.jpg", f"originals/{team_id}/a/b"):
        await put_object(scene, name, picture())


async def test_a_finalize_event_that_is_faster_than_the_api_completes_the_row(scene: Scene) -> None:
    content = picture()
    # Before the API locks the row.
    rule = SqlRule(sql="SELECT image.status .*FOR", then="hang")
    scene.api.database.add(rule)
    upload = asyncio.create_task(scene.caller.upload(content))
    await asyncio.to_thread(rule.wait)
    async with asyncio.timeout(20):
        while not (await scene.caller.get("/images?status=ready")).json()["items"]:
            await asyncio.sleep(0.1)
    scene.api.database.cut()
    answer = await upload
    assert answer is not None
    assert answer.status_code == 503
    again = await scene.caller.uploaded(content)
    assert again["duplicate"]


async def test_poison_goes_to_the_dead_letters_and_harms_no_neighbour(scene: Scene) -> None:
    poison = [b"not json", b'{"bucket": 5}', b"[]"]
    for data in poison:
        scene.inbox.publish_upload_message(data)
    images = [await scene.caller.uploaded(picture()) for _ in range(10)]
    for image in images:
        await scene.until(image["id"], "ready", seconds=20)
    for data in poison:
        dead = await asyncio.to_thread(scene.inbox.wait_for_dead_letter, data, 60)
        assert int(dead.attributes["CloudPubSubDeadLetterSourceDeliveryCount"]) == 6


async def test_a_backlog_of_hundreds_is_worked_off_after_an_outage(scene: Scene) -> None:
    scene.system.switch(paused=True)
    contents = [picture() for _ in range(300)]
    room = asyncio.Semaphore(8)

    async def upload(content: bytes) -> None:
        async with room:
            await scene.caller.uploaded(content)

    await asyncio.gather(*(upload(content) for content in contents))
    scene.system.switch()


async def test_a_broker_and_a_store_that_are_killed_lose_nothing_that_they_had_taken(scene: Scene) -> None:
    before = [await scene.caller.uploaded(picture()) for _ in range(10)]
    scene.system.kill_emulators()
    refused = await scene.caller.upload(picture())
    assert refused is not None
    assert refused.status_code == 503
    await asyncio.to_thread(scene.system.heal)
    for image in [*before, await scene.caller.uploaded(picture())]:
        await scene.until(image["id"], "ready")


async def test_an_image_whose_messages_died_becomes_ready_when_the_dead_letter_is_redriven(scene: Scene) -> None:
    admin = {"X-API-KEY": scene.system.admin_api_key}
    url = f"{scene.system.layout.url}/api/v1/admin/dead-letters"
    # The sweep does not ask for the image again in this time.
    await asyncio.to_thread(scene.system.tasks.restart, LEASE_SECONDS="3600")
    try:
        scene.processor.kill()
        image = await scene.caller.uploaded(picture())
        async with httpx2.AsyncClient(trust_env=False, headers=admin) as client, asyncio.timeout(90):
            letters: list[Any] = []
            while not letters:
                answer = (await client.get(url, params={"status": "open"})).raise_for_status()
                letters = [each for each in answer.json()["items"] if each["image_id"] == image["id"]]
                await asyncio.sleep(0.2)
            await asyncio.to_thread(scene.system.heal)
            neighbour = await scene.caller.uploaded(picture())
            await scene.until(neighbour["id"], "ready")
            assert (await scene.caller.image(image["id"]))["status"] == "stored"
            (await client.post(f"{url}/{letters[0]['id']}/redrive")).raise_for_status()
            await scene.until(image["id"], "ready")
            answer = (await client.get(url, params={"status": "open"})).raise_for_status()
            assert image["id"] not in [each["image_id"] for each in answer.json()["items"]]
    finally:
        await asyncio.to_thread(scene.system.tasks.restart)
