"""Reads for many in one query, with a clock and a database of the test's own."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

import pytest

from image_core import errors
from image_delivery.grants import lookups
from image_delivery.grants.lookups import FRESH_SECONDS, REREAD_SECONDS, Lookups


@dataclass
class Rows:
    """A table of numbers by name, and a clock that only moves when it is moved, or slept on."""

    values: dict[str, int] = field(default_factory=dict)
    queries: list[set[str]] = field(default_factory=list)
    now: float = 1000.0
    is_away: bool = False
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.answers.set()

    async def read(self, keys: Collection[str]) -> dict[str, int]:
        self.queries.append(set(keys))
        found = {key: self.values[key] for key in keys if key in self.values}
        await self.answers.wait()
        if self.is_away:
            raise errors.DatabaseUnavailable
        return found

    def lookups(self, most_kept: int = 100) -> Lookups[str, int]:
        return Lookups(self.read, outage_seconds=600, most_kept=most_kept, clock=lambda: self.now)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Rows:
    rows = Rows({"a": 1, "b": 2})

    async def sleep(seconds: float) -> None:
        rows.now += seconds

    monkeypatch.setattr(lookups.asyncio, "sleep", sleep)
    return rows


async def until_asked(table: Rows, times: int = 1) -> None:
    while len(table.queries) < times:
        await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait())], timeout=0.01)


async def test_a_value_is_read_again_when_it_is_no_longer_fresh(table: Rows) -> None:
    found = table.lookups()
    assert await found.get("a") == 1
    table.values["a"] = 7
    table.now += FRESH_SECONDS - 0.01
    assert await found.get("a") == 1
    table.now += 0.01
    assert await found.get("a") == 7


async def test_one_query_at_a_time_holds_all_who_wait(table: Rows) -> None:
    found = table.lookups()
    table.answers.clear()
    first = asyncio.create_task(found.get("a"))
    await until_asked(table)
    others = [asyncio.create_task(found.get(key)) for key in ("a", "b", "x", "y", "b")]
    await asyncio.wait(others, timeout=0.02)
    assert table.queries == [{"a"}]
    table.answers.set()
    assert [await each for each in (first, *others)] == [1, 1, 2, None, None, 2]
    assert table.queries == [{"a"}, {"b", "x", "y"}]


async def test_a_query_holds_a_bounded_number_of_keys(table: Rows) -> None:
    found = table.lookups(most_kept=10_000)
    await asyncio.gather(*(found.get(f"{number}") for number in range(1200)))
    assert [len(query) for query in table.queries] == [500, 500, 200]


async def test_a_caller_that_leaves_takes_nothing_from_the_others(table: Rows) -> None:
    found = table.lookups()
    table.answers.clear()
    leaving, staying = (asyncio.create_task(found.get("a")) for _ in range(2))
    await until_asked(table)
    leaving.cancel()
    await asyncio.wait([leaving])
    table.answers.set()
    assert await staying == 1


async def test_absent_keys_are_remembered_up_to_a_limit_and_push_out_nothing(table: Rows) -> None:
    found = table.lookups(most_kept=10)
    assert await found.get("a") == 1
    for number in range(100):
        assert await found.get(f"absent {number}") is None
    table.queries.clear()
    assert (await found.get("a"), await found.get("absent 99")) == (1, None)
    assert table.queries == []
    assert len(found._absent) == 10


async def test_values_are_kept_up_to_their_weight(table: Rows) -> None:
    found = Lookups(table.read, outage_seconds=600, most_kept=10, weight=lambda value: value, clock=lambda: table.now)
    table.values = {"heavy": 6, "light": 1, "other": 5}
    for key in ("heavy", "light", "other"):
        await found.get(key)
    assert set(found._existing) == {"light", "other"}
    await found.get("heavy")
    assert found._kept_weight == 6
    assert set(found._existing) == {"heavy"}


async def test_a_value_older_than_the_request_is_read_again(table: Rows) -> None:
    found = table.lookups()
    assert await found.get("a") == 1
    table.values["a"] = 7
    table.now += 0.1
    assert await found.get_since("a", table.now) == 7


async def test_a_key_is_read_again_at_most_once_a_second(table: Rows) -> None:
    found = table.lookups()
    began_at = table.now
    for times in range(1, 6):
        table.values["a"] = times
        assert await found.get_since("a", table.now) == times
        table.now += 0.001
    assert table.now - began_at >= 4 * REREAD_SECONDS


async def test_a_read_that_began_before_the_request_is_not_enough(table: Rows) -> None:
    found = table.lookups()
    table.answers.clear()
    early = asyncio.create_task(found.get("a"))
    await until_asked(table)
    table.values["a"] = 7
    table.now += 0.1
    late = asyncio.create_task(found.get_since("a", table.now))
    await asyncio.wait([late], timeout=0.02)
    table.answers.set()
    assert (await early, await late) == (1, 7)


async def test_during_an_outage_old_values_count_until_they_are_too_old(table: Rows) -> None:
    found = table.lookups()
    assert (await found.get("a"), await found.get("absent")) == (1, None)
    table.is_away = True
    table.now += 599
    assert (await found.get("a"), await found.get("absent")) == (1, None)
    with pytest.raises(errors.DatabaseUnavailable):
        await found.get("b")
    with pytest.raises(errors.DatabaseUnavailable):
        await found.get_since("a", table.now)
    table.now += 1
    with pytest.raises(errors.DatabaseUnavailable):
        await found.get("a")


async def test_a_database_that_hangs_holds_nobody_who_has_something_to_fall_back_on(
    table: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "_PATIENCE_SECONDS", 0.01)
    found = table.lookups()
    assert await found.get("a") == 1
    table.answers.clear()
    table.now += 60
    assert await found.get("a") == 1
    table.answers.set()


async def test_after_a_fault_the_next_request_reads_again(table: Rows) -> None:
    found = table.lookups()
    table.is_away = True
    with pytest.raises(errors.DatabaseUnavailable):
        await found.get("a")
    table.is_away = False
    assert await found.get("a") == 1


async def test_what_is_put_takes_the_place_of_what_was_read_and_is_as_old(table: Rows) -> None:
    found = table.lookups()
    assert await found.get("a") == 1
    table.now += 3
    found.put("a", 9)
    assert await found.get("a") == 9
    table.now += 2.1
    assert await found.get("a") == 1
    found.put("never read", 3)
    assert await found.get("never read") is None
