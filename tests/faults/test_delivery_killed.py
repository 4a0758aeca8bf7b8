"""image-delivery dies at every moment at which a picture is half made or half kept."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from .conftest import Scene
from .http_proxy import HttpRule
from .pictures import picture
from .postgres_proxy import SqlRule
from .proxy import Rule
from .system import Service, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

ORIGINAL, RENDITION = r"originals/o/.*alt=media", "/upload/.*derivatives/o"
# Nothing is stored in this format, so that the picture has to be made.
JPEG = {"accept": "image/jpeg"}


def half_read(service: Service) -> Rule:
    rule = HttpRule(
        method="GET", target=ORIGINAL, at="response_body", at_bytes=1, act=service.kill_from_proxy, then="cut"
    )
    return service.storage.add(rule)


def at_promise(service: Service) -> Rule:
    return service.database.add(SqlRule(sql="INSERT INTO discarded_object", act=service.kill_from_proxy, then="cut"))


def promised(service: Service) -> Rule:
    return service.storage.add(HttpRule(method="POST", target=RENDITION, act=service.kill_from_proxy, then="cut"))


def written(service: Service) -> Rule:
    rule = HttpRule(method="POST", target=RENDITION, at="response", act=service.kill_from_proxy, then="cut")
    return service.storage.add(rule)


def before_commit(service: Service) -> Rule:
    return service.database.add(
        SqlRule(sql="INSERT INTO rendition", when="after", act=service.kill_from_proxy, then="cut")
    )


@pytest.mark.parametrize(
    "moment", [half_read, at_promise, promised, written, before_commit], ids=lambda moment: moment.__name__
)
async def test_a_killed_delivery_leaves_nothing_behind(scene: Scene, moment: Callable[[Service], Rule]) -> None:
    address = await address_of(scene)
    rule = moment(scene.delivery)
    with pytest.raises(httpx2.HTTPError):
        await asyncio.to_thread(get, address)
    await asyncio.to_thread(rule.wait)
    wait_until(lambda: scene.delivery.child.exit_status is not None, 10, "image-delivery still runs")
    await asyncio.to_thread(scene.system.heal)
    for origin in ("made", "hit"):
        answer = await asyncio.to_thread(get, address)
        assert (answer.status_code, answer.headers["x-derivative"]) == (200, origin)


@pytest.mark.parametrize("fault", ["database", "storage"])
async def test_a_picture_is_shown_although_it_cannot_be_kept(scene: Scene, fault: str) -> None:
    address = await address_of(scene)
    if fault == "database":
        scene.delivery.database.add(SqlRule(sql="INSERT INTO discarded_object", then="cut", times=3))
    else:
        scene.delivery.storage.add(HttpRule(method="POST", target=RENDITION, status=403, times=3))
    answer = await asyncio.to_thread(get, address)
    assert (answer.status_code, answer.headers["x-derivative"]) == (200, "made")
    assert answer.headers["content-type"] == "image/jpeg"


async def address_of(scene: Scene) -> str:
    """The address of a picture that is ready, whose row image-delivery has in memory."""
    image = await scene.caller.uploaded(picture())
    await scene.until(image["id"], "ready")
    shown: Any = (await scene.caller.get(f"/images/{image['id']}", params={"include": "delivery"})).json()
    address: str = shown["delivery"]["presets"]["thumb"]["url"]
    answer = await asyncio.to_thread(httpx2.get, address, headers={"accept": "image/webp"}, trust_env=False)
    assert answer.status_code == 200
    return address


def get(address: str) -> httpx2.Response:
    return httpx2.get(address, headers=JPEG, trust_env=False, timeout=30)
