"""Every item of an operation is done once, whatever happens to the workers, and none after a cancellation."""

import asyncio
import dataclasses
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from image_api.operations import claims, ending, queries, service
from image_api.operations import tasks as operations
from image_api.operations.items import Item, Operation, Outcome, in_progress
from image_api.operations.kinds import Filled
from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import Budget
from image_core import errors, models, testing
from image_core.db import Transaction
from image_core.events import Message, Topic
from image_core.ids import new_id

from ..housekeeping import PAST, Tasks
from .counting import Counting, Dies, Operations, actor_of, dies_at
from .killed_worker import KilledWorker

ONCE_EACH = Counter(range(1, 8))
FINISHED = "operation.finished"


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns of one item."""
    monkeypatch.setattr(operations, "TURN_SECONDS", 0.0)


class TestOnce:
    async def test_items_are_found_and_done_and_the_end_is_announced(self, work: Operations) -> None:
        operation_id = await work.begin(7)
        assert await work.run(Counting(price=1)) == 14
        assert await work.counts(operation_id) == ("succeeded", 7, 7, 0)
        assert await work.effects(operation_id) == ONCE_EACH
        row = await work.row(operation_id)
        assert (row["size_bytes"], row["estimated_credits"], row["spent_credits"]) == (70, 7, 7)
        assert row["started_at"] < row["finished_at"]
        assert await work.told(operation_id) == [(FINISHED, "succeeded")]

    async def test_events_of_items_are_published_together(
        self, work: Operations, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await work.begin(7, given=True)
        publisher, sent = work.tasks.parts.publisher, []
        really = publisher.publish

        async def publish(topic: Topic, messages: Sequence[Message], timeout_seconds: float) -> None:
            sent.append([each.attributes["event_type"] for each in messages])
            await really(topic, messages, timeout_seconds)

        monkeypatch.setattr(publisher, "publish", publish)
        # What is done before an item that kills the worker is published as well.
        with pytest.raises(Dies):
            await work.run(Counting(dies_at("effect", 4), tells=True))
        await work.run(Counting(tells=True))
        low = "delivery.quota_low"
        assert [len(each) for each in sent if low in each] == [3, 1, 1, 1, 1]
        assert [is_published for kind, is_published in await work.tasks.events() if kind == low] == [True] * 7

    async def test_without_any_item_it_has_succeeded(self, work: Operations) -> None:
        found, given = await work.begin(0), await work.begin(0, given=True)
        await work.run(Counting())
        for operation_id in (found, given):
            assert await work.counts(operation_id) == ("succeeded", 0, 0, 0)
            assert await work.told(operation_id) == [(FINISHED, "succeeded")]

    @pytest.mark.parametrize(
        ("step", "position"), [("fill", 0), ("fill", 3), ("effect", 1), ("effect", 5), ("mark", 5)]
    )
    async def test_a_worker_that_dies_leaves_nothing_out_and_does_nothing_twice(
        self, work: Operations, step: str, position: int
    ) -> None:
        operation_id = await work.begin(7)
        kind = Counting(dies_at(step, position))
        with pytest.raises(Dies):
            await work.run(kind)
        # The next run takes the dead worker's items over.
        await work.run(kind)
        assert await work.effects(operation_id) == ONCE_EACH
        assert await work.counts(operation_id) == ("succeeded", 7, 7, 0)

    async def test_two_workers_at_once_do_each_item_once(self, work: Operations) -> None:
        operation_ids = [await work.begin(20, given=True), await work.begin(20)]
        await asyncio.gather(*(work.run(Counting()) for _ in range(3)))
        await work.run(Counting())
        for operation_id in operation_ids:
            assert await work.effects(operation_id) == Counter(range(1, 21))
            assert (await work.told(operation_id)).count((FINISHED, "succeeded")) == 1

    @pytest.mark.usefixtures("one_at_a_time")
    async def test_whoever_has_lost_a_claim_does_nothing(self, work: Operations) -> None:
        """The first worker is slow at an item, and another run of the step takes that one over."""
        operation_id = await work.begin(3, given=True)

        async def overtaken() -> None:
            await work.run(Counting(), seconds=0)
            assert await work.effects(operation_id) == Counter([1, 2])
            assert (await work.row(operation_id))["status"] == "running"

        slow = Counting(lambda step, position: overtaken() if (step, position) == ("prepare", 2) else None)
        await work.run(slow)
        assert await work.effects(operation_id) == Counter([1, 2])
        await work.run(Counting())
        assert await work.effects(operation_id) == Counter([1, 2, 3])

    async def test_claims_are_kept_from_the_same_run_and_taken_over_by_the_next(self, work: Operations) -> None:
        operation_id = await work.begin(3, given=True)

        async def claim(run_began_at: datetime) -> list[int]:
            async with work.tasks.rows.transaction() as transaction:
                rows = await claims.claim(transaction, operation_id, new_id(), run_began_at, 2)
            return [row["position"] for row in rows]

        first = await queries.now(work.tasks.rows)
        assert [await claim(first), await claim(first), await claim(first)] == [[1, 2], [3], []]
        assert await claim(await queries.now(work.tasks.rows)) == [1, 2]


async def test_a_worker_that_is_told_to_stop_gives_back_what_it_has_not_begun(work: Operations) -> None:
    operation_id, stopping = await work.begin(4, given=True), False

    def told(step: str, position: int) -> None:
        nonlocal stopping
        stopping = stopping or (step, position) == ("mark", 2)

    parts = dataclasses.replace(work.tasks.parts, is_stopping=lambda: stopping)
    budget = Budget("operations", 30, parts.is_stopping)
    assert await operations.step({"counting": Counting(told)})(parts, budget) == 2
    item = models.operation_item.c
    rows = await work.tasks.rows.fetch(
        select(item.state, item.attempts, item.lease).where(item.operation_id == operation_id).order_by(item.position)
    )
    assert [tuple(row) for row in rows] == [("done", 1, None)] * 2 + [("waiting", 0, None)] * 2


async def test_a_worker_may_be_killed_between_any_two_statements(work: Operations, killed_worker: KilledWorker) -> None:
    for number in itertools.count(1):
        operation_id = await work.begin(4)
        was_killed = await asyncio.to_thread(killed_worker.run, number)
        # The database may take a moment to see that the killed worker's transaction has ended.
        while (await work.row(operation_id))["finished_at"] is None:
            await work.run(Counting(over={1, 2, 3, 4}))
        assert await work.effects(operation_id) == Counter([1, 2, 3, 4]), number
        assert await work.counts(operation_id) == ("succeeded", 4, 4, 0), number
        assert (await work.told(operation_id)).count((FINISHED, "succeeded")) == 1, number
        if not was_killed:
            break
    # Items are found in two chunks, claimed, run, settled, and counted.
    assert number > 40


class TestFailures:
    async def test_items_that_are_refused_are_counted_and_the_rest_is_done(self, work: Operations) -> None:
        operation_id = await work.begin(7)
        await work.run(Counting(refuses=frozenset({2, 6})))
        assert await work.counts(operation_id) == ("succeeded", 7, 5, 2)
        failures = await service.list_failures(
            work.tasks.rows, actor_of(new_id(), (await work.row(operation_id))["team_id"]), operation_id, 2
        )
        assert [(row["position"], row["code"], row["detail"]) for row in failures] == [
            (6, "duplicate-exists", "There is one already.")
        ]

    async def test_an_item_that_keeps_breaking_is_given_up_and_stops_no_other(self, work: Operations) -> None:
        operation_id, tried = await work.begin(4, given=True), Counter[int]()

        def broken(step: str, position: int) -> None:
            tried[position] += step == "effect"
            if (step, position) == ("mark", 2):
                raise ZeroDivisionError

        for _ in range(6):
            await work.run(Counting(broken))
        assert await work.counts(operation_id) == ("succeeded", 4, 3, 1)
        assert tried == {1: 1, 2: operations.MOST_ATTEMPTS, 3: 1, 4: 1}

    async def test_an_item_that_kills_its_worker_is_given_up_and_takes_no_other_with_it(self, work: Operations) -> None:
        operation_id = await work.begin(4, given=True)

        def deadly(step: str, position: int) -> None:
            if (step, position) == ("effect", 2):
                raise Dies

        for _ in range(operations.MOST_ATTEMPTS):
            with pytest.raises(Dies):
                await work.run(Counting(deadly))
        await work.run(Counting(deadly))
        assert await work.counts(operation_id) == ("succeeded", 4, 3, 1)
        assert await work.effects(operation_id) == Counter([1, 3, 4])

    async def test_while_a_part_of_ours_is_away_items_wait(self, work: Operations) -> None:
        operation_id = await work.begin(3, given=True)

        def away(step: str, position: int) -> None:
            if (step, position) == ("effect", 2):
                raise errors.StorageUnavailable

        for _ in range(operations.MOST_ATTEMPTS + 1):
            await work.run(Counting(away))
        assert await work.effects(operation_id) == Counter([1])
        await work.run(Counting())
        assert await work.counts(operation_id) == ("succeeded", 3, 3, 0)

    async def test_a_search_for_items_that_fails_ends_the_operation(self, work: Operations) -> None:
        def refused(step: str, _position: int) -> None:
            if step == "fill":
                raise errors.FilterUnknown("There is no such field.")

        operation_id = await work.begin(3)
        await work.run(Counting(refused))
        row = await work.row(operation_id)
        assert (row["status"], row["failure_code"]) == ("failed", "filter-unknown")
        assert await work.told(operation_id) == [(FINISHED, "failed")]

    async def test_it_ends_when_the_key_that_began_it_is_revoked(self, work: Operations) -> None:
        operation_id, other = await work.begin(3), await work.begin(3)
        table, key = models.credential, (await work.row(operation_id))["credential_id"]
        # A new key for the same credential, or its expiry, say nothing against what was begun before.
        await work.tasks.rows.execute(update(table).where(table.c.id == key).values(rotated_at=PAST, expires_at=PAST))
        await work.run(Counting(), seconds=0)
        assert (await work.row(operation_id))["failure_code"] is None
        await work.tasks.rows.execute(update(table).where(table.c.id == key).values(revoked_at=func.now()))
        await work.run(Counting())
        row = await work.row(operation_id)
        assert (row["status"], row["failure_code"], await work.effects(operation_id)) == (
            "failed", "key-revoked", Counter(),
        )  # fmt: skip
        assert (await work.row(other))["status"] == "succeeded"

    async def test_it_ends_when_its_creator_has_no_access_any_more(self, work: Operations) -> None:
        operation_id = await work.begin(3)
        await work.tasks.rows.execute(update(models.user).values(disabled_at=PAST))
        await work.run(Counting())
        row = await work.row(operation_id)
        assert (row["status"], row["failure_code"], await work.effects(operation_id)) == (
            "failed", "creator-removed", Counter(),
        )  # fmt: skip


class TestCredits:
    class Spending(Counting):
        spends_credits = True

    async def test_a_budget_is_spent_item_by_item_and_never_exceeded(self, work: Operations) -> None:
        operation_id = await work.begin(4, given=True, budget=5)
        await asyncio.gather(*(work.run(self.Spending(price=2)) for _ in range(2)))
        row = await work.row(operation_id)
        assert (row["status"], row["failure_code"], row["spent_credits"]) == ("failed", "budget-exhausted", 4)
        assert await work.counts(operation_id) == ("failed", 4, 2, 0)
        assert await balance_of(work, row["team_id"]) == testing.STARTING_CREDITS - 4

    async def test_without_credits_it_cannot_go_on(self, work: Operations) -> None:
        operation_id = await work.begin(4, given=True)
        price = testing.STARTING_CREDITS // 2
        await work.run(self.Spending(price=price))
        row = await work.row(operation_id)
        assert (row["status"], row["failure_code"]) == ("failed", "credits-exhausted")
        assert (row["done"], await balance_of(work, row["team_id"])) == (2, 0)


async def balance_of(work: Operations, team_id: UUID) -> int:
    """The credits that a team has left."""
    account = models.credit_account
    return int(await work.tasks.rows.fetch_value(select(account.c.balance).where(account.c.team_id == team_id)))


class TestCancelling:
    async def test_nothing_happens_once_a_cancellation_has_answered(self, work: Operations) -> None:
        operation_id = await work.begin(7, given=True)
        cancelling: list[asyncio.Task[object]] = []

        async def cancel() -> None:
            cancelling.append(asyncio.create_task(work.cancel(operation_id)))
            await testing.wait_for_lock_waiter(work.tasks.rows)

        await work.run(Counting(lambda step, position: cancel() if (step, position) == ("mark", 3) else None))
        await cancelling[0]
        # The item that was being done when the cancellation arrived had its effect before it answered; so may the next
        # one, which asks for the row as soon as it is free.
        done = await work.effects(operation_id)
        assert done in (Counter([1, 2, 3]), Counter([1, 2, 3, 4]))
        await work.run(Counting())
        assert await work.effects(operation_id) == done
        assert await work.counts(operation_id) == ("cancelled", 7, len(done), 0)
        assert await work.told(operation_id) == [(FINISHED, "cancelled")]

    async def test_while_its_items_are_found(self, work: Operations) -> None:
        operation_id = await work.begin(7)

        async def cancel() -> None:
            await work.cancel(operation_id)

        await work.run(Counting(lambda step, position: cancel() if (step, position) == ("fill", 3) else None))
        assert await work.counts(operation_id) == ("cancelled", 3, 0, 0)
        assert await work.effects(operation_id) == Counter()

    async def test_is_repeated_without_effect_and_refused_after_the_end(self, work: Operations) -> None:
        cancelled, over = await work.begin(1), await work.begin(1)
        for _ in range(2):
            assert (await work.cancel(cancelled))["status"] == "cancelled"
        await work.run(Counting())
        with pytest.raises(errors.OperationFinished):
            await work.cancel(over)
        assert await work.told(cancelled) == [(FINISHED, "cancelled")]


class TestInProgress:
    class Processed(Counting):
        uses_processor = True

    async def test_few_are_with_the_processor_at_once(self, work: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(claims, "MOST_IN_PROGRESS", 5)
        operation_ids = [await work.begin(7, given=True) for _ in range(2)]
        kind = self.Processed(over=set())
        for _ in range(3):
            await work.run(kind)
        # Each has its share.
        assert [len(await work.effects(operation_id)) for operation_id in operation_ids] == [2, 2]
        for _ in range(6):
            kind.over |= set(range(1, 8))
            await work.run(kind)
        for operation_id in operation_ids:
            assert await work.counts(operation_id) == ("succeeded", 7, 7, 0)

    async def test_is_finished_and_counted_after_a_cancellation(self, work: Operations) -> None:
        operation_id = await work.begin(3, given=True)
        kind = self.Processed(over=set())
        await work.run(kind)
        assert (await work.cancel(operation_id))["finished_at"] is None
        assert await work.told(operation_id) == []
        kind.over |= {1, 2, 3}
        await work.run(kind)
        assert await work.counts(operation_id) == ("cancelled", 3, 3, 0)
        assert await work.told(operation_id) == [(FINISHED, "cancelled")]

    @pytest.mark.parametrize("is_cancelled", [False, True])
    async def test_is_finished_and_counted_after_its_creator_has_lost_access(
        self, work: Operations, is_cancelled: bool
    ) -> None:
        operation_id = await work.begin(3, given=True)
        kind = self.Processed(over={1})
        await work.run(kind)
        if is_cancelled:
            await work.cancel(operation_id)
        await work.tasks.rows.execute(update(models.user).values(disabled_at=PAST))
        # It ends at once; waiting for the processor is no work, so the run ends as well.
        assert await work.run(kind) <= 2
        assert await work.run(kind) == 0
        row = await work.row(operation_id)
        status = "cancelled" if is_cancelled else "failed"
        assert (row["status"], row["done"], row["finished_at"]) == (status, 1, None)
        kind.over |= {2, 3}
        await work.run(kind)
        assert await work.counts(operation_id) == (status, 3, 3, 0)
        assert await work.told(operation_id) == [(FINISHED, status)]


class TestTurns:
    @pytest.mark.usefixtures("one_at_a_time")
    async def test_teams_take_turns_and_then_their_operations(self, work: Operations) -> None:
        large = await work.begin(9, given=True)
        team_id = (await work.row(large))["team_id"]
        second = await work.begin(3, given=True, team_id=team_id)
        small = await work.begin(3, given=True)
        kind = Counting()
        await work.run(kind)
        names = {large: "L", second: "S", small: "x"}
        assert "".join(names[operation_id] for operation_id, _ in kind.order) == "LxSxLxSLSLLLLLL"

    @pytest.mark.parametrize("where", ["fill", "settle"])
    async def test_an_operation_that_breaks_keeps_nobody(self, work: Operations, where: str) -> None:
        broken, sound = await work.begin(3, given=where == "settle"), await work.begin(7, given=True)

        class Breaking(Counting):
            async def fill(self, parts: TaskParts, operation: Operation) -> Filled:
                raise RuntimeError

            async def run_item(
                self, parts: TaskParts, transaction: Transaction, operation: Operation, item: Item
            ) -> Outcome:
                done = await super().run_item(parts, transaction, operation, item)
                return in_progress(operation.id) if operation.id == broken else done

            async def settle(
                self, parts: TaskParts, operation: Operation, items: Sequence[Item]
            ) -> Mapping[int, Outcome]:
                raise RuntimeError

        for _ in range(2):
            await work.run(Breaking())
        assert await work.counts(sound) == ("succeeded", 7, 7, 0)
        for _ in range(2):
            await work.run(Counting(over={1, 2, 3}))
        assert (await work.row(broken))["status"] == "succeeded"

    async def test_an_operation_of_another_release_keeps_nobody(self, work: Operations) -> None:
        unknown, known = await work.begin(1), await work.begin(1)
        await work.tasks.rows.execute(
            update(models.operation).where(models.operation.c.id == unknown).values(kind="of another release")
        )
        await work.run(Counting())
        assert [(await work.row(each))["status"] for each in (unknown, known)] == ["estimating", "succeeded"]

    async def test_progress_is_announced_at_most_once_in_five_seconds(
        self, work: Operations, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(operations, "TURN_SECONDS", 0.0)
        operation_id = await work.begin(3, given=True)
        await work.run(Counting(), seconds=0)
        assert await work.told(operation_id) == []
        await work.tasks.let_time_pass(models.operation, "counted_at")
        for _ in range(2):
            await work.run(Counting(), seconds=0)
        assert (await work.told(operation_id))[0] == ("operation.progressed", "running")
        assert ending.PROGRESS_EVERY.total_seconds() == 5


async def test_operations_without_a_turn_are_reported(
    tasks: Tasks, work: Operations, caplog: pytest.LogCaptureFixture
) -> None:
    operation_id = await work.begin(1)
    assert (await tasks.sweep())["operations_stuck"] == 0
    await tasks.let_time_pass(models.operation, "served_at")
    assert (await tasks.sweep())["operations_stuck"] == 1
    assert "operations_stuck" in [record.message for record in caplog.records]
    await work.cancel(operation_id)
    assert (await tasks.sweep())["operations_stuck"] == 0


async def test_operations_are_forgotten_a_month_after_their_end(tasks: Tasks, work: Operations) -> None:
    old, young, unfinished = [await work.begin(2) for _ in range(3)]
    for operation_id in (old, young):
        await work.cancel(operation_id)
    table = models.operation
    await tasks.rows.execute(update(table).where(table.c.id != young).values(created_at=PAST))
    await tasks.rows.execute(update(table).where(table.c.id == old).values(finished_at=PAST))
    await tasks.sweep()
    rows = await tasks.rows.fetch(select(table.c.id).order_by(table.c.id))
    assert [row["id"] for row in rows] == [young, unfinished]
