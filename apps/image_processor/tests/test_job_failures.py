import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from image_core import errors, testing
from image_core.models import derivative
from image_processor import jobs
from image_processor.jobs import Outcome
from image_processor.rejections import WorkerUnavailable

from .conftest import Processor

PAST = datetime(2020, 1, 1, tzinfo=UTC)


class TestFailuresThatMayPass:
    async def gives_back(self, processor: Processor, row: Any, stored: Any, parts: Any = None) -> None:
        outcome = await jobs.handle(parts or processor.parts, processor.finalized(stored))
        assert outcome is Outcome.LATER
        back = await processor.row(row["id"])
        assert (back["status"], back["claim_token"], back["attempts"]) == ("stored", None, 1)
        assert await processor.events(row["id"]) == []

    async def test_a_worker_that_is_away_gives_the_claim_back(self, processor: Processor) -> None:
        row, stored = await processor.image()

        async def away() -> None:
            raise WorkerUnavailable("no worker")

        processor.pool.before = away
        await self.gives_back(processor, row, stored)
        # The next push finds it and comes through.
        processor.pool.before = None
        assert await processor.push(processor.message(stored.name, stored.generation)) == 204
        assert (await processor.row(row["id"]))["status"] == "ready"

    async def test_storage_that_is_away_gives_the_claim_back(self, processor: Processor) -> None:
        row, stored = await processor.image()

        def fails(_method: str) -> None:
            raise errors.StorageUnavailable("away")

        for name in ("originals", "derivatives"):
            away = testing.FakeStorage(bucket=processor.parts.originals.bucket, fails=fails)
            await processor.set_row(row["id"], attempts=0)
            await self.gives_back(processor, row, stored, replace(processor.parts, **{name: away}))

    async def test_bytes_that_are_not_those_that_were_stored_are_never_ready(self, processor: Processor) -> None:
        row, stored = await processor.image(sha256=testing.a_sha256("other bytes"))
        await self.gives_back(processor, row, stored)
        assert processor.pool.seen == []

    async def test_a_job_beyond_its_lease_gives_the_claim_back(self, processor: Processor) -> None:
        row, stored = await processor.image()

        async def hang() -> None:
            await asyncio.sleep(60)

        processor.pool.before = hang
        parts = processor.with_settings(lease_seconds=0.3)
        await self.gives_back(processor, row, stored, parts)

    async def test_a_job_that_is_cancelled_gives_the_claim_back(self, processor: Processor) -> None:
        row, stored = await processor.image()
        begun = asyncio.Event()

        async def hang() -> None:
            begun.set()
            await asyncio.sleep(60)

        processor.pool.before = hang
        task = asyncio.create_task(jobs.handle(processor.parts, processor.finalized(stored)))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await processor.row(row["id"]))["status"] == "stored"

    async def test_attempts_run_out(self, processor: Processor) -> None:
        row, stored = await processor.image()

        async def away() -> None:
            raise WorkerUnavailable("no worker")

        processor.pool.before = away
        message = processor.message(stored.name, stored.generation)
        assert [await processor.push(message) for _ in range(4)] == [503, 503, 503, 204]
        assert (await processor.row(row["id"]))["failure_code"] == "processing-attempts-exhausted"

    async def test_when_every_slot_is_taken_a_message_comes_again_unclaimed(self, processor: Processor) -> None:
        row, stored = await processor.image()
        parts = processor.with_settings(lease_seconds=0.2, worker_count=1)
        for _ in range(2):
            await parts.slots.acquire()
        assert await jobs.handle(parts, processor.finalized(stored)) is Outcome.LATER
        assert (await processor.row(row["id"]))["attempts"] == 0


class TestTakenOver:
    async def test_the_loser_of_a_lapsed_lease_changes_nothing_and_leaves_nothing(self, processor: Processor) -> None:
        row, stored = await processor.image()
        event_of = processor.finalized(stored)

        async def meanwhile_another_takes_over() -> None:
            processor.pool.before = None
            await processor.set_row(row["id"], lease_expires_at=PAST)
            assert await jobs.handle(processor.parts, event_of) is Outcome.DONE

        processor.pool.before = meanwhile_another_takes_over
        assert await jobs.handle(processor.parts, event_of) is Outcome.DONE
        assert await processor.events(row["id"]) == [("image.ready", True)]
        kept = await processor.derivatives_of(row["id"])
        assert len(await processor.derivative_objects(row["team_id"])) == 4
        await processor.let_time_pass()
        assert (await processor.sweep())["objects_removed"] == 1
        assert set(await processor.derivative_objects(row["team_id"])) == set(kept.values())
        assert (await processor.row(row["id"]))["status"] == "ready"

    async def test_work_whose_promise_the_sweep_began_to_keep_is_thrown_away(self, processor: Processor) -> None:
        row, stored = await processor.image()

        async def meanwhile_the_sweep_comes() -> None:
            await processor.let_time_pass()
            await processor.sweep()

        processor.pool.before = meanwhile_the_sweep_comes
        assert await jobs.handle(processor.parts, processor.finalized(stored)) is Outcome.DONE
        assert (await processor.row(row["id"]))["status"] == "processing"
        assert await processor.rows.fetch(select(derivative)) == []
