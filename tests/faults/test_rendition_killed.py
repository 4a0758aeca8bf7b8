"""The processor dies while it makes pictures in the background, replaces derivatives or discards what was made."""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from .conftest import Scene
from .http_proxy import HttpRule
from .pictures import picture
from .postgres_proxy import SqlRule
from .proxy import Rule
from .system import Service, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

ORIGINAL, MADE = r"originals/o/.*alt=media", "/upload/.*derivatives/o"


def half_read(service: Service) -> Rule:
    rule = HttpRule(
        method="GET", target=ORIGINAL, at="response_body", at_bytes=1, act=service.kill_from_proxy, then="cut"
    )
    return service.storage.add(rule)


def at_promise(service: Service) -> Rule:
    return service.database.add(SqlRule(sql="INSERT INTO discarded_object", act=service.kill_from_proxy, then="cut"))


def promised(service: Service) -> Rule:
    return service.storage.add(HttpRule(method="POST", target=MADE, act=service.kill_from_proxy, then="cut"))


def written(service: Service) -> Rule:
    rule = HttpRule(method="POST", target=MADE, at="response", act=service.kill_from_proxy, then="cut")
    return service.storage.add(rule)


def _after(service: Service, sql: str) -> Rule:
    return service.database.add(SqlRule(sql=sql, when="after", act=service.kill_from_proxy, then="cut"))


def promise_taken_back(service: Service) -> Rule:
    return _after(service, "DELETE FROM discarded_object")


def rendition_added(service: Service) -> Rule:
    return _after(service, "INSERT INTO rendition ")


def old_one_removed(service: Service) -> Rule:
    return _after(service, "DELETE FROM derivative")


def derivative_added(service: Service) -> Rule:
    return _after(service, "INSERT INTO derivative")


def committed(service: Service) -> Rule:
    """Kill it before the message is acknowledged; the first commit is the promise's."""
    rule = SqlRule(sql="^COMMIT", when="after", act=service.kill_from_proxy, then="cut", skip=1)
    return service.database.add(rule)


ALWAYS = (half_read, at_promise, promised, written, promise_taken_back)
named = pytest.mark.parametrize


@named("moment", [*ALWAYS, rendition_added, committed], ids=lambda moment: moment.__name__)
async def test_a_rendition_is_made_after_all(scene: Scene, moment: Callable[[Service], Rule]) -> None:
    image_id = await ready_image(scene)
    rule = moment(scene.processor)
    await put_thumb(scene, formats=["webp", "avif"])
    await killed_and_healed(scene, rule)
    sql = "SELECT eager FROM rendition WHERE image_id = $1 AND format = 'avif'"
    assert [row["eager"] for row in await eventually(scene, sql, image_id)] == [True]


@named("moment", [*ALWAYS, old_one_removed, derivative_added, committed], ids=lambda moment: moment.__name__)
async def test_a_derivative_is_replaced_after_all(scene: Scene, moment: Callable[[Service], Rule]) -> None:
    image_id = await ready_image(scene)
    rule = moment(scene.processor)
    await put_thumb(scene, width=20, height=20)
    await killed_and_healed(scene, rule)
    sql = "SELECT object_name FROM derivative WHERE image_id = $1 AND preset = 'thumb' AND width = 20"
    assert len(await eventually(scene, sql, image_id)) == 1


@named("table", ["derivative", "rendition", "discarded_object"])
async def test_what_was_made_of_a_removed_preset_is_discarded_after_all(scene: Scene, table: str) -> None:
    card = {"width": 20, "formats": ["webp", "avif"], "eager": True}
    assert (await scene.caller.ask("PUT", "/presets/card", json=card)).status_code == 200  # type: ignore[union-attr]
    image_id = await ready_image(scene)
    await eventually(scene, "SELECT FROM rendition WHERE image_id = $1", image_id)
    verb = "INSERT INTO" if table == "discarded_object" else "DELETE FROM"
    rule = _after(scene.processor, f"{verb} {table}")
    removed = await scene.caller.ask("DELETE", "/presets/card")
    assert removed is not None
    assert removed.status_code == 204
    await killed_and_healed(scene, rule)
    sql = (
        "SELECT WHERE NOT EXISTS (SELECT FROM derivative WHERE image_id = $1 AND preset = 'card')"
        " AND NOT EXISTS (SELECT FROM rendition WHERE image_id = $1)"
    )
    await eventually(scene, sql, image_id)


async def ready_image(scene: Scene) -> UUID:
    image = await scene.caller.uploaded(picture())
    return UUID((await scene.until(image["id"], "ready"))["id"])


async def put_thumb(scene: Scene, **changes: Any) -> None:
    """Change the preset `thumb`, of which the sweep then requests pictures again."""
    thumb = {"width": 256, "height": 256, "eager": True, **changes}
    changed = await scene.caller.ask("PUT", "/presets/thumb", json=thumb)
    assert changed is not None
    assert changed.status_code == 200, changed.text


async def killed_and_healed(scene: Scene, rule: Rule) -> None:
    await asyncio.to_thread(rule.wait)
    wait_until(lambda: scene.processor.child.exit_status is not None, 10, "the processor still runs")
    await asyncio.to_thread(scene.system.heal)


async def eventually(scene: Scene, sql: str, image_id: UUID) -> list[Any]:
    """Return the rows once there are any."""
    deadline = time.monotonic() + 60
    while not (found := await scene.system.query(sql, image_id)):
        assert time.monotonic() < deadline, sql
        await asyncio.sleep(0.2)
    return found
