"""Analyses that wait too long, and those that are purged with their bytes."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from image_core import testing
from image_core.billing import credits
from image_core.db import Record
from image_core.ids import new_id
from image_core.models import (
    analysis,
    credit_reservation,
    image,
)

from ..housekeeping import PAST, Tasks


async def asked(tasks: Tasks, **columns: Any) -> Record:
    """An analysis as the API leaves it: a row, its price reserved, and an image with its bytes."""
    row, _ = await tasks.image("ready")
    async with tasks.rows.transaction() as transaction:
        reservation_id = await credits.reserve(transaction, row["team_id"], 1, "analyze:colors")
    if columns.get("status") == "running":
        columns = {"claim_token": new_id(), "lease_expires_at": PAST, **columns}
    columns["reservation_id"] = reservation_id
    analysis_id = await testing.add_analysis(tasks.rows, row["team_id"], row["sha256"], **columns)
    return await found(tasks, analysis_id)


async def found(tasks: Tasks, analysis_id: UUID) -> Record:
    row = await tasks.rows.fetch_one(select(analysis).where(analysis.c.id == analysis_id))
    assert row is not None
    return row


async def reservation_of(tasks: Tasks, row: Record) -> str:
    status: str = await tasks.rows.fetch_value(
        select(credit_reservation.c.status).where(credit_reservation.c.id == row["reservation_id"])
    )
    return status


class TestWaitingTooLong:
    @pytest.mark.parametrize("columns", [{"queued_at": PAST}, {"status": "running"}])
    async def test_what_waits_too_long_is_asked_for_again(self, tasks: Tasks, columns: dict[str, Any]) -> None:
        row = await asked(tasks, **columns)
        assert (await tasks.sweep())["analyses_asked_again"] == 1
        assert (await found(tasks, row["id"]))["status"] == "requested"
        assert await tasks.events() == [("analysis.requested", True)]

    async def test_what_was_tried_too_often_fails_and_the_price_goes_back(self, tasks: Tasks) -> None:
        row = await asked(tasks, status="running", attempts=3)
        assert (await tasks.sweep())["analyses_exhausted"] == 1
        assert (await found(tasks, row["id"]))["failure_code"] == "analysis-attempts-exhausted"
        assert await reservation_of(tasks, row) == "refunded"

    async def test_what_is_under_way_is_left_alone(self, tasks: Tasks) -> None:
        await asked(tasks)
        await asked(tasks, status="running", lease_expires_at=datetime.now(UTC) + timedelta(hours=1))
        counts = await tasks.sweep()
        assert (counts["analyses_asked_again"], counts["analyses_exhausted"]) == (0, 0)

    async def test_results_go_with_the_last_image_that_has_the_bytes(self, tasks: Tasks) -> None:
        row = await asked(tasks)
        await tasks.rows.execute(update(image).values(deleted_at=PAST))
        await tasks.sweep()
        assert await tasks.rows.fetch(select(analysis).where(analysis.c.id == row["id"])) == []
