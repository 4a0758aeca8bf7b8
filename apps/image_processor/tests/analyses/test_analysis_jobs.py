import asyncio
import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update

from image_core import errors, testing
from image_core.billing import credits
from image_core.db import Record
from image_core.ids import new_id
from image_core.models import analysis, credit_account, credit_entry, credit_reservation, image, team
from image_engine.contract.answers import AnalysisOutcome
from image_engine.contract.rejections import PictureRejected, WorkerInterrupted, WorkerUnavailable
from image_engine.testing.results import PROCESSED
from image_processor.analyses import queries as analysis_queries

from ..conftest import Processor

PAST = datetime(2020, 1, 1, tzinfo=UTC)
COLORS = {
    "palette": [{"hex": "#102030", "name": "black", "share": 1.0}],
    "transparency": 0.0,
    "grey": False,
    "mean_chroma": 3.0,
    "warmth": -1.0,
    "temperature": "cool",
}


def outcome(result: dict[str, Any] | None = COLORS, failure: str | None = None, **changes: Any) -> AnalysisOutcome:
    return AnalysisOutcome(
        **{"analyzer": "colors", "version": "1", "parameters": {"colors": 6}} | changes, result=result, failure=failure
    )


async def balance_of(processor: Processor, team_id: UUID) -> int:
    left: int = await processor.rows.fetch_value(
        select(credit_account.c.balance).where(credit_account.c.team_id == team_id)
    )
    return left


async def asked(processor: Processor, body: bytes | None = None, **columns: Any) -> Record:
    """An analysis as the API leaves it: a row, its price reserved, and an image with its bytes."""
    body = processor.body() if body is None else body
    row, _ = await processor.image("ready", body)
    async with processor.parts.database.transaction() as transaction:
        reservation_id = await credits.reserve(transaction, row["team_id"], 1, "analyze:colors")
    if columns.get("status") == "running":
        columns = {"claim_token": new_id(), "lease_expires_at": PAST, **columns}
    columns["reservation_id"] = reservation_id
    sha256 = hashlib.sha256(body).digest()
    analysis_id = await testing.add_analysis(processor.rows, row["team_id"], sha256, **columns)
    return await found(processor, analysis_id)


async def found(processor: Processor, analysis_id: UUID) -> Record:
    row = await processor.rows.fetch_one(select(analysis).where(analysis.c.id == analysis_id))
    assert row is not None
    return row


async def reservation_of(processor: Processor, row: Record) -> str:
    status: str = await processor.rows.fetch_value(
        select(credit_reservation.c.status).where(credit_reservation.c.id == row["reservation_id"])
    )
    return status


def message_of(analysis_id: Any) -> dict[str, Any]:
    data = json.dumps({"id": "1", "type": "analysis.requested", "data": {"analysis_id": str(analysis_id)}})
    return {"data": base64.b64encode(data.encode()).decode(), "attributes": {}, "messageId": "1"}


async def push(processor: Processor, analysis_id: Any, token: str | None = None) -> int:
    body = {"message": message_of(analysis_id), "subscription": "s", "deliveryAttempt": 1}
    headers = {"authorization": f"Bearer {token or processor.token()}"}
    return (await processor.client.post("/push/analyses", json=body, headers=headers)).status_code


async def asked_of_file(processor: Processor, body: bytes, **columns: Any) -> Record:
    """An analysis of a file that lies in the scratch bucket only."""
    team_id = await testing.add_team(processor.rows)
    stored = await processor.parts.scratch.put(f"scratch/{team_id}/{new_id()}", body, "image/png")
    columns |= {"scratch_object": stored.name, "scratch_generation": stored.generation}
    sha256 = hashlib.sha256(body).digest()
    return await found(processor, await testing.add_analysis(processor.rows, team_id, sha256, **columns))


class TestFileThatIsNoImage:
    async def test_worker_gets_its_bytes_and_nothing_stays(self, processor: Processor) -> None:
        row = await asked_of_file(processor, b"a file")
        processor.pool.outcome = outcome()
        assert await push(processor, row["id"]) == 204
        assert processor.pool.seen == [b"a file"]
        assert (await found(processor, row["id"]))["status"] == "done"
        assert await processor.parts.scratch.list(f"scratch/{row['team_id']}/") == []

    async def test_nothing_stays_of_what_cannot_be_decoded(self, processor: Processor) -> None:
        row = await asked_of_file(processor, b"no picture")
        processor.pool.outcome = outcome(None, "image-undecodable")
        assert await push(processor, row["id"]) == 204
        assert (await found(processor, row["id"]))["failure_code"] == "image-undecodable"
        assert await processor.parts.scratch.list(f"scratch/{row['team_id']}/") == []

    @pytest.mark.parametrize("failure", [None, "image-undecodable"])
    async def test_file_stays_while_somebody_else_works_on_it(self, processor: Processor, failure: str | None) -> None:
        row = await asked_of_file(processor, b"a file")

        async def taken_over() -> None:
            await processor.rows.execute(update(analysis).values(claim_token=new_id()))

        processor.pool.before, processor.pool.outcome = taken_over, outcome(None if failure else COLORS, failure)
        assert await push(processor, row["id"]) == 204
        assert len(await processor.parts.scratch.list(f"scratch/{row['team_id']}/")) == 1

    async def test_file_stays_while_it_will_be_tried_again(self, processor: Processor) -> None:
        row = await asked_of_file(processor, b"a file")

        async def crash() -> None:
            raise WorkerUnavailable("gone")

        processor.pool.before = crash
        assert await push(processor, row["id"]) == 503
        assert len(await processor.parts.scratch.list(f"scratch/{row['team_id']}/")) == 1

    async def test_result_is_stored_although_the_file_cannot_be_removed(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = await asked_of_file(processor, b"a file")
        processor.pool.outcome = outcome()

        async def away(*_: Any) -> None:
            raise errors.StorageUnavailable("away")

        monkeypatch.setattr(processor.parts.scratch, "delete", away)
        assert await push(processor, row["id"]) == 204
        assert (await found(processor, row["id"]))["status"] == "done"

    async def test_other_bytes_than_were_sent_are_not_analysed(self, processor: Processor) -> None:
        row = await asked_of_file(processor, b"a file")
        await processor.rows.execute(update(analysis).values(sha256=testing.a_sha256("other bytes")))
        assert await push(processor, row["id"]) == 503
        assert processor.pool.seen == []


class TestAnalysis:
    async def test_result_is_stored_paid_and_told(self, processor: Processor) -> None:
        row = await asked(processor)
        processor.pool.outcome = outcome()
        assert await push(processor, row["id"]) == 204
        done = await found(processor, row["id"])
        assert (done["status"], json.loads(done["result"]), done["claim_token"]) == ("done", COLORS, None)
        assert await reservation_of(processor, row) == "committed"
        assert await processor.events() == [("analysis.completed", True)]

    async def test_worker_gets_the_bytes_that_were_asked_about(self, processor: Processor) -> None:
        row = await asked(processor, b"these bytes")
        processor.pool.outcome = outcome()
        await push(processor, row["id"])
        assert processor.pool.seen == [b"these bytes"]

    async def test_delivered_five_times_at_once_it_is_made_and_paid_once(self, processor: Processor) -> None:
        row = await asked(processor)
        processor.pool.outcome = outcome()
        statuses = await asyncio.gather(*(push(processor, row["id"]) for _ in range(5)))
        assert set(statuses) <= {204, 503}
        assert 204 in statuses
        assert len(processor.pool.seen) == 1
        assert await balance_of(processor, row["team_id"]) == testing.STARTING_CREDITS - 1
        assert len(await processor.rows.fetch(select(credit_entry).where(credit_entry.c.kind == "reserved"))) == 1

    async def test_delivered_again_when_done_it_is_acknowledged(self, processor: Processor) -> None:
        row = await asked(processor)
        processor.pool.outcome = outcome()
        assert [await push(processor, row["id"]) for _ in range(2)] == [204, 204]
        assert len(processor.pool.seen) == 1

    async def test_unknown_analysis_is_acknowledged(self, processor: Processor) -> None:
        assert await push(processor, new_id()) == 204

    async def test_message_without_an_analysis_is_not_acknowledged(self, processor: Processor) -> None:
        assert await push(processor, "none") == 400

    async def test_somebody_else_is_refused(self, processor: Processor) -> None:
        row = await asked(processor)
        assert await push(processor, row["id"], processor.token("other@test.iam.gserviceaccount.com")) == 401
        assert (await found(processor, row["id"]))["status"] == "requested"


class TestFailure:
    @pytest.mark.parametrize("code", ["image-undecodable", "processing-timeout", "picture-too-much-memory"])
    async def test_picture_that_is_rejected_fails_and_the_price_goes_back(
        self, processor: Processor, code: Any
    ) -> None:
        row = await asked(processor)

        async def reject() -> None:
            raise PictureRejected(code)

        processor.pool.before = reject
        assert await push(processor, row["id"]) == 204
        failed = await found(processor, row["id"])
        assert (failed["status"], failed["failure_code"]) == ("failed", code)
        assert await reservation_of(processor, row) == "refunded"
        assert await balance_of(processor, row["team_id"]) == testing.STARTING_CREDITS
        assert await processor.events() == [("analysis.failed", True)]

    async def test_analyzer_that_makes_a_mistake_fails_the_analysis(self, processor: Processor) -> None:
        row = await asked(processor)
        processor.pool.outcome = outcome(None, "analyzer-failed", place="colors.py:1 f")
        assert await push(processor, row["id"]) == 204
        assert (await found(processor, row["id"]))["failure_code"] == "analyzer-failed"

    async def test_bytes_that_are_gone_fail_the_analysis(self, processor: Processor) -> None:
        row = await asked(processor)
        await processor.rows.execute(update(analysis).values(sha256=testing.a_sha256("other")))
        assert await push(processor, row["id"]) == 204
        assert (await found(processor, row["id"]))["failure_code"] == "image-gone"

    @pytest.mark.parametrize(
        ("error", "hours", "attempts"),
        [
            (WorkerUnavailable("none"), 0, 0),
            (errors.StorageUnavailable("away"), 23, 0),
            (errors.StorageUnavailable("away"), 25, 1),
            (WorkerInterrupted("paused"), 0, 1),
        ],
    )
    async def test_what_may_pass_gives_the_claim_back(
        self, processor: Processor, error: Exception, hours: int, attempts: int
    ) -> None:
        row = await asked(processor, created_at=datetime.now(UTC) - timedelta(hours=hours))

        async def fail() -> None:
            raise error

        processor.pool.before = fail
        assert await push(processor, row["id"]) == 503
        back = await found(processor, row["id"])
        assert (back["status"], back["attempts"]) == ("requested", attempts)
        assert await reservation_of(processor, row) == "reserved"

    async def test_an_error_that_would_come_again_fails_the_analysis_at_once(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = await asked(processor)
        processor.pool.outcome = outcome()

        async def finish(*_: Any) -> bool:
            raise TypeError("Integer exceeds 64-bit range")

        monkeypatch.setattr(analysis_queries, "finish", finish)
        assert await push(processor, row["id"]) == 204
        assert (await found(processor, row["id"]))["failure_code"] == "processing-crashed"
        assert await reservation_of(processor, row) == "refunded"

    async def test_another_release_is_left_the_work(self, processor: Processor) -> None:
        row = await asked(processor, version="2")
        processor.pool.outcome = outcome()
        assert await push(processor, row["id"]) == 503
        assert (await found(processor, row["id"]))["status"] == "requested"

    @pytest.mark.parametrize("code", ["model-missing", "model-broken"])
    async def test_model_that_cannot_be_used_fails_and_the_price_goes_back(
        self, processor: Processor, code: str
    ) -> None:
        """Whichever version was asked for: an instance without a model stores results under none."""
        row = await asked(processor, version="1+0123456789ab")
        processor.pool.outcome = outcome(None, code)
        assert await push(processor, row["id"]) == 204
        assert (await found(processor, row["id"]))["failure_code"] == code
        assert await reservation_of(processor, row) == "refunded"

    async def test_bytes_that_differ_from_their_hash_are_not_analysed(self, processor: Processor) -> None:
        row = await asked(processor, b"as stored")
        _, other = await processor.image("ready", b"as it is")
        await processor.rows.execute(image.delete().where(image.c.object_name == other.name))
        await processor.rows.execute(update(image).values(object_name=other.name, generation=other.generation))
        assert await push(processor, row["id"]) == 503
        assert processor.pool.seen == []

    async def test_claim_that_lapsed_meanwhile_throws_the_work_away(self, processor: Processor) -> None:
        row = await asked(processor)
        other = new_id()

        async def taken_over() -> None:
            await processor.rows.execute(update(analysis).values(claim_token=other))

        processor.pool.before, processor.pool.outcome = taken_over, outcome()
        assert await push(processor, row["id"]) == 204
        assert (await found(processor, row["id"]))["claim_token"] == other
        assert await reservation_of(processor, row) == "reserved"
        assert await processor.events() == []

    async def test_without_an_attempt_left_it_fails(self, processor: Processor) -> None:
        row = await asked(processor, attempts=3)
        assert await push(processor, row["id"]) == 204
        assert (await found(processor, row["id"]))["failure_code"] == "analysis-attempts-exhausted"
        assert await reservation_of(processor, row) == "refunded"


class TestOnArrival:
    async def arrive(
        self, processor: Processor, wanted: list[str], *outcomes: AnalysisOutcome, balance: int = 10
    ) -> Record:
        row, stored = await processor.image()
        await processor.rows.execute(update(team).values(analyze_on_arrival=wanted))
        await processor.rows.execute(update(credit_account).values(balance=balance))
        processor.pool.processed = replace(PROCESSED, analyses=outcomes)
        assert await processor.push(processor.message(stored.name, stored.generation)) == 204
        return await processor.row(row["id"])

    async def test_results_are_stored_and_paid_with_the_image(self, processor: Processor) -> None:
        row = await self.arrive(processor, ["colors"], outcome())
        (stored,) = await processor.rows.fetch(select(analysis))
        assert (row["status"], stored["status"], stored["sha256"]) == ("ready", "done", row["sha256"])
        assert await balance_of(processor, row["team_id"]) == 9
        assert [kind for kind, _ in await processor.events()] == ["image.ready", "analysis.completed"]

    async def test_only_what_the_team_asks_for_is_ordered(self, processor: Processor) -> None:
        await self.arrive(processor, ["colors"])
        assert [order.analyzer for order in processor.pool.requests[0].analyses] == ["colors"]

    async def test_empty_balance_never_stops_the_image(self, processor: Processor) -> None:
        row = await self.arrive(processor, ["colors"], balance=0)
        assert row["status"] == "ready"
        assert processor.pool.requests[0].analyses == ()

    async def test_team_without_an_account_gets_its_image(self, processor: Processor) -> None:
        """As one that was made while an older version still served."""
        row, stored = await processor.image()
        await processor.rows.execute(update(team).values(analyze_on_arrival=["colors"]))
        await processor.rows.execute(delete(credit_account))
        assert await processor.push(processor.message(stored.name, stored.generation)) == 204
        assert (await processor.row(row["id"]))["status"] == "ready"

    async def test_balance_that_is_spent_meanwhile_leaves_the_result_out(self, processor: Processor) -> None:
        async def spend() -> None:
            await processor.rows.execute(update(credit_account).values(balance=0))

        processor.pool.before = spend
        row = await self.arrive(processor, ["colors"], outcome())
        assert row["status"] == "ready"
        assert await processor.rows.fetch(select(analysis)) == []

    async def test_what_is_stored_is_not_ordered_again(self, processor: Processor) -> None:
        row = await self.arrive(processor, ["colors"], outcome())
        await processor.set_row(row["id"], status="stored", ready_at=None)
        await processor.push(processor.message(row["object_name"], row["generation"]))
        assert processor.pool.requests[1].analyses == ()
        assert await balance_of(processor, row["team_id"]) == 9

    async def test_analyzer_that_fails_costs_nothing_and_leaves_the_image_ready(self, processor: Processor) -> None:
        row = await self.arrive(processor, ["colors"], outcome(None, "analyzer-failed"))
        assert row["status"] == "ready"
        assert await balance_of(processor, row["team_id"]) == 10

    async def test_asked_for_by_somebody_meanwhile_it_is_paid_by_them(self, processor: Processor) -> None:
        async def ask() -> None:
            (held,) = await processor.rows.fetch(select(image))
            await testing.add_analysis(processor.rows, held["team_id"], held["sha256"])

        processor.pool.before = ask
        row = await self.arrive(processor, ["colors"], outcome())
        assert await balance_of(processor, row["team_id"]) == 10


async def test_database_that_is_away_is_told_so(processor: Processor, monkeypatch: pytest.MonkeyPatch) -> None:
    row = await asked(processor)

    def away(*_: Any) -> Any:
        raise errors.DatabaseUnavailable("away") from OSError()

    monkeypatch.setattr(processor.parts.database, "transaction", away)
    assert await push(processor, row["id"]) == 503
