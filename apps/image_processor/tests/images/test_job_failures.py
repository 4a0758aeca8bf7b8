import asyncio
import errno
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import select, update

from image_core import errors, testing
from image_core.models import derivative, discarded_object
from image_core.storage.testing import FakeStorage
from image_engine.contract.rejections import PictureRejected, WorkerInterrupted, WorkerUnavailable
from image_processor.images import job, queries
from image_processor.parts import Outcome

from ..conftest import Processor

PAST = datetime(2020, 1, 1, tzinfo=UTC)


def raising(error: Exception) -> Callable[..., Awaitable[Any]]:
    async def fail(*_: Any) -> Any:
        raise error

    return fail


class TestFailuresThatMayPass:
    async def gives_back(
        self, processor: Processor, row: Any, stored: Any, parts: Any = None, attempts: int = 0
    ) -> None:
        outcome = await job.handle(parts or processor.parts, processor.finalized(stored))
        assert outcome is Outcome.LATER
        back = await processor.row(row["id"])
        assert (back["status"], back["claim_token"], back["attempts"]) == ("stored", None, attempts)
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
            away = FakeStorage(bucket=processor.parts.originals.bucket, fails=fails)
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
        task = asyncio.create_task(job.handle(processor.parts, processor.finalized(stored)))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        back = await processor.row(row["id"])
        assert (back["status"], back["attempts"]) == ("stored", 0)

    @pytest.mark.parametrize(
        ("error", "attempts"),
        [
            (errors.DatabaseUnavailable("away"), 0),
            (errors.MessagingUnavailable("away"), 0),
            (asyncpg.InsufficientPrivilegeError("a grant was revoked"), 0),
            (OSError(errno.ENOMEM, "no memory"), 0),
            (MemoryError(), 0),
            (WorkerInterrupted("paused"), 1),
            (asyncpg.ForeignKeyViolationError("a neighbour was purged"), 1),
        ],
        ids=repr,
    )
    async def test_only_what_the_picture_may_have_caused_costs_an_attempt(
        self, processor: Processor, error: Exception, attempts: int
    ) -> None:
        row, stored = await processor.image()
        processor.pool.before = raising(error)
        await self.gives_back(processor, row, stored, attempts=attempts)

    async def test_a_failure_that_cannot_be_written_down_gives_the_claim_back(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row, stored = await processor.image()
        processor.pool.before = raising(PictureRejected("image-truncated"))
        monkeypatch.setattr(queries, "fail", raising(errors.DatabaseUnavailable("away")))
        await self.gives_back(processor, row, stored)

    async def test_failures_of_ours_never_use_up_the_attempts_of_a_day(self, processor: Processor) -> None:
        row, stored = await processor.image()
        processor.pool.before = raising(WorkerUnavailable("no worker"))
        message = processor.message(stored.name, stored.generation)
        assert [await processor.push(message) for _ in range(5)] == [503] * 5
        await processor.set_row(row["id"], first_claimed_at=datetime.now(UTC) - timedelta(hours=25))
        assert [await processor.push(message) for _ in range(4)] == [503, 503, 503, 204]
        failed = await processor.row(row["id"])
        assert (failed["status"], failed["failure_code"]) == ("failed", "processing-attempts-exhausted")
        assert failed["first_claimed_at"] is None

    async def test_attempts_that_the_picture_may_have_caused_run_out(self, processor: Processor) -> None:
        row, stored = await processor.image()
        processor.pool.before = raising(WorkerInterrupted("killed"))
        message = processor.message(stored.name, stored.generation)
        assert [await processor.push(message) for _ in range(4)] == [503, 503, 503, 204]
        assert (await processor.row(row["id"]))["failure_code"] == "processing-attempts-exhausted"
        assert await processor.events(row["id"]) == [("image.failed", True)]

    async def test_the_last_attempt_does_without_analyses_and_models(self, processor: Processor) -> None:
        team_id = await testing.add_team(processor.rows, analyze_on_arrival=["colors"])
        row, stored = await processor.image(team_id=team_id, attempts=1)
        processor.pool.before = raising(WorkerInterrupted("killed"))
        message = processor.message(stored.name, stored.generation)
        await processor.push(message)
        processor.pool.before = None
        await processor.push(message)
        asked = [(len(request.analyses), request.embed) for request in processor.pool.requests]
        assert asked == [(1, True), (0, False)]
        assert (await processor.row(row["id"]))["status"] == "ready"

    async def test_a_turn_is_waited_for_no_longer_than_a_request_has_time(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, stored = await processor.image()
        waited: list[float] = []

        def timeout(seconds: float) -> asyncio.Timeout:
            waited.append(seconds)
            return asyncio.Timeout(0)

        parts = processor.with_settings(lease_seconds=300, worker_count=1)
        for _ in range(2):
            await parts.slots.acquire()
        monkeypatch.setattr(asyncio, "timeout", timeout)
        assert await job.handle(parts, processor.finalized(stored)) is Outcome.LATER
        assert waited == [20]

    async def test_when_every_slot_is_taken_a_message_comes_again_unclaimed(self, processor: Processor) -> None:
        row, stored = await processor.image()
        parts = processor.with_settings(lease_seconds=0.2, worker_count=1)
        for _ in range(2):
            await parts.slots.acquire()
        assert await job.handle(parts, processor.finalized(stored)) is Outcome.LATER
        assert (await processor.row(row["id"]))["attempts"] == 0


class TestFailuresThatStay:
    @pytest.mark.parametrize(
        "error",
        [TypeError("Integer exceeds 64-bit range"), KeyError("facts"), asyncpg.DataError("a value does not fit")],
        ids=repr,
    )
    async def test_an_error_that_would_come_again_fails_the_image_at_once(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        row, stored = await processor.image()
        monkeypatch.setattr(queries, "finish", raising(error))
        assert await processor.push(processor.message(stored.name, stored.generation)) == 204
        failed = await processor.row(row["id"])
        assert (failed["status"], failed["failure_code"]) == ("failed", "processing-crashed")
        assert len(processor.pool.seen) == 1
        assert await processor.events(row["id"]) == [("image.failed", True)]

    async def test_an_image_that_was_ready_is_ready_again_with_its_derivatives(self, processor: Processor) -> None:
        row, stored = await processor.image()
        message = processor.message(stored.name, stored.generation)
        await processor.push(message)
        ready, kept = await processor.row(row["id"]), await processor.derivatives_of(row["id"])
        endings = (PictureRejected("processing-timeout"), None)
        for ending in endings:
            # The second time no attempt is left when the message comes.
            await processor.set_row(row["id"], status="stored", attempts=0 if ending else 3)
            processor.pool.before = raising(ending) if ending else None
            assert await processor.push(message) == 204
            again = await processor.row(row["id"])
            for column in ("status", "failure_code", "facts", "ready_at", "width"):
                assert again[column] == ready[column]
            assert await processor.derivatives_of(row["id"]) == kept
        told = [("image.ready", True), *[("image.changed", True)] * 2]
        assert await processor.events(row["id"]) == told


class TestTakenOver:
    async def test_the_loser_of_a_lapsed_lease_changes_nothing_and_leaves_nothing(self, processor: Processor) -> None:
        row, stored = await processor.image()
        event_of = processor.finalized(stored)

        async def meanwhile_another_takes_over() -> None:
            processor.pool.before = None
            await processor.set_row(row["id"], lease_expires_at=PAST)
            assert await job.handle(processor.parts, event_of) is Outcome.DONE

        processor.pool.before = meanwhile_another_takes_over
        assert await job.handle(processor.parts, event_of) is Outcome.DONE
        assert await processor.events(row["id"]) == [("image.ready", True)]
        kept = await processor.derivatives_of(row["id"])
        assert len(await processor.derivative_objects(row["team_id"])) == 2 * len(kept)
        # What the loser wrote, and nothing else, is promised to the sweep.
        ((folder, _),) = await processor.discarded()
        lost = {name for name in await processor.derivative_objects(row["team_id"]) if name.startswith(folder)}
        assert lost == set(await processor.derivative_objects(row["team_id"])) - set(kept.values())
        assert (await processor.row(row["id"]))["status"] == "ready"

    async def test_work_whose_promise_the_sweep_began_to_keep_is_thrown_away(self, processor: Processor) -> None:
        row, stored = await processor.image()

        async def meanwhile_the_sweep_comes() -> None:
            await processor.rows.execute(update(discarded_object).values(attempts=1))

        processor.pool.before = meanwhile_the_sweep_comes
        assert await job.handle(processor.parts, processor.finalized(stored)) is Outcome.DONE
        assert (await processor.row(row["id"]))["status"] == "processing"
        assert await processor.rows.fetch(select(derivative)) == []
