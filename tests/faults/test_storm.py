"""Everything at once: callers that send and repeat, while one part after the other is struck."""

import asyncio
import random
from collections.abc import Callable

import pytest

from .conftest import Scene
from .http_proxy import HttpRule
from .pictures import heavy_picture, picture
from .postgres_proxy import SqlRule

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

STRIKES = 8
CALLERS = 4


def kill_api(scene: Scene) -> None:
    scene.api.kill()


def kill_processor(scene: Scene) -> None:
    scene.processor.kill()


def restart_postgres(scene: Scene) -> None:
    scene.system.postgres.stop()


def end_backends(scene: Scene) -> None:
    scene.system.as_superuser(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    )


def kill_emulators(scene: Scene) -> None:
    scene.system.kill_emulators()


def silence(scene: Scene) -> None:
    for proxy in (scene.api.storage, scene.api.pubsub, scene.processor.storage, scene.processor.pubsub):
        proxy.stall()


def lose_answers(scene: Scene) -> None:
    for service in (scene.api, scene.processor):
        for method in ("POST", "PUT", "GET"):
            service.storage.add(HttpRule(method=method, target="/o", at="response", then="cut", times=3))
        service.database.add(SqlRule(sql="UPDATE|^COMMIT", when="after", then="cut", times=3))


def repeat_pushes(scene: Scene) -> None:
    scene.system.switch(copies=3, simultaneous=True, out_of_order=True)


FAULTS: tuple[Callable[[Scene], None], ...] = (
    kill_api, kill_processor, restart_postgres, end_backends, kill_emulators, silence, lose_answers, repeat_pushes,
)  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_picture_comes_home_from_a_storm(scene: Scene, seed: int) -> None:
    scene.journal.connections_may_break = True
    chance = random.Random(seed)
    over = asyncio.Event()
    sent: list[bytes] = []

    async def call() -> None:
        while not over.is_set():
            content = heavy_picture(chance.choice([20_000, 9_000_000]))
            sent.append(content)
            # Whoever is refused sends the same again, as a good caller does.
            for _ in range(3):
                answer = await scene.caller.upload(content)
                if answer is not None and answer.status_code in {200, 201}:
                    break
                await asyncio.sleep(0.5)

    callers = [asyncio.create_task(call()) for _ in range(CALLERS)]
    for _ in range(STRIKES):
        await asyncio.sleep(chance.uniform(0.3, 1.5))
        await asyncio.to_thread(chance.choice(FAULTS), scene)
        await asyncio.sleep(chance.uniform(0.1, 1.5))
        await asyncio.to_thread(scene.system.heal)
    over.set()
    await asyncio.gather(*callers)
    assert len(sent) >= CALLERS
    for content in sent:
        await scene.caller.uploaded(content)


async def test_the_same_bytes_from_many_at_once_are_one_image(scene: Scene) -> None:
    lose_answers(scene)
    content = picture()
    answers = await asyncio.gather(*(scene.caller.upload(content) for _ in range(20)))
    told = {answer.json()["id"] for answer in answers if answer is not None and answer.status_code in {200, 201}}
    again = await scene.caller.uploaded(content)
    assert told <= {again["id"]}
