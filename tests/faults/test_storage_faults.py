"""The object store fails, lies and keeps silent, towards the API and towards the processor."""

import asyncio
import hashlib
from typing import Any

import httpx2
import pytest

from .conftest import Scene
from .http_proxy import HttpRule
from .pictures import heavy_picture, picture

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

ORIGINALS, DERIVATIVES = "/upload/.*originals/o", "/upload/.*derivatives/o"
READ_ORIGINAL = r"originals/o/.*alt=media"
SESSION, LAST_CHUNK = "upload_id", r"content-range: bytes \d+-\d+/\d"
CHUNKED_BYTES = 9_000_000
ALWAYS = 1000

PASSING: dict[str, dict[str, Any]] = {
    "503 after 256 KiB": {"method": "POST", "target": ORIGINALS, "at": "body", "at_bytes": 262_144, "status": 503},
    "reset after 256 KiB": {"method": "POST", "target": ORIGINALS, "at": "body", "at_bytes": 262_144, "then": "cut"},
    "the answer is lost": {"method": "POST", "target": ORIGINALS, "at": "response", "then": "cut"},
    "503 after it was stored": {"method": "POST", "target": ORIGINALS, "at": "response", "status": 503},
    "429": {"method": "POST", "target": ORIGINALS, "status": 429},
}
PASSING_IN_CHUNKS: dict[str, dict[str, Any]] = {
    "the session's answer is lost": {"method": "POST", "target": ORIGINALS, "at": "response", "then": "cut"},
    "503 in a chunk": {"method": "PUT", "target": SESSION, "at": "body", "at_bytes": 262_144, "status": 503},
    "reset in a chunk": {"method": "PUT", "target": SESSION, "at": "body", "at_bytes": 262_144, "then": "cut"},
    "a chunk's answer is lost": {"method": "PUT", "target": SESSION, "at": "response", "then": "cut"},
    "the last chunk is broken": {
        "method": "PUT", "target": SESSION, "head": LAST_CHUNK, "at": "body", "at_bytes": 65_536, "then": "cut",
    },
    "the last chunk's answer is lost": {
        "method": "PUT", "target": SESSION, "head": LAST_CHUNK, "at": "response", "then": "cut",
    },
    "412 after one's own success": {
        "method": "PUT", "target": SESSION, "head": LAST_CHUNK, "at": "response", "status": 412,
    },
}  # fmt: skip


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
async def test_what_passes_does_not_show(scene: Scene, fault: dict[str, Any]) -> None:
    rule = scene.api.storage.add(HttpRule(**fault))
    image = await scene.caller.uploaded(heavy_picture(600_000))
    assert rule.met.is_set()
    await scene.until(image["id"], "ready")


@pytest.mark.parametrize("fault", PASSING_IN_CHUNKS.values(), ids=PASSING_IN_CHUNKS.keys())
async def test_what_passes_does_not_show_in_an_upload_in_chunks(scene: Scene, fault: dict[str, Any]) -> None:
    rule = scene.api.storage.add(HttpRule(**fault))
    image = await scene.caller.uploaded(heavy_picture(CHUNKED_BYTES))
    assert rule.met.is_set()
    await scene.until(image["id"], "ready")


LASTING: dict[str, dict[str, Any]] = {
    "503": {"method": "POST", "target": ORIGINALS, "status": 503},
    "reset": {"method": "POST", "target": ORIGINALS, "at": "body", "at_bytes": 262_144, "then": "cut"},
    "the last chunk is broken": {
        "method": "PUT", "target": SESSION, "head": LAST_CHUNK, "at": "body", "at_bytes": 65_536, "then": "cut",
    },
    "every answer is lost": {"method": "POST", "target": ORIGINALS, "at": "response", "then": "cut"},
    "403": {"method": "POST", "target": ORIGINALS, "status": 403},
}  # fmt: skip


@pytest.mark.parametrize("fault", LASTING.values(), ids=LASTING.keys())
async def test_what_lasts_is_a_503_and_the_same_upload_goes_through_afterwards(
    scene: Scene, fault: dict[str, Any]
) -> None:
    content = heavy_picture(CHUNKED_BYTES if fault["method"] == "PUT" else 600_000)
    scene.api.storage.add(HttpRule(**fault, times=ALWAYS))
    refused = await scene.caller.upload(content)
    assert refused is not None
    assert (refused.status_code, refused.json()["code"]) == (503, "storage-unavailable")
    scene.api.storage.heal()
    image = await scene.caller.uploaded(content)
    await scene.until(image["id"], "ready")


async def test_a_store_that_is_gone_is_a_503(scene: Scene) -> None:
    scene.api.storage.refuse()
    refused = await scene.caller.upload(picture())
    assert refused is not None
    assert refused.status_code == 503


@pytest.mark.parametrize("size_bytes", [600_000, CHUNKED_BYTES])
async def test_a_store_that_keeps_silent_is_a_503_within_half_a_minute(scene: Scene, size_bytes: int) -> None:
    scene.api.storage.stall()
    refused = await scene.caller.upload(heavy_picture(size_bytes))
    assert refused is not None
    assert refused.status_code == 503


async def test_a_store_that_stops_in_the_middle_of_a_body_is_left_for_another_try(scene: Scene) -> None:
    rule = HttpRule(method="POST", target=ORIGINALS, at="body", at_bytes=262_144, then="hang")
    scene.api.storage.add(rule)
    image = await scene.caller.uploaded(heavy_picture(600_000))
    assert rule.met.is_set()
    await scene.until(image["id"], "ready")


async def test_a_broken_download_is_made_good_before_anybody_sees_it(scene: Scene) -> None:
    content = heavy_picture(3_000_000)
    image = await scene.caller.uploaded(content)
    rule = HttpRule(method="GET", target=READ_ORIGINAL, at="response_body", at_bytes=70_000, then="cut", times=2)
    scene.api.storage.add(rule)
    answer = await scene.caller.get(f"/images/{image['id']}/content")
    assert rule.met.is_set()
    assert hashlib.sha256(answer.content).hexdigest() == image["sha256"]


async def test_a_download_that_cannot_begin_is_a_503(scene: Scene) -> None:
    image = await scene.caller.uploaded(picture())
    scene.api.storage.refuse()
    answer = await scene.caller.get(f"/images/{image['id']}/content")
    assert answer.status_code == 503


async def test_a_download_that_cannot_go_on_never_looks_whole(scene: Scene) -> None:
    scene.journal.connections_may_break = True
    image = await scene.caller.uploaded(heavy_picture(3_000_000))
    scene.api.storage.add(HttpRule(method="GET", target=READ_ORIGINAL, then="cut", skip=1, times=ALWAYS))
    answer: httpx2.Response | None = await scene.caller.ask("GET", f"/images/{image['id']}/content")
    assert answer is None


TOWARDS_THE_PROCESSOR: dict[str, dict[str, Any]] = {
    "a read is cut off": {
        "method": "GET",
        "target": READ_ORIGINAL,
        "at": "response_body",
        "at_bytes": 9,
        "then": "cut",
    },
    "a read is spoiled": {
        "method": "GET",
        "target": READ_ORIGINAL,
        "at": "response_body",
        "at_bytes": 99,
        "flip": True,
    },
    "a read gets 503": {"method": "GET", "target": READ_ORIGINAL, "status": 503},
    "a derivative gets 503": {"method": "POST", "target": DERIVATIVES, "status": 503},
    "a derivative's answer is lost": {"method": "POST", "target": DERIVATIVES, "at": "response", "then": "cut"},
    "a derivative is cut off": {"method": "POST", "target": DERIVATIVES, "at": "body", "at_bytes": 99, "then": "cut"},
}


@pytest.mark.parametrize("times", [1, ALWAYS], ids=["once", "until it is mended"])
@pytest.mark.parametrize("fault", TOWARDS_THE_PROCESSOR.values(), ids=TOWARDS_THE_PROCESSOR.keys())
async def test_the_processor_tries_until_the_picture_is_whole(scene: Scene, fault: dict[str, Any], times: int) -> None:
    rule = scene.processor.storage.add(HttpRule(**fault, times=times))
    image = await scene.caller.uploaded(heavy_picture(100_000))
    await asyncio.to_thread(rule.wait)
    if times == ALWAYS:
        # Whatever it made of what it got, it must not have called that finished.
        await asyncio.sleep(2)
        assert (await scene.caller.image(image["id"]))["status"] in {"stored", "processing"}
        scene.processor.storage.heal()
    await scene.until(image["id"], "ready")


@pytest.mark.parametrize("fault", ["stall", "refuse"])
async def test_the_processor_waits_for_a_store_that_is_away(scene: Scene, fault: str) -> None:
    getattr(scene.processor.storage, fault)()
    image = await scene.caller.uploaded(picture())
    await asyncio.sleep(12)
    assert (await scene.caller.image(image["id"]))["status"] in {"stored", "processing"}
    scene.processor.storage.heal()
    await scene.until(image["id"], "ready")


async def test_a_bucket_that_is_away_for_long_costs_no_image(scene: Scene) -> None:
    rule = HttpRule(method="POST", target=DERIVATIVES, status=403, times=ALWAYS)
    scene.processor.storage.add(rule)
    image = await scene.caller.uploaded(picture())
    # More tries than a picture has, of three derivatives each.
    while rule.matches < 7 * 3:
        await asyncio.sleep(0.5)
    assert (await scene.caller.image(image["id"]))["status"] in {"stored", "processing"}
    scene.processor.storage.heal()
    await scene.until(image["id"], "ready")


async def test_a_picture_that_hangs_half_read_does_not_keep_others_waiting(scene: Scene) -> None:
    rule = HttpRule(method="GET", target=READ_ORIGINAL, at="response_body", at_bytes=50_000, then="hang", times=2)
    scene.processor.storage.add(rule)
    slow = await scene.caller.uploaded(heavy_picture(300_000))
    await asyncio.to_thread(rule.wait)
    others = [await scene.caller.uploaded(picture()) for _ in range(5)]
    for image in [*others, slow]:
        await scene.until(image["id"], "ready")
