"""Two who touch the same analysis and the same account: each takes the row first, so that none waits in a circle."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, update

from image_core import testing
from image_core.analyses.catalogue import CATALOGUE, VISION_VERSION, canonical_parameters
from image_core.analyses.failures import refund_and_record
from image_core.billing import credits
from image_core.db import Record, to_json
from image_core.ids import new_id
from image_core.models import analysis, credit_account
from image_core.states import Failure
from image_processor.analyses import queries as analysis_queries
from image_processor.images import on_arrival
from image_processor.images.queries import ImageClaim

from ..analyses.test_analysis_jobs import asked, balance_of, outcome
from ..conftest import Processor


def claim_of(row: Record, **changes: Any) -> ImageClaim:
    return ImageClaim(
        new_id(), row["team_id"], "originals/x", 1, 1, row["sha256"], new_id(), new_id(), "derivatives/x/",
        keep_location=True, trace_parent=None,
    )._replace(**changes)  # fmt: skip


async def arrive(processor: Processor, claimed: ImageClaim, *outcomes: Any) -> None:
    async with processor.parts.database.transaction() as transaction:
        await on_arrival.store(transaction, claimed, outcomes)


@pytest.fixture
async def row(processor: Processor) -> Record:
    return await asked(processor)


async def test_an_analysis_that_fails_beside_the_arrival_of_its_bytes(processor: Processor, row: Record) -> None:
    parts, limit = processor.parts, processor.parts.settings.max_attempts
    async with parts.database.transaction() as failing:
        claimed = await analysis_queries.claim(failing, row["id"], limit, parts.lease)
        assert claimed is not None
        assert await analysis_queries.fail(failing, claimed, Failure("analyzer-failed", "It failed."))
        arriving = asyncio.create_task(arrive(processor, claim_of(row), outcome()))
        await testing.wait_for_lock_waiter(processor.rows)
        await refund_and_record(failing, row["id"], row["team_id"], "colors", row["reservation_id"], "analyzer-failed")
    await arriving
    statuses = await processor.rows.fetch(select(analysis.c.status).order_by(analysis.c.created_at))
    assert sorted(found["status"] for found in statuses) == ["done", "failed"]
    assert await balance_of(processor, row["team_id"]) == testing.STARTING_CREDITS - 1


async def test_a_request_beside_the_arrival_that_asks_for_the_same(processor: Processor, row: Record) -> None:
    parameters, digest = canonical_parameters(CATALOGUE["labels"], {})
    key = {"analyzer": "labels", "version": VISION_VERSION, "parameters_hash": digest}
    values, reservation_id = key | {"parameters": to_json(parameters)}, new_id()
    team_id, sha256 = row["team_id"], testing.a_sha256("other bytes")
    wanted = {"analyze_on_arrival": ["labels"], "label_source": "vision", "sha256": sha256}
    async with processor.parts.database.transaction() as asking:
        assert await analysis_queries.add_requested(asking, team_id, sha256, values, reservation_id)
        arriving = asyncio.create_task(arrive(processor, claim_of(row, **wanted), outcome()))
        await testing.wait_for_lock_waiter(processor.rows)
        await credits.reserve(asking, team_id, 2, "analyze:labels", reservation_id)
    await arriving
    found = await processor.rows.fetch(select(analysis.c.analyzer).where(analysis.c.sha256 == sha256))
    assert sorted(each["analyzer"] for each in found) == ["colors", "labels"]
    # One for the analysis that there was, two for the labels, one for the colours.
    assert await balance_of(processor, team_id) == testing.STARTING_CREDITS - 4


async def test_what_cannot_be_paid_is_not_there_and_the_rest_is(processor: Processor, row: Record) -> None:
    await processor.rows.execute(update(credit_account).values(balance=1))
    wanted = {"analyze_on_arrival": ["labels"], "label_source": "vision", "sha256": testing.a_sha256("other")}
    await arrive(processor, claim_of(row, **wanted), outcome())
    found = await processor.rows.fetch(select(analysis.c.analyzer).where(analysis.c.sha256 == wanted["sha256"]))
    assert [each["analyzer"] for each in found] == ["colors"]
    assert await balance_of(processor, row["team_id"]) == 0
