"""Cloud Vision's real client against a server of its real method, and what its answers do to an analysis."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.cloud.vision_v1 import types
from sqlalchemy import select, update

from image_core.analyses.catalogue import (
    CATALOGUE,
    VISION_PRICE_CREDITS,
    VISION_VERSION,
    canonical_parameters,
    canonical_result,
)
from image_core.analyses.results import LabelsParameters
from image_core.db import to_json
from image_core.models import analysis, credit_account, event, team
from image_engine.contract.answers import Derivative
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.requests import ProcessingRequest
from image_engine.pool.pool import WorkerPool
from image_engine.testing.pictures import photograph
from image_engine.testing.results import PROCESSED
from image_processor.analyses import job
from image_processor.parts import Outcome
from image_processor.vision import VISION_PRESET, CloudVision, VisionRefused, VisionUnavailable

from .analyses.test_analysis_jobs import asked as asked_of
from .analyses.test_analysis_jobs import balance_of, found, reservation_of
from .conftest import Processor
from .vision_server import VisionServer, fjord, vision_server

LABELS = CATALOGUE["labels"]
PARAMETERS, DIGEST = canonical_parameters(LABELS, {})
Status = grpc.StatusCode


@pytest.fixture
async def server() -> AsyncIterator[VisionServer]:
    async with vision_server() as started:
        yield started


@pytest.fixture
async def vision(server: VisionServer) -> AsyncIterator[CloudVision]:
    client = CloudVision("vision.googleapis.com", server.host, attempt_seconds=2, total_seconds=3)
    yield client
    await client.close()


async def label(vision: CloudVision, **parameters: Any) -> Any:
    return await vision.label(b"picture", LabelsParameters(**parameters))


class TestAnswers:
    async def test_labels_safe_search_text_and_landmarks_are_asked_for_in_one_call(
        self, server: VisionServer, vision: CloudVision
    ) -> None:
        server.script = [fjord()]
        result = await label(vision)
        (request,) = server.requests
        assert request.image.content == b"picture"
        assert [(feature.type_.name, feature.max_results) for feature in request.features] == [
            ("LABEL_DETECTION", 10),
            ("SAFE_SEARCH_DETECTION", 0),
            ("TEXT_DETECTION", 0),
            ("LANDMARK_DETECTION", 0),
        ]
        assert [(each.label, round(each.score, 2)) for each in result.labels] == [("Fjord", 0.97), ("Mountain", 0.91)]
        assert result.safe_search.model_dump() == {
            "adult": "very-unlikely",
            "spoof": "unlikely",
            "medical": "possible",
            "violence": "likely",
            "racy": "very-likely",
        }
        assert result.text == "Welcome to\nGeiranger"
        assert [(each.name, each.latitude) for each in result.landmarks] == [
            ("Geirangerfjord", pytest.approx(62.1)),
            ("Preikestolen", None),
        ]
        assert (result.source, result.model.sha256) == ("vision", None)
        canonical_result(LABELS, result)

    async def test_parameters_hold_for_it_too(self, server: VisionServer, vision: CloudVision) -> None:
        server.script = [fjord()]
        result = await label(vision, max_labels=1, min_score=0)
        assert [each.label for each in result.labels] == ["Fjord"]
        assert len((await label(vision, min_score=0)).labels) == 3

    async def test_picture_with_nothing_in_it_has_no_labels(self, server: VisionServer, vision: CloudVision) -> None:
        server.script = [types.AnnotateImageResponse()]
        result = await label(vision)
        assert (result.labels, result.text, result.landmarks) == ([], None, [])
        assert result.safe_search.adult == "unknown"


class TestFaults:
    @pytest.mark.parametrize("status", [Status.UNAVAILABLE, Status.RESOURCE_EXHAUSTED, Status.INTERNAL])
    async def test_what_may_pass_is_tried_again(
        self, server: VisionServer, vision: CloudVision, status: grpc.StatusCode
    ) -> None:
        server.script = [status, status, fjord()]
        assert (await label(vision)).labels[0].label == "Fjord"
        assert len(server.requests) == 3

    async def test_call_that_hangs_is_made_again(self, server: VisionServer) -> None:
        server.script = ["hang", fjord()]
        vision = CloudVision("", server.host, attempt_seconds=0.5, total_seconds=20)
        assert (await label(vision)).labels[0].label == "Fjord"
        await vision.close()

    @pytest.mark.parametrize("fault", [Status.RESOURCE_EXHAUSTED, Status.UNAVAILABLE, "hang"])
    async def test_what_does_not_pass_is_left_for_later(self, server: VisionServer, fault: Any) -> None:
        server.script = [fault]
        vision = CloudVision("", server.host, attempt_seconds=0.2, total_seconds=0.4)
        with pytest.raises(VisionUnavailable):
            await label(vision)
        await vision.close()

    async def test_nobody_there_is_left_for_later(self) -> None:
        vision = CloudVision("", "127.0.0.1:9", attempt_seconds=0.2, total_seconds=0.4)
        with pytest.raises(VisionUnavailable):
            await label(vision)
        await vision.close()

    @pytest.mark.parametrize("code", [4, 8, 13, 14])
    async def test_picture_that_was_not_looked_at_is_left_for_later(
        self, server: VisionServer, vision: CloudVision, code: int
    ) -> None:
        server.script = [types.AnnotateImageResponse(error={"code": code, "message": "later"})]
        with pytest.raises(VisionUnavailable):
            await label(vision)

    async def test_answer_without_a_picture_is_left_for_later(self, server: VisionServer, vision: CloudVision) -> None:
        server.script = ["nothing"]
        with pytest.raises(VisionUnavailable):
            await label(vision)

    @pytest.mark.parametrize("status", [Status.PERMISSION_DENIED, Status.UNAUTHENTICATED, Status.INVALID_ARGUMENT])
    async def test_what_will_not_change_is_refused_at_once(
        self, server: VisionServer, vision: CloudVision, status: grpc.StatusCode
    ) -> None:
        server.script = [status]
        with pytest.raises(VisionRefused):
            await label(vision)
        assert len(server.requests) == 1

    async def test_picture_that_is_not_taken_is_refused(self, server: VisionServer, vision: CloudVision) -> None:
        server.script = [types.AnnotateImageResponse(error={"code": 3, "message": "Bad image data."})]
        with pytest.raises(VisionRefused, match="code 3"):
            await label(vision)

    async def test_nobody_to_call_as_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file")
        with pytest.raises(VisionRefused):
            await label(CloudVision("vision.googleapis.com", None))


async def test_picture_is_reduced_and_loses_its_metadata() -> None:
    pool = WorkerPool(size=1)
    await pool.start()
    try:
        with open_picture_file() as picture:
            picture.write(photograph(2000, 1500))
            made = await pool.process(picture, ProcessingRequest((VISION_PRESET,)))
    finally:
        await pool.stop()
    (reduced,) = made.derivatives
    assert (reduced.width_px, reduced.height_px, reduced.content_type) == (1600, 1200, "image/webp")
    assert b"Exif" not in reduced.content


async def asked(processor: Processor) -> Any:
    processor.pool.processed = replace(PROCESSED, derivatives=(Derivative("vision", 40, 30, 1, b"reduced"),))
    return await asked_of(
        processor, analyzer="labels", version=VISION_VERSION, parameters=to_json(PARAMETERS), parameters_hash=DIGEST
    )


class TestJob:
    async def test_answer_is_stored_and_paid(
        self, processor: Processor, server: VisionServer, vision: CloudVision
    ) -> None:
        server.script, row = [fjord()], await asked(processor)
        assert await job.handle(replace(processor.parts, vision=vision), row["id"]) == Outcome.DONE
        stored = await found(processor, row["id"])
        assert (stored["status"], stored["version"]) == ("done", "1+vision")
        assert '"source": "vision"' in stored["result"]
        assert [request.image.content for request in server.requests] == [b"reduced"]
        assert processor.pool.requests[0].presets == (VISION_PRESET,)
        assert await reservation_of(processor, row) == "committed"

    async def test_refusal_fails_and_the_price_goes_back(
        self, processor: Processor, server: VisionServer, vision: CloudVision
    ) -> None:
        server.script, row = [Status.PERMISSION_DENIED], await asked(processor)
        assert await job.handle(replace(processor.parts, vision=vision), row["id"]) == Outcome.DONE
        assert (await found(processor, row["id"]))["failure_code"] == "vision-refused"
        assert await reservation_of(processor, row) == "refunded"

    async def test_what_may_pass_is_left_to_the_queue(self, processor: Processor, server: VisionServer) -> None:
        server.script, row = [Status.UNAVAILABLE], await asked(processor)
        vision = CloudVision("", server.host, attempt_seconds=0.2, total_seconds=0.3)
        assert await job.handle(replace(processor.parts, vision=vision), row["id"]) == Outcome.LATER
        assert (await found(processor, row["id"]))["status"] == "requested"
        await vision.close()


class TestOnArrival:
    async def arrive(self, processor: Processor, balance: int = 10) -> Any:
        row, stored = await processor.image()
        await processor.rows.execute(update(team).values(analyze_on_arrival=["labels"], label_source="vision"))
        await processor.rows.execute(update(credit_account).values(balance=balance))
        assert await processor.push(processor.message(stored.name, stored.generation)) == 204
        return await processor.row(row["id"])

    async def test_image_is_ready_before_its_labels_are_there(self, processor: Processor) -> None:
        row = await self.arrive(processor)
        (requested,) = await processor.rows.fetch(select(analysis))
        assert processor.pool.requests[0].analyses == ()
        assert (row["status"], requested["status"], requested["version"]) == ("ready", "requested", VISION_VERSION)
        assert requested["parameters_hash"] == DIGEST
        assert await balance_of(processor, row["team_id"]) == 10 - VISION_PRICE_CREDITS
        (message,) = await processor.rows.fetch(select(event).where(event.c.topic == "analyses"))
        assert message["published_at"] is not None

    async def test_empty_balance_never_stops_the_image(self, processor: Processor) -> None:
        row = await self.arrive(processor, balance=VISION_PRICE_CREDITS - 1)
        assert row["status"] == "ready"
        assert await processor.rows.fetch(select(analysis)) == []
        assert await balance_of(processor, row["team_id"]) == VISION_PRICE_CREDITS - 1

    async def test_what_is_asked_for_is_not_asked_again(self, processor: Processor) -> None:
        row = await self.arrive(processor)
        await processor.set_row(row["id"], status="stored", ready_at=None)
        await processor.push(processor.message(row["object_name"], row["generation"]))
        assert len(await processor.rows.fetch(select(analysis))) == 1
        assert await balance_of(processor, row["team_id"]) == 10 - VISION_PRICE_CREDITS

    async def test_asked_for_by_somebody_meanwhile_it_is_paid_by_them(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def unknown(*_: Any) -> bool:
            return False

        row = await self.arrive(processor)
        monkeypatch.setattr("image_processor.analyses.queries.is_known", unknown)
        await processor.set_row(row["id"], status="stored", ready_at=None)
        await processor.push(processor.message(row["object_name"], row["generation"]))
        assert len(await processor.rows.fetch(select(analysis))) == 1
        assert await balance_of(processor, row["team_id"]) == 10 - VISION_PRICE_CREDITS
