"""The API dies, or is told to stop, at every moment of an upload."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from .conftest import Scene
from .http_proxy import HttpRule
from .journal import Answered
from .pictures import heavy_picture, picture
from .postgres_proxy import SqlRule
from .proxy import Rule
from .system import FaultySystem, Service, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

CHUNKED_BYTES = 9_000_000
ROW, COMPLETION = "INSERT INTO image ", "UPDATE image SET .*filename"


@pytest.fixture(autouse=True, scope="module")
def impatient_api(system: FaultySystem) -> Iterator[None]:
    """An upload expires after 15 s, so that what was left pending is dealt with soon."""
    system.api.restart(UPLOAD_DEADLINE_SECONDS="15")
    yield
    system.api.restart()


def before_the_row(api: Service) -> Rule:
    return api.database.add(SqlRule(sql=ROW, act=api.kill_from_proxy, then="cut"))


def after_the_row(api: Service) -> Rule:
    return api.database.add(SqlRule(sql=ROW, when="after", act=api.kill_from_proxy, then="cut"))


def in_mid_stream(api: Service) -> Rule:
    rule = HttpRule(
        method="PUT", target="upload_id", at="body", at_bytes=1_000_000, act=api.kill_from_proxy, then="cut"
    )
    return api.storage.add(rule)


def after_the_object(api: Service) -> Rule:
    rule = HttpRule(
        method="PUT",
        target="upload_id",
        head=r"content-range: bytes \d+-\d+/\d",
        at="response",
        act=api.kill_from_proxy,
        then="cut",
    )
    return api.storage.add(rule)


def before_the_commit(api: Service) -> Rule:
    return api.database.add(SqlRule(sql=COMPLETION, act=api.kill_from_proxy, then="cut"))


def after_the_commit(api: Service) -> Rule:
    return api.database.add(SqlRule(sql=COMPLETION, when="after", act=api.kill_from_proxy, then="cut"))


MOMENTS = (before_the_row, after_the_row, in_mid_stream, after_the_object, before_the_commit, after_the_commit)


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
async def test_an_upload_to_an_api_that_is_killed_can_be_sent_again(
    scene: Scene, moment: Callable[[Service], Rule]
) -> None:
    scene.journal.connections_may_break = True
    content = heavy_picture(CHUNKED_BYTES)
    rule = moment(scene.api)
    assert await scene.caller.upload(content) is None
    await asyncio.to_thread(rule.wait)
    await asyncio.to_thread(scene.system.heal)
    image = await scene.caller.uploaded(content)
    await scene.until(image["id"], "ready")


def after_the_answer_is_kept(api: Service) -> Rule:
    rule = SqlRule(sql="UPDATE idempotency_key SET ", when="after", act=api.kill_from_proxy, then="cut")
    return api.database.add(rule)


@pytest.mark.parametrize(
    "moment", [in_mid_stream, before_the_commit, after_the_commit, after_the_answer_is_kept], ids=lambda m: m.__name__
)
async def test_an_upload_that_is_sent_again_under_its_key_gives_one_image(
    scene: Scene, moment: Callable[[Service], Rule]
) -> None:
    scene.journal.connections_may_break = True
    content = heavy_picture(CHUNKED_BYTES)
    rule = moment(scene.api)
    assert await scene.caller.upload(content, key="k") is None
    await asyncio.to_thread(rule.wait)
    await asyncio.to_thread(scene.system.heal)
    retried = await scene.caller.upload(content, key="k")
    assert retried is not None
    if moment is not after_the_answer_is_kept:
        # The dead process still has the key, until its lease is over.
        assert (retried.status_code, retried.json()["code"]) == (409, "idempotency-key-in-use")
        await scene.system.query("UPDATE idempotency_key SET lease_expires_at = now() WHERE claim_token IS NOT NULL")
        retried = await scene.caller.upload(content, key="k")
        assert retried is not None
    again = await scene.caller.upload(content, key="k")
    assert again is not None
    assert (again.headers["idempotency-replayed"], again.content) == ("true", retried.content)
    await scene.until(retried.json()["id"], "ready")
    sql = "SELECT FROM image WHERE team_id = $1 AND status NOT IN ('pending', 'expired')"
    assert len(await scene.system.query(sql, scene.caller.team_id)) == 1


async def slow_upload(scene: Scene, content: bytes, pause: asyncio.Event) -> tuple[int, float]:
    """Send all but the last 1,000 bytes, the rest after `pause`; returns the status and when it came."""
    port = scene.system.layout.api_port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /api/v1/images HTTP/1.1\r\nHost: here\r\nX-API-KEY: {scene.caller.api_key}\r\n"
    head += f"Content-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content[:-1000])
    await writer.drain()

    async def send_rest() -> None:
        await pause.wait()
        writer.write(content[-1000:])
        await writer.drain()

    began_at = time.monotonic()
    rest = asyncio.create_task(send_rest())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 45)
    came_at = time.monotonic()
    rest.cancel()
    writer.close()
    status = int(answer.split(b" ")[1])
    retry_after = "2" if b"\r\nretry-after:" in answer.lower() else None
    scene.journal.answers.append(Answered("POST", "/images", status, retry_after, came_at - began_at, ""))
    return status, came_at


async def until_begun(scene: Scene) -> None:
    """Wait until the upload has its row."""
    async with asyncio.timeout(20):
        while not await scene.system.query("SELECT FROM image WHERE team_id = $1", scene.caller.team_id):
            await asyncio.sleep(0.05)


async def test_an_upload_that_stands_still_gets_a_503_within_eight_seconds_of_sigterm(scene: Scene) -> None:
    # The receipt's own deadline must not be what ends it.
    await asyncio.to_thread(scene.api.restart, UPLOAD_DEADLINE_SECONDS="40")
    content = heavy_picture(CHUNKED_BYTES)
    upload = asyncio.create_task(slow_upload(scene, content, asyncio.Event()))
    await until_begun(scene)
    stopped_at = time.monotonic()
    os.kill(scene.api.pid, signal.SIGTERM)
    status, came_at = await upload
    assert status == 503
    assert came_at - stopped_at < 8
    await asyncio.to_thread(wait_until, lambda: scene.api.child.exit_status is not None, 10, "the API still runs")
    assert time.monotonic() - stopped_at < 10
    await asyncio.to_thread(scene.api.restart, UPLOAD_DEADLINE_SECONDS="15")
    image = await scene.caller.uploaded(content)
    await scene.until(image["id"], "ready")


async def test_an_upload_that_goes_on_is_finished_after_sigterm(scene: Scene) -> None:
    pause = asyncio.Event()
    upload = asyncio.create_task(slow_upload(scene, heavy_picture(CHUNKED_BYTES), pause))
    await until_begun(scene)
    os.kill(scene.api.pid, signal.SIGTERM)
    await asyncio.sleep(1)
    pause.set()
    assert (await upload)[0] == 201
    await asyncio.to_thread(wait_until, lambda: scene.api.child.exit_status is not None, 10, "the API still runs")


async def test_a_body_that_drips_is_ended_before_its_row_expires(scene: Scene) -> None:
    status, _ = await slow_upload(scene, heavy_picture(50_000), asyncio.Event())
    assert status == 408


async def test_a_caller_that_goes_away_leaves_neither_object_nor_living_row(scene: Scene) -> None:
    scene.journal.connections_may_break = True

    async def half() -> AsyncIterator[bytes]:
        yield heavy_picture(CHUNKED_BYTES)
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        await scene.caller.upload(b"", body=half())
    async with asyncio.timeout(20):
        sql = "SELECT FROM image WHERE team_id = $1 AND status = 'expired'"
        while not await scene.system.query(sql, scene.caller.team_id):
            await asyncio.sleep(0.1)


async def test_a_killed_api_that_answered_before_has_lost_nothing(scene: Scene) -> None:
    images = [await scene.caller.uploaded(picture()) for _ in range(5)]
    scene.api.kill()
    await asyncio.to_thread(scene.system.heal)
    for image in images:
        await scene.until(image["id"], "ready")
