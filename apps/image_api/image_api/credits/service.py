"""The rules of credits: who may see a balance, and who may change it."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from image_api import audit
from image_api.actor import Actor, require_admin
from image_api.credits import queries
from image_api.http.pagination import Cursor
from image_api.teams import service as teams
from image_core import errors
from image_core.billing import credits
from image_core.billing.credits import EntryKind, RefillPeriod
from image_core.db import Record, Runner, Transaction


async def get_credits(runner: Runner, actor: Actor, named_id: UUID | None) -> dict[str, Any]:
    """Return the account of the caller's team, or of the team that an admin names.

    Raises:
        errors.TeamNotFound: The team does not exist.
        errors.TeamRequired: The team must be named.
    """
    return await _account_body(runner, await teams.owning_team(runner, actor, named_id))


async def _account_body(runner: Runner, team_id: UUID) -> dict[str, Any]:
    found = await credits.find_account(runner, team_id)
    if found is None:
        raise errors.TeamNotFound
    schedule = {
        "amount": found["refill_amount"],
        "mode": found["refill_mode"],
        "period": found["refill_period"],
        "next_refill_at": found["next_refill_at"],
    }
    return {**dict(found), "schedule": None if found["next_refill_at"] is None else schedule}


async def list_entries(
    runner: Runner, actor: Actor, named_id: UUID | None, cursor: Cursor | None, limit: int
) -> list[Record]:
    """Return the ledger of the caller's team, or of the team that an admin names.

    Raises:
        errors.TeamNotFound: The team does not exist.
        errors.TeamRequired: The team must be named.
    """
    return await queries.page(runner, await teams.owning_team(runner, actor, named_id), cursor, limit)


async def refill(
    transaction: Transaction, actor: Actor, team_id: UUID, kind: EntryKind, amount: int, reason: str | None
) -> Record:
    """Change a balance and return the ledger entry.

    Raises:
        errors.RoleMissing: The caller's role does not allow this.
        errors.TeamNotFound: The team does not exist.
        errors.BalanceTooLow: The balance cannot go below zero.
    """
    require_admin(actor)
    entry = await credits.change_balance(transaction, team_id, kind, amount, reason, actor.user_id)
    before = {"balance": entry["balance_after"] - entry["amount"]}
    after = {"balance": entry["balance_after"], kind.value: amount, "reason": reason}
    await audit.record(
        transaction, actor, "credits.refilled", ("team", team_id), team_id=team_id, before=before, after=after
    )
    return entry


async def change_credits(
    transaction: Transaction, actor: Actor, team_id: UUID, values: dict[str, Any]
) -> dict[str, Any]:
    """Change schedule and threshold as given by `values`.

    Raises:
        errors.RoleMissing: The caller's role does not allow this.
        errors.TeamNotFound: The team does not exist.
    """
    require_admin(actor)
    if await credits.lock_account(transaction, team_id) is None:
        raise errors.TeamNotFound
    before = await _account_body(transaction, team_id)
    if values:
        await queries.change(transaction, team_id, _columns(values))
        previous = {name: before[name] for name in values}
        await audit.record(
            transaction, actor, "credits.changed", ("team", team_id), team_id=team_id, before=previous, after=values
        )
    return await _account_body(transaction, team_id)


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    columns = {"low_threshold": values["low_threshold"]} if "low_threshold" in values else {}
    if "schedule" not in values:
        return columns
    schedule = values["schedule"] or {"amount": None, "mode": None, "period": None}
    period = schedule["period"]
    return columns | {
        "refill_amount": schedule["amount"],
        "refill_mode": schedule["mode"],
        "refill_period": period,
        "next_refill_at": None if period is None else credits.next_refill_at(RefillPeriod(period), datetime.now(UTC)),
    }
