"""One contract for the buckets in memory and in Redis: the same calls at the same times get the same answers."""

import asyncio
import inspect
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from image_api.limits import token_buckets
from image_api.limits.redis_buckets import RedisBuckets
from image_api.limits.token_buckets import Limit, MemoryBuckets, wait_seconds

from ..redis_server import RedisServer

SECOND = 1_000_000


class Clock:
    """Stands still until it is moved."""

    now = 1_700_000_000 * SECOND

    def __call__(self) -> int:
        return self.now


class Buckets:
    """Either store behind one way to call it."""

    def __init__(self, store: MemoryBuckets | RedisBuckets, clock: Clock) -> None:
        self._store, self.clock = store, clock

    async def take(self, caller: str, *limits: Limit) -> list[int]:
        answer: Any = self._store.take(caller, limits)
        spares = await answer if inspect.isawaitable(answer) else answer
        assert spares is not None
        return list(spares)


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def buckets(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Buckets]:
    clock = Clock()
    if request.param == "memory":
        yield Buckets(MemoryBuckets(clock), clock)
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    store = RedisBuckets(server.url.removesuffix("0") + "1", clock=clock)
    await store.open()
    await store._redis.flushdb()
    yield Buckets(store, clock)
    await store.close()


async def test_a_full_bucket_gives_its_capacity_at_once_and_then_refuses(buckets: Buckets) -> None:
    limit = Limit("requests", 3, 60)
    spares = [(await buckets.take("a", limit))[0] for _ in range(5)]
    assert spares == [40 * SECOND, 20 * SECOND, 0, -20 * SECOND, -20 * SECOND]
    assert [limit.state(spare) for spare in spares[:3]] == [
        '"requests";r=2;t=20', '"requests";r=1;t=40', '"requests";r=0;t=60',
    ]  # fmt: skip
    assert wait_seconds(spares[-1]) == 20


async def test_tokens_come_back_one_by_one(buckets: Buckets) -> None:
    limit = Limit("requests", 3, 60)
    for _ in range(3):
        await buckets.take("a", limit)
    buckets.clock.now += 20 * SECOND - 1
    assert await buckets.take("a", limit) == [-1]
    buckets.clock.now += 1
    assert await buckets.take("a", limit) == [0]
    assert (await buckets.take("a", limit))[0] < 0


async def test_waiting_longer_fills_no_more_than_the_bucket(buckets: Buckets) -> None:
    limit = Limit("requests", 2, 60)
    await buckets.take("a", limit)
    buckets.clock.now += 3600 * SECOND
    assert [(await buckets.take("a", limit))[0] >= 0 for _ in range(3)] == [True, True, False]


async def test_callers_and_limits_have_buckets_of_their_own(buckets: Buckets) -> None:
    narrow, wide = Limit("uploads", 1, 60), Limit("requests", 2, 60)
    assert [spare >= 0 for spare in await buckets.take("a", narrow, wide)] == [True, True]
    assert [spare >= 0 for spare in await buckets.take("a", narrow, wide)] == [False, True]
    assert [spare >= 0 for spare in await buckets.take("a", narrow, wide)] == [False, False]
    assert [spare >= 0 for spare in await buckets.take("{b}: \n", narrow, wide)] == [True, True]


async def test_a_limit_that_does_not_divide_its_window_keeps_to_whole_microseconds(buckets: Buckets) -> None:
    limit = Limit("requests", 7, 1)
    spares = [(await buckets.take("a", limit))[0] for _ in range(8)]
    assert spares == [limit.token_us * left for left in range(6, -2, -1)]


@pytest.mark.redis
async def test_both_stores_answer_a_long_random_sequence_alike(redis_server: RedisServer) -> None:
    clock, chance = Clock(), random.Random(1)
    memory, shared = MemoryBuckets(clock), RedisBuckets(redis_server.url, clock=clock)
    await shared.open()
    limits = [Limit("a", 3, 30), Limit("b", 7, 60), Limit("c", 100, 20)]
    for _ in range(1000):
        clock.now += chance.choice([0, 1, 999, SECOND, 7 * SECOND])
        caller, taken = chance.choice(["x", "y"]), chance.sample(limits, chance.randint(1, 3))
        assert await shared.take(caller, taken) == memory.take(caller, taken)
    await shared.close()


@pytest.mark.redis
async def test_fifty_at_once_over_two_instances_never_get_more_than_the_limit(redis_server: RedisServer) -> None:
    limit = Limit("race", 20, 3600)
    instances = [RedisBuckets(redis_server.url) for _ in range(2)]
    for instance in instances:
        await instance.open()
    # Callers of one instance share its connections, and none is to fall back to its own memory here.
    for instance in instances:
        await asyncio.gather(*(instance._redis.ping() for _ in range(8)))
    answers = await asyncio.gather(*(instances[n % 2].take("everybody", [limit]) for n in range(50)))
    assert [answer is not None and answer[0] >= 0 for answer in answers].count(True) == 20
    assert None not in answers
    for instance in instances:
        await instance.close()


@pytest.mark.redis
async def test_a_bucket_in_redis_is_gone_when_it_is_full(redis_server: RedisServer) -> None:
    shared = RedisBuckets(redis_server.url)
    await shared.open()
    await shared.take("192.0.2.1", [Limit("gone", 2, 60)])
    remaining = await shared._redis.pttl("rate-limit:{192.0.2.1}:gone")
    assert 0 < remaining <= 30_000
    await shared.close()


def test_memory_forgets_the_oldest_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_buckets, "_MAX_BUCKETS", 2)
    buckets, limit = MemoryBuckets(Clock()), Limit("requests", 1, 60)
    for caller in "abc":
        buckets.take(caller, [limit])
    assert [buckets.take(caller, [limit])[0] < 0 for caller in "ca"] == [True, False]
    assert len(buckets._full_at["requests"]) == 2
