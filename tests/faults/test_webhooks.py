"""I8 for receivers of webhooks: each event reaches a good one under one id, whatever dies or misbehaves meanwhile."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from local_cloud.identity import Identity
from local_cloud.system.environment import PROJECT_ID

from . import receivers
from .conftest import Scene
from .pictures import picture
from .postgres_proxy import SqlRule
from .proxy import Rule
from .receivers import Receiver, receiving, says, signatures, type_of
from .system import EVENTS_SUBSCRIPTION, Service, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

CLAIM, OUTCOME = r"UPDATE webhook_delivery SET .*attempts.*RETURNING", r"UPDATE webhook_delivery SET status"
FIRST_KINDS = ("image.created", "image.trashed")


@dataclass
class Hooks:
    """The webhooks of the scene's team."""

    scene: Scene
    made: list[dict[str, Any]] = field(default_factory=list)

    async def create(self, receiver: Receiver, **body: Any) -> dict[str, Any]:
        hook = await self.call("POST", "/webhooks", json={"url": receiver.url, **body})
        self.made.append(hook)
        self.scene.journal.api_keys.append(hook["secret"])
        return hook

    async def call(self, method: str, path: str, **options: Any) -> Any:
        answer = await self.scene.caller.ask(method, path, **options)
        assert answer is not None
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    async def rows(self, hook: dict[str, Any]) -> list[Any]:
        return await self.scene.system.query(
            "SELECT * FROM webhook_delivery WHERE webhook_id = $1 ORDER BY created_at, id", hook["id"]
        )

    async def let_time_pass(self) -> None:
        """Have every lease end, and every delivery be due."""
        await self.scene.system.query(
            "UPDATE webhook_delivery SET due_at = now(), lease_until = least(lease_until, now())"
            " WHERE status = 'pending' AND team_id = $1",
            self.scene.caller.team_id,
        )

    async def cause_events(self, number: int = 3) -> None:
        """Cause two events an image before it is processed; what the processor adds may come or not."""
        for _ in range(number):
            image = await self.scene.caller.uploaded(picture())
            await self.scene.caller.trash(image["id"])

    async def events(self) -> dict[str, str]:
        """Type by id of each event of the team that a webhook for `FIRST_KINDS` is sent."""
        rows = await self.scene.system.query(
            "SELECT id, type FROM event WHERE team_id = $1 AND topic = 'events' AND type = ANY($2)",
            self.scene.caller.team_id, list(FIRST_KINDS),
        )  # fmt: skip
        return {str(row["id"]): row["type"] for row in rows}

    async def until_all_arrived(self, receiver: Receiver, hook: dict[str, Any], seconds: float = 40) -> None:
        """Wait until a receiver has each event, and check that each came under one id, signed, and was recorded."""
        wanted, deadline = await self.events(), time.monotonic() + seconds
        assert wanted
        while missing := wanted.keys() - receiver.received.keys():
            assert time.monotonic() < deadline, f"I8: {len(missing)} of {len(wanted)} events never arrived"
            await self.let_time_pass()
            await asyncio.sleep(0.5)
        for event_id, kind in wanted.items():
            requests = receiver.received[event_id]
            assert {(type_of(body), body) for _, body in requests} == {(kind, requests[0][1])}
            for headers, body in requests:
                assert signatures(hook["secret"], headers, body) in headers["webhook-signature"].split()
        assert receiver.received.keys() <= wanted.keys(), "events that nobody committed"
        while any(row["status"] == "pending" for row in await self.rows(hook)):
            assert time.monotonic() < deadline, "a delivery that arrived is still due"
            await self.let_time_pass()
            await asyncio.sleep(0.5)
        rows = await self.rows(hook)
        assert {str(row["event_id"]) for row in rows} == wanted.keys()
        assert (len(rows), {row["status"] for row in rows}) == (len(wanted), {"succeeded"})


@pytest.fixture
async def hooks(scene: Scene) -> AsyncIterator[Hooks]:
    made = Hooks(scene)
    yield made
    await asyncio.to_thread(scene.system.heal)
    for hook in made.made:
        answer = await scene.caller.ask("DELETE", f"/webhooks/{hook['id']}")
        assert answer is not None
        assert answer.status_code in (204, 404)


async def test_a_good_receiver_is_told_of_everything_beside_all_the_bad_ones(hooks: Hooks) -> None:
    async with AsyncExitStack() as stack:

        async def open_one(answer: receivers.Answer) -> tuple[Receiver, dict[str, Any]]:
            receiver = await stack.enter_async_context(receiving(answer))
            return receiver, await hooks.create(receiver, types=FIRST_KINDS)

        inside = await stack.enter_async_context(receiving())
        answers = {
            "good": receivers.good, "slow": receivers.slow, "closes": receivers.closes, "hangs": receivers.hangs,
            "drips": receivers.drips, "endless": receivers.endless, "gone": receivers.gone, "broken": receivers.broken,
            "redirects": says(307, Location=inside.url), "later": says(429, Retry_After="600"),
            "aborts": says(400, Webhook_Delivery="abort-message"),
        }  # fmt: skip
        opened = {name: await open_one(answer) for name, answer in answers.items()}
        began_at = time.monotonic()
        await hooks.cause_events(3)
        good, hook = opened["good"]
        while len(good.received) < 6:
            assert time.monotonic() - began_at < 15, "the good one waits for the others"
            await asyncio.sleep(0.05)
        await hooks.until_all_arrived(good, hook)
        opened_rows = {name: await hooks.rows(hook) for name, (_, hook) in opened.items()}
        # One that is gone gets nothing of what is found after its answer.
        assert {len(rows) for name, rows in opened_rows.items() if name != "gone"} == {6}
        assert 1 <= len(opened_rows["gone"]) <= 6
        await hooks.until_all_arrived(*opened["endless"])
        await hooks.until_all_arrived(*opened["slow"])
        assert not inside.received
        for name, reason in (("gone", "gone"), ("broken", None)):
            shown = await hooks.call("GET", f"/webhooks/{opened[name][1]['id']}")
            assert shown["disabled_reason"] == reason
        assert (await hooks.call("GET", f"/webhooks/{opened['later'][1]['id']}"))["held_until"] is not None
        assert {len(requests) for requests in opened["later"][0].received.values()} == {1}
        assert all(len(requests) == 1 for requests in opened["aborts"][0].received.values())
        # One that drips or hangs is cut off, so that its slot is free again; its event is tried once more later.
        wait_until_row = time.monotonic() + 20
        for name in ("drips", "hangs"):
            sql = (
                "SELECT duration_ms, error FROM webhook_attempt JOIN webhook_delivery d ON d.id = delivery_id"
                " WHERE webhook_id = $1"
            )
            while not (attempts := await hooks.scene.system.query(sql, opened[name][1]["id"])):
                assert time.monotonic() < wait_until_row, f"the one that {name} is not cut off"
                await asyncio.sleep(0.2)
            assert {row["error"] for row in attempts} == {"source-timeout"}
            assert max(row["duration_ms"] for row in attempts) < 17_000


def at_fan_out(service: Service, _: Receiver) -> Rule:
    return service.database.add(SqlRule(sql="INSERT INTO webhook_delivery", act=service.kill_from_proxy, then="cut"))


def at_the_position(service: Service, _: Receiver) -> Rule:
    sql = SqlRule(sql="UPDATE webhook_position", when="after", act=service.kill_from_proxy, then="cut")
    return service.database.add(sql)


def at_claim(service: Service, _: Receiver) -> Rule:
    return service.database.add(SqlRule(sql=CLAIM, act=service.kill_from_proxy, then="cut"))


def after_claim(service: Service, _: Receiver) -> Rule:
    return service.database.add(SqlRule(sql=CLAIM, when="after", act=service.kill_from_proxy, then="cut"))


def during_the_attempt(service: Service, receiver: Receiver) -> Rule:
    rule = Rule(act=service.kill_from_proxy)
    receiver.act = rule.carry_out
    return rule


def before_the_outcome(service: Service, _: Receiver) -> Rule:
    return service.database.add(SqlRule(sql=OUTCOME, act=service.kill_from_proxy, then="cut"))


def before_its_commit(service: Service, _: Receiver) -> Rule:
    sql = SqlRule(sql=OUTCOME, when="after", act=service.kill_from_proxy, then="cut")
    return service.database.add(sql)


MOMENTS = (
    at_fan_out, at_the_position, at_claim, after_claim, during_the_attempt, before_the_outcome, before_its_commit,
)  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
async def test_killed_at_a_step_it_loses_nothing(hooks: Hooks, moment: Callable[[Service, Receiver], Rule]) -> None:
    tasks = hooks.scene.system.tasks
    async with receiving() as receiver:
        hook = await hooks.create(receiver, types=FIRST_KINDS)
        rule = moment(tasks, receiver)
        await hooks.cause_events()
        await asyncio.to_thread(rule.wait)
        await asyncio.to_thread(wait_until, lambda: tasks.child.exit_status is not None, 10, "it still runs")
        await asyncio.to_thread(hooks.scene.system.heal)
        await hooks.until_all_arrived(receiver, hook)


async def test_killed_at_random_it_loses_nothing(hooks: Hooks) -> None:
    chance, tasks = random.Random(28), hooks.scene.system.tasks
    async with receiving() as receiver, receiving(receivers.slow) as other:
        made = [await hooks.create(each, types=FIRST_KINDS) for each in (receiver, other)]
        for _ in range(4):
            events = asyncio.create_task(hooks.cause_events(4))
            await asyncio.sleep(chance.uniform(0.05, 1.0))
            await asyncio.to_thread(tasks.kill)
            await events
            await asyncio.to_thread(hooks.scene.system.heal)
        for each, hook in zip((receiver, other), made, strict=True):
            await hooks.until_all_arrived(each, hook)


async def test_each_push_five_times_and_ticks_at_once_are_one_delivery(hooks: Hooks) -> None:
    system = hooks.scene.system
    identity = Identity(system.folder / "emulators", PROJECT_ID)
    token = identity.token(system.layout.tasks_url, f"scheduler@{PROJECT_ID}.iam.gserviceaccount.com")
    async with receiving() as receiver, httpx2.AsyncClient(trust_env=False, timeout=60) as client:

        async def tick() -> int:
            url, headers = f"{system.layout.tasks_url}/tasks/sweep", {"Authorization": f"Bearer {token}"}
            return (await client.post(url, headers=headers)).status_code

        hook = await hooks.create(receiver, types=FIRST_KINDS)
        system.switch(EVENTS_SUBSCRIPTION, copies=5, simultaneous=True)
        events = asyncio.create_task(hooks.cause_events(5))
        statuses = await asyncio.gather(*(tick() for _ in range(2)))
        await events
        assert set(statuses) == {200}
        deadline = time.monotonic() + 30
        while len(receiver.received) < 10:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        await hooks.until_all_arrived(receiver, hook)
        # At least once allows more; but nothing was broken here.
        assert {len(requests) for requests in receiver.received.values()} == {1}


async def test_an_endpoint_deleted_and_a_secret_rotated_between_attempts(hooks: Hooks) -> None:
    async with receiving(receivers.broken) as receiver, receiving(receivers.broken) as other:
        hook = await hooks.create(receiver, types=FIRST_KINDS)
        deleted = await hooks.create(other, types=FIRST_KINDS)
        await hooks.cause_events(1)
        deadline = time.monotonic() + 30
        while len(receiver.received) < 2 or len(other.received) < 2:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        await hooks.call("DELETE", f"/webhooks/{deleted['id']}")
        told = sum(len(requests) for requests in other.received.values())
        rotated = await hooks.call("POST", f"/webhooks/{hook['id']}/rotate-secret")
        hooks.scene.journal.api_keys.append(rotated["secret"])
        receiver.answer = receivers.good
        # What was under way during the deletion may still have arrived.
        await asyncio.sleep(1)
        told = max(told, sum(len(requests) for requests in other.received.values()))
        await hooks.until_all_arrived(receiver, hook)
        assert sum(len(requests) for requests in other.received.values()) == told
        for requests in receiver.received.values():
            headers, body = requests[-1]
            both = [signatures(secret, headers, body) for secret in (rotated["secret"], hook["secret"])]
            assert headers["webhook-signature"].split() == both
