"""The account of credits, with the rights that each service has, on a real PostgreSQL."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, func, insert, select, update

from image_core import errors, testing
from image_core.billing import credits
from image_core.billing.credits import EntryKind, RefillPeriod, ReservationStatus
from image_core.db import Database, DatabaseConfig, Record
from image_core.models import credit_account, credit_entry, credit_reservation, event, team

ENDED = (ReservationStatus.COMMITTED, ReservationStatus.REFUNDED, ReservationStatus.LAPSED)


@pytest.fixture
async def api(urls: Any) -> AsyncIterator[Database]:
    made = Database(DatabaseConfig(url=urls.api, pool_size=20, acquire_timeout_seconds=30))
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def processor(urls: Any) -> AsyncIterator[Database]:
    made = Database(DatabaseConfig(url=urls.processor, pool_size=4, acquire_timeout_seconds=30))
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def tasks(urls: Any) -> AsyncIterator[Database]:
    made = Database(DatabaseConfig(url=urls.tasks, pool_size=4, acquire_timeout_seconds=30))
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def team_id(rows: Database) -> UUID:
    return await testing.add_team(rows)


async def reserve(database: Database, team_id: UUID, amount: int = 100) -> UUID:
    async with database.transaction() as transaction:
        return await credits.reserve(transaction, team_id, amount, "analyze skin")


async def settle(database: Database, how: Any, reservation_id: UUID) -> ReservationStatus | None:
    async with database.transaction() as transaction:
        status: ReservationStatus | None = await how(transaction, reservation_id)
        return status


async def change(database: Database, team_id: UUID, kind: EntryKind, amount: int) -> Record:
    async with database.transaction() as transaction:
        return await credits.change_balance(transaction, team_id, kind, amount)


async def set_account(rows: Database, team_id: UUID, **columns: Any) -> None:
    await rows.execute(update(credit_account).where(credit_account.c.team_id == team_id).values(**columns))


async def balance_of(rows: Database, team_id: UUID) -> tuple[int, int]:
    found = await credits.find_account(rows, team_id)
    assert found is not None
    return found["balance"], found["reserved"]


async def ledger(rows: Database, team_id: UUID) -> list[tuple[str, int, int]]:
    """Kind, amount and balance of each entry, oldest first."""
    found = await rows.fetch(
        select(credit_entry)
        .where(credit_entry.c.team_id == team_id)
        .order_by(credit_entry.c.created_at, credit_entry.c.id)
    )
    return [(row["kind"], row["amount"], row["balance_after"]) for row in found]


async def assert_ledger_balances(rows: Database, team_id: UUID) -> None:
    entries, total = await ledger(rows, team_id), 0
    for _, amount, balance_after in entries:
        total += amount
        assert total == balance_after >= 0
    assert total == (await balance_of(rows, team_id))[0]


async def told(rows: Database) -> list[Any]:
    found = await rows.fetch(select(event.c.payload).where(event.c.type == "quota.low").order_by(event.c.created_at))
    return [orjson.loads(row["payload"]) for row in found]


class TestReservations:
    async def test_what_is_reserved_is_gone_from_the_balance_at_once(
        self, api: Database, rows: Database, team_id: UUID
    ) -> None:
        await reserve(api, team_id, 300)
        assert await balance_of(rows, team_id) == (700, 300)
        assert await ledger(rows, team_id) == [("opened", 1000, 1000), ("reserved", -300, 700)]

    async def test_fifty_at_once_cannot_overspend(self, api: Database, rows: Database, team_id: UUID) -> None:
        answers = await asyncio.gather(*(reserve(api, team_id, 30) for _ in range(50)), return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, errors.CreditsExhausted)]
        assert len(answers) - len(refused) == sum(isinstance(answer, UUID) for answer in answers) == 33
        assert await balance_of(rows, team_id) == (10, 990)
        await assert_ledger_balances(rows, team_id)

    async def test_the_last_credit_can_be_spent(self, api: Database, rows: Database, team_id: UUID) -> None:
        await reserve(api, team_id, 1000)
        assert await balance_of(rows, team_id) == (0, 1000)

    async def test_a_refusal_says_what_there_is_and_what_it_costs(self, api: Database, team_id: UUID) -> None:
        with pytest.raises(errors.CreditsExhausted) as refused:
            await reserve(api, team_id, 1001)
        assert refused.value.extra == {"balance": 1000, "price": 1001}
        assert refused.value.retry_after_seconds is None

    async def test_a_refusal_says_when_the_next_refill_comes(
        self, api: Database, rows: Database, team_id: UUID
    ) -> None:
        soon = datetime.now(UTC) + timedelta(seconds=90)
        await set_account(rows, team_id, refill_amount=1, refill_mode="add", refill_period="day", next_refill_at=soon)
        with pytest.raises(errors.CreditsExhausted) as refused:
            await reserve(api, team_id, 1001)
        assert refused.value.extra["next_refill_at"] == soon
        assert 60 < (refused.value.retry_after_seconds or 0) <= 91

    async def test_a_reservation_that_is_rolled_back_never_was(
        self, api: Database, rows: Database, team_id: UUID
    ) -> None:
        with pytest.raises(RuntimeError):
            async with api.transaction() as transaction:
                await credits.reserve(transaction, team_id, 300, "analyze skin")
                raise RuntimeError
        assert await balance_of(rows, team_id) == (1000, 0)
        assert await ledger(rows, team_id) == [("opened", 1000, 1000)]

    async def test_without_a_team_there_is_nothing_to_spend(self, api: Database) -> None:
        with pytest.raises(errors.CreditsExhausted):
            await reserve(api, testing.new_id(), 1)


class TestSettling:
    @pytest.mark.parametrize("service", ["api", "processor"])
    async def test_a_commit_keeps_the_credits_once(
        self, api: Database, processor: Database, rows: Database, team_id: UUID, service: str
    ) -> None:
        reservation_id = await reserve(api, team_id)
        settling = {"api": api, "processor": processor}[service]
        for _ in range(2):
            assert await settle(settling, credits.commit, reservation_id) is ReservationStatus.COMMITTED
        assert await settle(settling, credits.refund, reservation_id) is ReservationStatus.COMMITTED
        assert await balance_of(rows, team_id) == (900, 0)
        assert await ledger(rows, team_id) == [("opened", 1000, 1000), ("reserved", -100, 900)]

    @pytest.mark.parametrize("service", ["api", "processor"])
    async def test_a_refund_gives_them_back_once(
        self, api: Database, processor: Database, rows: Database, team_id: UUID, service: str
    ) -> None:
        reservation_id = await reserve(api, team_id)
        settling = {"api": api, "processor": processor}[service]
        for _ in range(2):
            assert await settle(settling, credits.refund, reservation_id) is ReservationStatus.REFUNDED
        assert await settle(settling, credits.commit, reservation_id) is ReservationStatus.REFUNDED
        assert await balance_of(rows, team_id) == (1000, 0)
        assert [entry[0] for entry in await ledger(rows, team_id)] == ["opened", "reserved", "refunded"]

    async def test_work_that_comes_after_the_lapse_costs_nothing_and_is_told_so(
        self, api: Database, processor: Database, rows: Database, team_id: UUID
    ) -> None:
        reservation_id = await reserve(api, team_id)
        assert await settle(processor, credits.lapse, reservation_id) is ReservationStatus.LAPSED
        assert await settle(api, credits.commit, reservation_id) is ReservationStatus.LAPSED
        assert await balance_of(rows, team_id) == (1000, 0)

    @pytest.mark.parametrize("round_", range(5))
    async def test_whoever_settles_first_decides(
        self, api: Database, rows: Database, team_id: UUID, round_: int
    ) -> None:
        reservation_id = await reserve(api, team_id)
        ways = [credits.commit, credits.refund, credits.lapse] * 3
        random.Random(round_).shuffle(ways)
        stands = set(await asyncio.gather(*(settle(api, how, reservation_id) for how in ways)))
        assert len(stands) == 1
        assert stands <= set(ENDED)
        paid = stands == {ReservationStatus.COMMITTED}
        assert await balance_of(rows, team_id) == (900 if paid else 1000, 0)
        await assert_ledger_balances(rows, team_id)

    async def test_with_its_team_a_reservation_is_gone(self, api: Database, rows: Database, team_id: UUID) -> None:
        reservation_id = await reserve(api, team_id)
        await rows.execute(delete(team).where(team.c.id == team_id))
        assert await settle(api, credits.commit, reservation_id) is None
        assert await settle(api, credits.refund, reservation_id) is None
        assert await ledger(rows, team_id) == []


async def test_the_ledger_balances_whatever_happens_at_once(api: Database, rows: Database, team_id: UUID) -> None:
    dice = random.Random(7)

    async def one(kind: int, amount: int) -> None:
        try:
            if kind < 3:
                await change(api, team_id, (EntryKind.SET, EntryKind.ADD, EntryKind.SUBTRACT)[kind], amount)
                return
            reservation_id = await reserve(api, team_id, amount)
            if kind > 3:
                await settle(api, (credits.commit, credits.refund, credits.lapse)[kind % 3], reservation_id)
        except (errors.CreditsExhausted, errors.BalanceTooLow):
            pass

    await asyncio.gather(*(one(dice.randrange(9), dice.randrange(1, 600)) for _ in range(150)))
    await assert_ledger_balances(rows, team_id)
    open_amount = await rows.fetch_value(
        select(func.sum(credit_reservation.c.amount)).where(credit_reservation.c.status == "reserved")
    )
    assert (await balance_of(rows, team_id))[1] == (open_amount or 0)


class TestChanges:
    async def test_a_balance_is_set_added_to_and_subtracted_from(
        self, api: Database, rows: Database, team_id: UUID
    ) -> None:
        for kind, amount, balance in [(EntryKind.ADD, 5, 1005), (EntryKind.SUBTRACT, 1005, 0), (EntryKind.SET, 7, 7)]:
            assert (await change(api, team_id, kind, amount))["balance_after"] == balance
        assert await ledger(rows, team_id) == [
            ("opened", 1000, 1000), ("add", 5, 1005), ("subtract", -1005, 0), ("set", 7, 7),
        ]  # fmt: skip

    async def test_more_than_there_is_cannot_be_subtracted(self, api: Database, rows: Database, team_id: UUID) -> None:
        with pytest.raises(errors.BalanceTooLow):
            await change(api, team_id, EntryKind.SUBTRACT, 1001)
        assert await ledger(rows, team_id) == [("opened", 1000, 1000)]

    async def test_a_team_that_an_older_version_made_gets_an_empty_account(self, api: Database, rows: Database) -> None:
        team_id = testing.new_id()
        await rows.execute(insert(team).values(id=team_id, name="made before"))
        assert await balance_of(rows, team_id) == (0, 0)
        await change(api, team_id, EntryKind.ADD, 5)
        assert await ledger(rows, team_id) == [("opened", 0, 0), ("add", 5, 5)]

    async def test_a_team_that_is_not_there_is_told(self, api: Database) -> None:
        with pytest.raises(errors.TeamNotFound):
            await change(api, testing.new_id(), EntryKind.ADD, 5)


class TestLowBalance:
    async def test_it_is_told_once_when_the_balance_falls_below_and_again_only_after_it_rose(
        self, api: Database, rows: Database, team_id: UUID
    ) -> None:
        await set_account(rows, team_id, low_threshold=900)
        await reserve(api, team_id, 100)
        assert await told(rows) == []
        await reserve(api, team_id, 1)
        await reserve(api, team_id, 1)
        assert await told(rows) == [{"quota": "credits", "left": 899, "threshold": 900}]
        await change(api, team_id, EntryKind.SET, 900)
        await change(api, team_id, EntryKind.SUBTRACT, 10)
        assert [each["left"] for each in await told(rows)] == [899, 890]

    async def test_it_is_told_once_by_many_at_once(self, api: Database, rows: Database, team_id: UUID) -> None:
        await set_account(rows, team_id, low_threshold=500)
        await asyncio.gather(*(reserve(api, team_id, 20) for _ in range(40)))
        assert [each["left"] for each in await told(rows)] == [480]


class TestSchedule:
    @given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 (naive by contract)
    def test_the_next_refill_is_the_first_beginning_of_a_period_that_is_to_come(self, now: datetime) -> None:
        day, week, month = (credits.next_refill_at(period, now) for period in RefillPeriod)
        for found in (day, week, month):
            assert found > now
            assert (found.hour, found.minute, found.second, found.microsecond) == (0, 0, 0, 0)
        assert day - now <= timedelta(days=1)
        assert (week.weekday(), week - now <= timedelta(days=7)) == (0, True)
        assert (month.day, (month - timedelta(days=1)).month) == (1, now.month)

    @pytest.mark.parametrize(
        ("now", "following"), [("2024-01-31", "2024-02-01"), ("2024-02-29", "2024-03-01"), ("2025-12-31", "2026-01-01")]
    )
    def test_months_end_as_they_do(self, now: str, following: str) -> None:
        found = credits.next_refill_at(RefillPeriod.MONTH, datetime.fromisoformat(f"{now}T23:59:59+00:00"))
        assert found == datetime.fromisoformat(f"{following}T00:00:00+00:00")

    @pytest.mark.parametrize(("mode", "balance"), [("set", 50), ("add", 1050)])
    async def test_after_an_outage_it_catches_up_once(
        self, tasks: Database, rows: Database, team_id: UUID, mode: str, balance: int
    ) -> None:
        long_ago, now = datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC)
        await set_account(
            rows, team_id, refill_amount=50, refill_mode=mode, refill_period="month", next_refill_at=long_ago
        )
        assert await credits.due_refills(tasks, 10) == [team_id]

        async def refill() -> bool:
            async with tasks.transaction() as transaction:
                return await credits.refill_if_due(transaction, team_id, now)

        assert sum(await asyncio.gather(*(refill() for _ in range(4)))) == 1
        assert await credits.due_refills(tasks, 10) == []
        assert await ledger(rows, team_id) == [("opened", 1000, 1000), ("scheduled", balance - 1000, balance)]
        assert await rows.fetch_value(select(credit_account.c.next_refill_at)) == credits.next_refill_at(
            RefillPeriod.MONTH, now
        )

    async def test_what_is_not_due_is_left_alone(self, tasks: Database, rows: Database, team_id: UUID) -> None:
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        await set_account(
            rows, team_id, refill_amount=50, refill_mode="set", refill_period="day", next_refill_at=tomorrow
        )
        async with tasks.transaction() as transaction:
            assert not await credits.refill_if_due(transaction, team_id, datetime.now(UTC))


class TestSeveralTeams:
    async def test_what_one_team_does_leaves_the_account_of_another_alone(
        self, api: Database, processor: Database, rows: Database, team_id: UUID
    ) -> None:
        other_id = await testing.add_team(rows)
        await reserve(api, other_id, 200)
        reservation_id = await reserve(api, team_id, 300)
        assert await balance_of(rows, team_id) == (700, 300)
        await settle(processor, credits.refund, reservation_id)
        await change(api, team_id, EntryKind.SUBTRACT, 900)
        assert await balance_of(rows, team_id) == (100, 0)
        assert await balance_of(rows, other_id) == (800, 200)

    async def test_only_the_team_whose_refill_is_due_is_refilled(
        self, processor: Database, rows: Database, team_id: UUID
    ) -> None:
        other_id = await testing.add_team(rows)
        due = {"refill_amount": 50, "refill_mode": "set", "refill_period": "day", "next_refill_at": func.now()}
        await set_account(rows, other_id, **due)
        async with processor.transaction() as transaction:
            assert not await credits.refill_if_due(transaction, team_id, datetime.now(UTC))
        assert await balance_of(rows, other_id) == (1000, 0)

    async def test_no_more_is_read_than_was_asked_for(self, api: Database, rows: Database, team_id: UUID) -> None:
        for each in (team_id, await testing.add_team(rows)):
            await reserve(api, each)
            await set_account(
                rows, each, refill_amount=1, refill_mode="set", refill_period="day", next_refill_at=func.now()
            )
        await rows.execute(update(credit_reservation).values(expires_at=func.now()))
        for read in (credits.overdue_reservations, credits.due_refills):
            assert [len(await read(rows, most)) for most in (1, 3)] == [1, 2]


@pytest.mark.parametrize("role", ["api", "processor", "tasks"])
@pytest.mark.parametrize("statement", ["UPDATE credit_entry SET amount = 0", "DELETE FROM credit_entry"])
async def test_no_service_can_rewrite_the_ledger(urls: Any, role: str, statement: str) -> None:
    connection = await asyncpg.connect(getattr(urls, role))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()
