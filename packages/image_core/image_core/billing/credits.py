"""Credits: a team's budget for analyses, reserved before the work and refunded if the work fails.

A reservation is `reserved` until it is settled once: `committed` (the work is done, the credits stay spent), `refunded`
(the work failed) or `lapsed` (it was not settled in time; the sweep returned the credits). Work that is completed after
its reservation has lapsed costs nothing, because the delay was the service's.

Every change of a balance writes a ledger entry in the same statement or under the same row lock; the amounts of a
team's entries add up to its balance. Prices are those of `catalogue.CATALOGUE`.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Interval, Text, Uuid, bindparam, func, insert, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from image_core import errors, events
from image_core.db import Query, Record, Runner, Transaction
from image_core.events import EventType
from image_core.ids import new_id
from image_core.models import credit_account, credit_entry, credit_reservation, team

RESERVATION = timedelta(minutes=15)


class ReservationStatus(StrEnum):
    """The state of a reservation."""

    RESERVED = "reserved"
    COMMITTED = "committed"
    REFUNDED = "refunded"
    LAPSED = "lapsed"


class EntryKind(StrEnum):
    """Type of a change of a balance."""

    OPENED = "opened"
    SET = "set"
    ADD = "add"
    SUBTRACT = "subtract"
    SCHEDULED = "scheduled"
    RESERVED = "reserved"
    REFUNDED = "refunded"
    LAPSED = "lapsed"


class RefillPeriod(StrEnum):
    """Interval between refills: at midnight, on Mondays or on the first of the month, in UTC."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class RefillMode(StrEnum):
    """Whether a schedule replaces the balance or adds to it."""

    SET = "set"
    ADD = "add"


# --- Reserve, commit, refund ----------------------------------------------------------------------------------

_id = bindparam("reservation_id", type_=Uuid)
_spent = (
    update(credit_account)
    .where(
        credit_account.c.team_id == bindparam("owner_id", type_=Uuid),
        credit_account.c.balance >= bindparam("price", type_=BigInteger),
    )
    .values(balance=credit_account.c.balance - bindparam("price", type_=BigInteger), updated_at=func.now())
    .returning(credit_account.c.team_id, credit_account.c.balance, credit_account.c.low_threshold)
    .cte("spent")
)
_reserved = (
    insert(credit_reservation)
    .from_select(
        ["id", "team_id", "operation", "amount", "expires_at"],
        select(
            _id, _spent.c.team_id, bindparam("what", type_=Text), bindparam("price", type_=BigInteger),
            func.now() + bindparam("lasts", type_=Interval),
        ),
    )
    .cte("reserved")
)  # fmt: skip
_ENTRY = ["id", "team_id", "kind", "amount", "balance_after", "reservation_id", "operation", "created_at"]
_entry_id = bindparam("entry_id", type_=Uuid)
# The time is taken while the account is locked, so that a team's entries are in the order in which its balance changed.
_clock_time = func.clock_timestamp()
_entered = (
    insert(credit_entry)
    .from_select(
        _ENTRY,
        select(
            _entry_id, _spent.c.team_id, literal_column("'reserved'"), -bindparam("price", type_=BigInteger),
            _spent.c.balance, _id, bindparam("what", type_=Text), _clock_time,
        ),
    )
    .cte("entered")
)  # fmt: skip
_reserve = Query(select(_spent.c.balance, _spent.c.low_threshold).add_cte(_reserved, _entered))

_settled = (
    update(credit_reservation)
    .where(credit_reservation.c.id == _id, credit_reservation.c.status == ReservationStatus.RESERVED)
    .values(status=bindparam("outcome", type_=Text), settled_at=func.now())
)
_commit = Query(_settled)
_ended = _settled.returning(
    credit_reservation.c.team_id, credit_reservation.c.amount, credit_reservation.c.operation
).cte("ended")
_returned = (
    update(credit_account)
    .where(credit_account.c.team_id == _ended.c.team_id)
    .values(balance=credit_account.c.balance + _ended.c.amount, updated_at=func.now())
    .returning(credit_account.c.team_id, credit_account.c.balance, _ended.c.amount, _ended.c.operation)
    .cte("returned")
)
_give_back = Query(
    insert(credit_entry).from_select(
        _ENTRY,
        select(
            _entry_id, _returned.c.team_id, bindparam("outcome", type_=Text), _returned.c.amount, _returned.c.balance,
            _id, _returned.c.operation, _clock_time,
        ),
    )
)  # fmt: skip
_status = Query(select(credit_reservation.c.status).where(credit_reservation.c.id == _id))


async def reserve(
    transaction: Transaction, team_id: UUID, amount: int, operation: str, reservation_id: UUID | None = None
) -> UUID:
    """Reserve `amount` of a team's balance until the reservation is settled or lapses; return its id.

    The account stays locked until the transaction ends, so commit soon, and before the work begins: a reservation that
    is not committed cannot lapse. Ending an analysis locks its row first and the account second, so a transaction that
    holds the account must not wait for such a row: insert first, reserve afterwards. The ledger shows `operation`.

    Raises:
        errors.CreditsExhausted: The balance is too low. It carries the balance, the price, and the next refill if
            one is scheduled.
    """
    reservation_id = reservation_id or new_id()
    row = await transaction.fetch_one(
        _reserve, owner_id=team_id, price=amount, what=operation, lasts=RESERVATION, reservation_id=reservation_id,
        entry_id=new_id(),
    )  # fmt: skip
    if row is None:
        raise await _credits_exhausted(transaction, team_id, amount)
    await _record_if_low(transaction, team_id, row["balance"] + amount, row["balance"], row["low_threshold"])
    return reservation_id


async def _credits_exhausted(runner: Runner, team_id: UUID, price: int) -> errors.CreditsExhausted:
    found = await find_account(runner, team_id)
    left, refill_at = (found["balance"], found["next_refill_at"]) if found else (0, None)
    wait = None if refill_at is None else max(1, int((refill_at - datetime.now(UTC)).total_seconds()) + 1)
    extra = {} if refill_at is None else {"next_refill_at": refill_at}
    return errors.CreditsExhausted(
        f"Not enough credits: this costs {price}, and the team has {left}. "
        f"{'Ask an admin for a refill' if wait is None else 'Wait for the next refill, or ask an admin for one'}.",
        retry_after_seconds=wait,
        balance=left,
        price=price,
        **extra,
    )


async def commit(transaction: Transaction, reservation_id: UUID) -> ReservationStatus | None:
    """Commit a reservation, once; return its current status.

    `COMMITTED`: the team has paid, by this call or an earlier one. `LAPSED` or `REFUNDED`: the credits were returned,
    and the work costs nothing. None: the team was removed, and its account with it.
    """
    await transaction.execute(_commit, reservation_id=reservation_id, outcome=ReservationStatus.COMMITTED)
    return await _status_of(transaction, reservation_id)


async def refund(transaction: Transaction, reservation_id: UUID) -> ReservationStatus | None:
    """Refund a reservation, once; return its current status, as `commit` does."""
    return await _return_credits(transaction, reservation_id, ReservationStatus.REFUNDED)


async def lapse(transaction: Transaction, reservation_id: UUID) -> ReservationStatus | None:
    """Return the credits of a reservation that was never settled, once; return its current status."""
    return await _return_credits(transaction, reservation_id, ReservationStatus.LAPSED)


async def _return_credits(
    transaction: Transaction, reservation_id: UUID, outcome: ReservationStatus
) -> ReservationStatus | None:
    await transaction.execute(_give_back, reservation_id=reservation_id, outcome=outcome, entry_id=new_id())
    return await _status_of(transaction, reservation_id)


async def _status_of(transaction: Transaction, reservation_id: UUID) -> ReservationStatus | None:
    status = await transaction.fetch_value(_status, reservation_id=reservation_id)
    return None if status is None else ReservationStatus(status)


async def overdue_reservations(runner: Runner, limit: int) -> list[UUID]:
    """Return reservations whose time to be settled has passed."""
    statement = (
        select(credit_reservation.c.id)
        .where(credit_reservation.c.status == ReservationStatus.RESERVED, credit_reservation.c.expires_at < func.now())
        .order_by(credit_reservation.c.expires_at)
        .limit(limit)
    )
    return [row["id"] for row in await runner.fetch(statement)]


# --- The account ----------------------------------------------------------------------------------------------

_account = Query(
    select(
        team.c.id.label("team_id"),
        # A team that was created while an older version still served has no account until its balance first changes.
        func.coalesce(credit_account.c.balance, 0).label("balance"),
        select(func.coalesce(func.sum(credit_reservation.c.amount), 0).cast(BigInteger))
        .where(credit_reservation.c.team_id == team.c.id, credit_reservation.c.status == "reserved")
        .scalar_subquery()
        .label("reserved"),
        credit_account.c.refill_amount,
        credit_account.c.refill_mode,
        credit_account.c.refill_period,
        credit_account.c.next_refill_at,
        credit_account.c.low_threshold,
    )
    .outerjoin_from(team, credit_account)
    .where(team.c.id == bindparam("team_id", type_=Uuid))
)


async def find_account(runner: Runner, team_id: UUID) -> Record | None:
    """Return a team's balance, reserved credits, schedule and threshold; None if the team does not exist."""
    return await runner.fetch_one(_account, team_id=team_id)


async def open_account(runner: Runner, team_id: UUID, balance: int) -> None:
    """Open a team's account with an initial balance, in the transaction that creates the team."""
    opened = upsert(credit_account).values(team_id=team_id, balance=balance).on_conflict_do_nothing()
    if await runner.execute(opened):
        await _add_entry(runner, team_id, EntryKind.OPENED, balance, balance)


async def _add_entry(
    runner: Runner,
    team_id: UUID,
    kind: EntryKind,
    amount: int,
    balance_after: int,
    reason: str | None = None,
    actor_user_id: UUID | None = None,
) -> Record:
    (entry,) = await runner.fetch(
        insert(credit_entry)
        .values(
            id=new_id(), team_id=team_id, kind=kind, amount=amount, balance_after=balance_after, reason=reason,
            actor_user_id=actor_user_id, created_at=_clock_time,
        )
        .returning(credit_entry)
    )  # fmt: skip
    return entry


async def lock_account(transaction: Transaction, team_id: UUID) -> Record | None:
    """Lock a team's account for the rest of the transaction and return it; open an empty one if it has none."""
    statement = select(credit_account).where(credit_account.c.team_id == team_id).with_for_update()
    found = await transaction.fetch_one(statement)
    if found is None and await find_account(transaction, team_id) is not None:
        await open_account(transaction, team_id, 0)
        found = await transaction.fetch_one(statement)
    return found


async def change_balance(
    transaction: Transaction,
    team_id: UUID,
    kind: EntryKind,
    amount: int,
    reason: str | None = None,
    actor_user_id: UUID | None = None,
) -> Record:
    """Set the balance to `amount`, add it or subtract it, and return the ledger entry.

    Raises:
        errors.TeamNotFound: The team does not exist.
        errors.BalanceTooLow: The balance would fall below zero.
    """
    account = await lock_account(transaction, team_id)
    if account is None:
        raise errors.TeamNotFound
    return await _change(
        transaction, account, kind, _NEW_BALANCE[kind](account["balance"], amount), reason, actor_user_id
    )


_NEW_BALANCE: dict[EntryKind, Callable[[int, int], int]] = {
    EntryKind.SET: lambda _, amount: amount,
    EntryKind.ADD: lambda balance, amount: balance + amount,
    EntryKind.SUBTRACT: lambda balance, amount: balance - amount,
}


async def _change(
    transaction: Transaction,
    account: Record,
    kind: EntryKind,
    balance: int,
    reason: str | None = None,
    actor_user_id: UUID | None = None,
    **columns: Any,
) -> Record:
    """Write a new balance of a locked account.

    Raises:
        errors.BalanceTooLow: The balance would fall below zero.
    """
    team_id, old = account["team_id"], account["balance"]
    if balance < 0:
        raise errors.BalanceTooLow(
            f"Balance too low: the team has {old} credits. Subtract at most that many.", balance=old
        )
    await transaction.execute(
        update(credit_account)
        .where(credit_account.c.team_id == team_id)
        .values(balance=balance, updated_at=func.now(), **columns)
    )
    entry = await _add_entry(transaction, team_id, kind, balance - old, balance, reason, actor_user_id)
    await _record_if_low(transaction, team_id, old, balance, account["low_threshold"])
    return entry


async def _record_if_low(transaction: Transaction, team_id: UUID, old: int, new: int, threshold: int | None) -> None:
    """Record `quota.low` if the balance was at or above its threshold and is now below it."""
    if threshold is not None and new < threshold <= old:
        payload = {"quota": "credits", "left": new, "threshold": threshold}
        await events.record(transaction, events.team_event(EventType.QUOTA_LOW, team_id, payload))


# --- The schedule ---------------------------------------------------------------------------------------------


def next_refill_at(period: RefillPeriod, after: datetime) -> datetime:
    """Return the first time after `after` at which a schedule refills, in UTC."""
    midnight = after.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case RefillPeriod.DAY:
            return midnight + timedelta(days=1)
        case RefillPeriod.WEEK:
            return midnight + timedelta(days=7 - midnight.weekday())
        case RefillPeriod.MONTH:
            # The 28th plus four days is always in the next month.
            return (midnight.replace(day=28) + timedelta(days=4)).replace(day=1)


async def due_refills(runner: Runner, limit: int) -> list[UUID]:
    """Return teams whose scheduled refill is due."""
    statement = (
        select(credit_account.c.team_id)
        .where(credit_account.c.next_refill_at <= func.now())
        .order_by(credit_account.c.next_refill_at)
        .limit(limit)
    )
    return [row["team_id"] for row in await runner.fetch(statement)]


async def refill_if_due(transaction: Transaction, team_id: UUID, now: datetime) -> bool:
    """Refill by the team's schedule, once regardless of how many refills were missed; return False if none is due."""
    account = await transaction.fetch_one(
        select(credit_account)
        .where(credit_account.c.team_id == team_id, credit_account.c.next_refill_at <= now)
        .with_for_update(skip_locked=True)
    )
    if account is None:
        return False
    mode, due_next = EntryKind(account["refill_mode"]), next_refill_at(RefillPeriod(account["refill_period"]), now)
    balance = _NEW_BALANCE[mode](account["balance"], account["refill_amount"])
    await _change(transaction, account, EntryKind.SCHEDULED, balance, next_refill_at=due_next)
    return True
