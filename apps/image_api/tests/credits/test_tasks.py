"""Reservations that lapse, and balances that are refilled."""

from sqlalchemy import update

from image_core import testing
from image_core.billing import credits
from image_core.models import (
    credit_account,
    credit_reservation,
)

from ..housekeeping import PAST, Tasks


class TestCredits:
    async def test_a_reservation_that_a_crash_left_open_lapses_and_the_credits_are_back(self, tasks: Tasks) -> None:
        team_id = await testing.add_team(tasks.rows)
        async with tasks.rows.transaction() as transaction:
            await credits.reserve(transaction, team_id, 5, "analyze skin")
        assert (await tasks.sweep())["reservations_lapsed"] == 0
        await tasks.let_time_pass(credit_reservation, "expires_at")
        assert (await tasks.sweep())["reservations_lapsed"] == 1
        account = await credits.find_account(tasks.rows, team_id)
        assert account is not None
        assert (account["balance"], account["reserved"]) == (testing.STARTING_CREDITS, 0)
        assert (await tasks.sweep())["reservations_lapsed"] == 0

    async def test_a_balance_is_refilled_when_its_time_has_come(self, tasks: Tasks) -> None:
        team_id = await testing.add_team(tasks.rows)
        schedule = {"refill_amount": 7, "refill_mode": "add", "refill_period": "day", "next_refill_at": PAST}
        await tasks.rows.execute(update(credit_account).values(schedule))
        assert (await tasks.sweep())["accounts_refilled"] == 1
        assert (await tasks.sweep())["accounts_refilled"] == 0
        account = await credits.find_account(tasks.rows, team_id)
        assert account is not None
        assert account["balance"] == testing.STARTING_CREDITS + 7
