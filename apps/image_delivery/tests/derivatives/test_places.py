"""Who has a place among the workers, in which order, and who is refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from image_core import errors
from image_core.ids import new_id
from image_delivery.derivatives.places import MOST_PER_IMAGE, Places


class Work:
    """Pictures that are in work until they are let go, by name in the order in which they were begun."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.begun: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def add(self, name: str, team_id: UUID, image_id: UUID | None = None) -> None:
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._run(name, team_id, image_id or new_id()))
        await turn()

    async def _run(self, name: str, team_id: UUID, image_id: UUID) -> None:
        async with self.places.place(team_id, image_id):
            self.begun.append(name)
            await self._ends[name].wait()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self.tasks[name]
        await turn()


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def working(count: int, deadline_seconds: float = 60) -> AsyncIterator[Work]:
    work = Work(Places(count, deadline_seconds))
    yield work
    for task in work.tasks.values():
        task.cancel()
    await asyncio.gather(*work.tasks.values(), return_exceptions=True)
    assert work.places._by_team.total() == work.places.waiting == 0


async def test_places_are_given_in_the_order_of_arrival() -> None:
    async with working(3) as work:
        team_id = new_id()
        for name in "abcd":
            await work.add(name, team_id)
        assert work.begun == ["a", "b"]
        await work.end("b")
        assert work.begun == ["a", "b", "c"]


async def test_a_team_holds_all_places_but_one() -> None:
    async with working(3) as work:
        flood, other = new_id(), new_id()
        for name in ("f1", "f2", "f3", "f4"):
            await work.add(name, flood)
        await work.add("o1", other)
        assert work.begun == ["f1", "f2", "o1"]


async def test_teams_take_turns() -> None:
    async with working(2) as work:
        flood, other, third = new_id(), new_id(), new_id()
        for name in ("f1", "f2", "f3", "f4"):
            await work.add(name, flood)
        for name in ("o1", "o2"):
            await work.add(name, other)
        await work.add("t1", third)
        while len(work.begun) < 7:
            await work.end(next(name for name in work.begun if not work.tasks[name].done()))
        assert work.begun == ["f1", "o1", "f2", "o2", "t1", "f3", "f4"]


async def test_one_image_holds_no_more_than_its_share() -> None:
    async with working(5) as work:
        team_id, image_id = new_id(), new_id()
        for number in range(MOST_PER_IMAGE + 1):
            await work.add(f"same {number}", team_id, image_id)
        await work.add("other", team_id)
        assert work.begun == ["same 0", "same 1", "other"]
        await work.end("same 0")
        assert work.begun[-1] == "same 2"


async def test_one_place_is_for_everybody() -> None:
    async with working(1) as work:
        await work.add("a", new_id())
        assert work.begun == ["a"]


async def test_a_queue_that_is_too_long_is_refused_at_once_to_its_own_team_alone() -> None:
    async with working(1, deadline_seconds=2) as work:
        flood, other = new_id(), new_id()
        # At half a second each, as long as nothing has been made.
        for number in range(20):
            await work.add(f"{number}", flood)
        refused = [task for task in work.tasks.values() if task.done()]
        assert len(refused) == 14
        for task in refused:
            error = task.exception()
            assert isinstance(error, errors.DeliveryBusy)
            assert error.retry_after_seconds == 3
        await work.add("other", other)
        assert not work.tasks["other"].done()


async def test_what_was_made_tells_how_long_the_next_will_take() -> None:
    async with working(1, deadline_seconds=2) as work:
        work.places._estimate_seconds = 100
        await work.add("a", new_id())
        await work.end("a")
        assert 70 < work.places._estimate_seconds < 90


async def test_whoever_waits_too_long_is_refused() -> None:
    async with working(1, deadline_seconds=0.05) as work:
        work.places._estimate_seconds = 0
        team_id = new_id()
        await work.add("a", team_id)
        await work.add("b", team_id)
        with pytest.raises(errors.DeliveryBusy):
            await work.tasks["b"]
        assert work.places.waiting == 0


async def test_those_who_would_be_late_are_refused_as_soon_as_pictures_turn_out_to_take_longer() -> None:
    async with working(1, deadline_seconds=4) as work:
        team_id = new_id()
        for name in "abcdefgh":
            await work.add(name, team_id)
        assert not any(task.done() for task in work.tasks.values())
        # As if the first had taken five seconds: three more fit into four seconds at 1.4 s each.
        work.places._estimate_seconds = 1.75
        await work.end("a")
        assert [name for name, task in work.tasks.items() if task.done()] == ["a", "e", "f", "g", "h"]
        for name in "efgh":
            error = work.tasks[name].exception()
            assert isinstance(error, errors.DeliveryBusy)
            assert error.retry_after_seconds is not None
            assert error.retry_after_seconds > 4
        assert work.places.waiting == 2
        for name in "bcd":
            await work.end(name)
        assert work.begun == ["a", "b", "c", "d"]


async def test_whoever_leaves_gives_place_and_turn_to_others() -> None:
    async with working(1) as work:
        for name in "abc":
            await work.add(name, new_id())
        work.tasks["b"].cancel()
        await turn()
        work.tasks["a"].cancel()
        await turn()
        assert work.begun == ["a", "c"]


async def test_whoever_leaves_as_a_place_is_given_loses_none() -> None:
    async with working(1) as work:
        for name in "abc":
            await work.add(name, new_id())
        work._ends["a"].set()
        await asyncio.sleep(0)
        work.tasks["b"].cancel()
        await turn()
        assert work.begun[-1] == "c"


async def test_all_teams_together_wait_in_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_delivery.derivatives.places._MOST_WAITING", 2)
    async with working(1) as work:
        for name in "abcd":
            await work.add(name, new_id())
        assert [name for name, task in work.tasks.items() if task.done()] == ["d"]
        assert isinstance(work.tasks["d"].exception(), errors.DeliveryBusy)
