"""A few faults of each kind, for a short run: make test ARGS="-m faults tests/faults/test_representative.py"."""

import asyncio

import pytest

from .conftest import Scene
from .http_proxy import HttpRule
from .pictures import heavy_picture, picture
from .system import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

DERIVATIVES = "/upload/.*derivatives/o"
ORIGINALS = "/upload/.*originals/o"


async def test_a_processor_killed_between_two_derivatives_is_made_good_by_the_next(scene: Scene) -> None:
    rule = HttpRule(method="POST", target=DERIVATIVES, at="response", act=scene.processor.kill_from_proxy, then="cut")
    scene.processor.storage.add(rule)
    image = await scene.caller.uploaded(picture())
    await asyncio.to_thread(rule.wait)
    wait_until(lambda: scene.processor.child.exit_status is not None, 10, "the processor still runs")
    scene.system.heal()
    await scene.until(image["id"], "ready")


async def test_the_same_push_five_times_at_once_is_done_once(scene: Scene) -> None:
    scene.system.switch(copies=5, simultaneous=True)
    image = await scene.caller.uploaded(picture(), wait=20)
    assert image["status"] == "ready"


async def test_an_upload_survives_one_503_of_the_object_store_in_the_middle(scene: Scene) -> None:
    rule = HttpRule(method="POST", target=ORIGINALS, at="body", at_bytes=256 * 1024, status=503)
    scene.api.storage.add(rule)
    image = await scene.caller.uploaded(heavy_picture(600_000), wait=20)
    assert rule.met.is_set()
    assert image["status"] == "ready"


async def test_a_restart_of_postgresql_costs_no_more_than_a_503(scene: Scene) -> None:
    content = picture()
    await asyncio.to_thread(scene.system.postgres.stop)
    refused = await scene.caller.upload(content)
    assert refused is not None
    assert refused.status_code == 503
    assert refused.json()["code"] == "database-unavailable"
    await asyncio.to_thread(scene.system.postgres.start)
    image = await scene.caller.uploaded(content, wait=20)
    assert image["status"] == "ready"
