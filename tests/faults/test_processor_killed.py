"""The processor dies at every moment of a job at which something is half done."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from .conftest import Scene
from .grpc_proxy import GrpcRule
from .http_proxy import HttpRule
from .pictures import heavy_picture, picture
from .postgres_proxy import SqlRule
from .proxy import Rule
from .system import Service, children, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

ORIGINAL, DERIVATIVE, EVENTS = r"originals/o/.*alt=media", "/upload/.*derivatives/o", b"topics/image-events"


def at_claim(service: Service) -> Rule:
    sql = r"UPDATE image SET .*claim_token.*RETURNING"
    return service.database.add(SqlRule(sql=sql, act=service.kill_from_proxy, then="cut"))


def after_claim(service: Service) -> Rule:
    rule = HttpRule(method="GET", target=ORIGINAL, act=service.kill_from_proxy, then="cut")
    return service.storage.add(rule)


def half_read(service: Service) -> Rule:
    rule = HttpRule(
        method="GET", target=ORIGINAL, at="response_body", at_bytes=1, act=service.kill_from_proxy, then="cut"
    )
    return service.storage.add(rule)


def decoded(service: Service) -> Rule:
    return service.storage.add(
        HttpRule(method="POST", target=DERIVATIVE, act=service.kill_from_proxy, then="cut", times=3)
    )


def first_derivative(service: Service) -> Rule:
    rule = HttpRule(method="POST", target=DERIVATIVE, at="response", act=service.kill_from_proxy, then="cut")
    return service.storage.add(rule)


def all_derivatives(service: Service) -> Rule:
    rule = HttpRule(method="POST", target=DERIVATIVE, at="response", act=service.kill_from_proxy, then="cut", skip=2)
    return service.storage.add(rule)


def before_commit(service: Service) -> Rule:
    rule = SqlRule(sql="INSERT INTO event", when="after", act=service.kill_from_proxy, then="cut")
    return service.database.add(rule)


def before_publishing(service: Service) -> Rule:
    return service.pubsub.add(GrpcRule(text=EVENTS, act=service.kill_from_proxy, then="cut"))


def before_marking(service: Service) -> Rule:
    return service.pubsub.add(GrpcRule(text=EVENTS, when="after", act=service.kill_from_proxy, then="cut"))


MOMENTS = (
    at_claim,
    after_claim,
    half_read,
    decoded,
    first_derivative,
    all_derivatives,
    before_commit,
    before_publishing,
    before_marking,
)


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
async def test_a_killed_processor_leaves_nothing_undone(scene: Scene, moment: Callable[[Service], Rule]) -> None:
    # Every row is complete before its message comes, so that the claim is the first thing that the job does.
    scene.system.switch(paused=True)
    images = [await scene.caller.uploaded(picture()) for _ in range(3)]
    rule = moment(scene.processor)
    scene.system.switch()
    await asyncio.to_thread(rule.wait)
    wait_until(lambda: scene.processor.child.exit_status is not None, 10, "the processor still runs")
    await asyncio.to_thread(scene.system.heal)
    for image in images:
        await scene.until(image["id"], "ready")


async def test_a_processor_that_is_stopped_gives_its_jobs_back(scene: Scene) -> None:
    scene.processor.storage.add(HttpRule(method="POST", target=DERIVATIVE, then="hang", times=6))
    images = [await scene.caller.uploaded(heavy_picture(100_000)) for _ in range(2)]
    for image in images:
        await scene.until(image["id"], "processing")
    await asyncio.to_thread(scene.processor.child.stop)
    assert scene.processor.child.exit_status is not None
    await asyncio.to_thread(scene.system.heal)
    for image in images:
        await scene.until(image["id"], "ready")


async def test_a_killed_processor_leaves_no_process_behind(scene: Scene) -> None:
    rule = scene.processor.storage.add(HttpRule(method="POST", target=DERIVATIVE, then="hang", times=6))
    workers = children(scene.processor.pid)
    assert workers
    image = await scene.caller.uploaded(picture())
    await asyncio.to_thread(rule.wait)
    await asyncio.to_thread(scene.processor.kill)
    wait_until(lambda: not any(is_running(pid) for pid in workers), 10, "a worker outlived its processor")
    await asyncio.to_thread(scene.system.heal)
    await scene.until(image["id"], "ready")


async def test_a_picture_whose_worker_was_paused_is_tried_again(scene: Scene) -> None:
    workers = children(scene.processor.pid)
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    image = await scene.caller.uploaded(picture())
    # Each worker is given up at the deadline of its job, and a new one takes its place.
    await scene.until(image["id"], "ready")
    (row,) = await scene.system.query("SELECT attempts FROM image WHERE id = $1", UUID(image["id"]))
    assert row["attempts"] > 1
    for pid in set(workers) & set(children(scene.processor.pid)):
        os.kill(pid, signal.SIGCONT)


async def test_a_picture_whose_worker_was_killed_is_tried_again(scene: Scene) -> None:
    workers = children(scene.processor.pid)
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    image = await scene.caller.uploaded(picture())
    await scene.until(image["id"], "processing")
    for pid in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await scene.until(image["id"], "ready")


def is_running(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return b"\nState:\tZ" not in Path(f"/proc/{pid}/status").read_bytes()
    return False
