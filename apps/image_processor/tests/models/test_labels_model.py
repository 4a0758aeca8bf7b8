"""The model of `labels` from its setting to an answer: found, fetched, announced, and run by real workers."""

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, update

from image_core import admin
from image_core.db import Database
from image_core.models import analyzer_model
from image_core.storage.gcs import GcsClient
from image_engine.contract.answers import AnalysisOutcome, AnalyzedPicture
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.rejections import PictureRejected
from image_engine.contract.requests import AnalysisOrder, AnalysisRequest, ProcessingRequest
from image_engine.models.model import LABELS, ROLES, Model
from image_engine.pool.pool import WorkerPool
from image_engine.pool.worker_limits import MIB
from image_engine.pool.worker_models import WorkerModels
from image_engine.testing.models import LABELS as NAMES
from image_engine.testing.models import color_model, write_model
from image_engine.testing.pictures import png, scene
from image_engine.testing.pools import FAULTY_COMMAND, running_pool
from image_processor.models.announcement import announce
from image_processor.models.fetching import find_or_fetch_model
from image_processor.settings import ProcessorSettings

from ..conftest import Processor

MEMORY_BYTES = 512 * MIB
BUILT_IN = Model(LABELS)
REQUEST = AnalysisRequest((AnalysisOrder("labels", {"max_labels": 3, "min_score": 0}),))


def plain(*color: int) -> bytes:
    return png(np.full((40, 60, 3), color, dtype=np.float64))


def labels_model(folder: object) -> Model:
    return Model(LABELS, str(folder))


async def analyze(pool: WorkerPool, content: bytes, request: AnalysisRequest = REQUEST) -> AnalyzedPicture:
    with open_picture_file() as picture:
        picture.write(content)
        return await pool.analyze(picture, request)


def first(analyzed: AnalyzedPicture) -> str:
    (outcome,) = analyzed.outcomes
    assert outcome.result is not None
    label: str = outcome.result["labels"][0]["label"]
    return label


async def find(path: object, folder: Path, gcs: GcsClient | None = None, memory: int = MEMORY_BYTES) -> Model:
    return await find_or_fetch_model(LABELS, str(path), gcs or GcsClient(None, None), folder, memory)


def test_every_role_of_a_model_has_a_setting(processor_settings: ProcessorSettings) -> None:
    assert processor_settings.model_paths.keys() == ROLES.keys()


class TestFinding:
    async def test_without_a_setting_measurements_answer(self, tmp_path: Path) -> None:
        assert await find_or_fetch_model(LABELS, None, GcsClient(None, None), tmp_path, MEMORY_BYTES) == BUILT_IN

    async def test_folder_gives_version_and_model(self, tmp_path: Path) -> None:
        found = await find(write_model(tmp_path), tmp_path)
        assert found.identity is not None
        assert found.version == f"1+{found.identity['sha256'][:12]}"
        assert (found.failure, found.identity["name"]) == (None, "colors")

    async def test_absent_model_is_missing(self, tmp_path: Path) -> None:
        assert (await find(tmp_path / "none", tmp_path)).failure == "model-missing"

    async def test_model_that_leaves_pictures_no_memory_is_broken(self, tmp_path: Path) -> None:
        assert (await find(write_model(tmp_path), tmp_path, memory=64)).failure == "model-broken"

    @pytest.fixture
    def gcs(self, emulators: Any) -> GcsClient:
        return GcsClient(emulators.storage_host, None)

    async def store(self, gcs: GcsClient, bucket: str, folder: Path, prefix: str) -> None:
        for file in folder.iterdir():  # noqa: ASYNC240
            await gcs.bucket(bucket).put(f"{prefix}/{file.name}", file.read_bytes(), "application/octet-stream")

    async def test_model_is_fetched_from_a_bucket(self, tmp_path: Path, gcs: GcsClient, emulators: Any) -> None:
        write_model(tmp_path / "source", labels="names.txt")
        (tmp_path / "source" / "names.txt").write_text("\n".join(NAMES))
        bucket = emulators.environment["IMAGE_UPLOAD_BUCKET_NAME"]
        await self.store(gcs, bucket, tmp_path / "source", "models/v1")
        target = tmp_path / "target"
        target.mkdir()
        found = await find(f"gs://{bucket}/models/v1", target, gcs)
        assert (found.failure, found.path) == (None, str(target / "model.onnx"))
        assert (await find(f"gs://{bucket}/models/v2", target, gcs)).failure == "model-missing"
        assert (await find("gs://no-such-bucket/models", target, gcs)).failure == "model-missing"
        assert (await find(f"gs://{bucket}/models/v1", target, gcs, memory=64)).failure == "model-broken"

    async def test_fetched_model_must_be_the_one_described(
        self, tmp_path: Path, gcs: GcsClient, emulators: Any
    ) -> None:
        write_model(tmp_path / "source", sha256="0" * 64)
        bucket = emulators.environment["IMAGE_UPLOAD_BUCKET_NAME"]
        await self.store(gcs, bucket, tmp_path / "source", "models/wrong")
        assert (await find(f"gs://{bucket}/models/wrong", tmp_path, gcs)).failure == "model-broken"

    async def test_storage_that_is_away_leaves_the_model_missing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("image_core.storage.connection._RETRY_SECONDS", 0.2)
        away = GcsClient("http://127.0.0.1:9", None)
        assert (await find("gs://bucket/models", tmp_path, away)).failure == "model-missing"


class TestWorkers:
    async def test_model_answers_and_images_are_processed_beside_it(self, tmp_path: Path) -> None:
        folder = write_model(tmp_path)
        async with running_pool(labels_model(folder)) as pool:
            assert first(await analyze(pool, plain(250, 20, 30))) == "red"
            assert pool.models.failures() == {}
            with open_picture_file() as picture:
                picture.write(scene().pngsave_buffer())
                request = ProcessingRequest(analyses=(AnalysisOrder("labels"), AnalysisOrder("colors")))
                processed = await pool.process(picture, request)
            described = json.loads((folder / "model.json").read_text())
            versions = {outcome.analyzer: outcome.version for outcome in processed.analyses}
            assert versions == {"labels": f"1+{described['sha256'][:12]}", "colors": "1"}

    @pytest.mark.parametrize("failure", ["model-missing", "model-broken"])
    async def test_nothing_answers_for_a_model_that_is_not_there(self, failure: str) -> None:
        async with running_pool(Model(LABELS, failure=failure)) as pool:
            (outcome,) = (await analyze(pool, plain(1, 2, 3))).outcomes
            assert (outcome.result, outcome.failure) == (None, failure)
            colors = await analyze(pool, plain(1, 2, 3), AnalysisRequest((AnalysisOrder("colors"),)))
            assert colors.outcomes[0].failure is None

    async def test_model_that_cannot_be_loaded_leaves_the_rest_working(self, tmp_path: Path) -> None:
        async with running_pool(labels_model(write_model(tmp_path, b"no model")), size=2) as pool:
            assert pool.models.failures() == {"labels": "model-broken"}
            (outcome,) = (await analyze(pool, plain(1, 2, 3))).outcomes
            assert (outcome.result, outcome.failure) == (None, "model-broken")

    async def test_model_that_kills_its_worker_leaves_the_rest_working(self, tmp_path: Path) -> None:
        command = (sys.executable, "-c", KILLED_BY_A_MODEL)
        async with running_pool(labels_model(write_model(tmp_path)), command=command) as pool:
            assert pool.models.failures() == {"labels": "model-broken"}
            assert (await analyze(pool, plain(1, 2, 3))).outcomes[0].failure == "model-broken"


KILLED_BY_A_MODEL = """
import os, sys
if "--model" in sys.argv:
    os.abort()
from image_engine.worker.main import main
main()
"""


class TestBatches:
    async def test_each_picture_gets_its_own_answer(self, tmp_path: Path) -> None:
        colors = {"red": plain(250, 9, 9), "green": plain(9, 250, 9), "blue": plain(9, 9, 250)}
        wanted = [name for _ in range(7) for name in colors]
        async with running_pool(labels_model(write_model(tmp_path))) as pool:
            answers = await asyncio.gather(*(analyze(pool, colors[name]) for name in wanted))
        assert [first(answer) for answer in answers] == wanted

    async def test_one_bad_picture_fails_alone(self, tmp_path: Path) -> None:
        dark, bright, none = plain(9, 9, 9), plain(250, 120, 90), b"no picture"
        model = write_model(tmp_path, color_model(log_of=0.2), activation="softmax")
        async with running_pool(labels_model(model)) as pool:
            answers = await asyncio.gather(
                *(analyze(pool, content) for content in (bright, none, dark, bright)), return_exceptions=True
            )
        assert isinstance(answers[1], PictureRejected)
        assert answers[1].code == "not-an-image"
        others = [answer.outcomes[0] for answer in answers if isinstance(answer, AnalyzedPicture)]
        assert [outcome.failure for outcome in others] == [None, "model-broken", None]

    async def test_who_waits_is_handed_over_together(self, tmp_path: Path) -> None:
        async with running_pool(labels_model("any"), command=FAULTY_COMMAND) as pool:
            answers = await asyncio.gather(*(analyze(pool, b"fine") for _ in range(6)))
        assert {answer.step_seconds["pictures"] for answer in answers} == {6}

    async def test_picture_that_takes_its_worker_down_costs_itself_alone(self) -> None:
        is_answered = {}
        async with running_pool(labels_model("any"), command=FAULTY_COMMAND, deadline_seconds=1.0) as pool:
            for order in (b"crash", b"hang", b"lie", b"short"):
                answers = await asyncio.gather(
                    *(analyze(pool, content) for content in (b"fine", order, b"fine")), return_exceptions=True
                )
                is_answered[order] = [isinstance(answer, AnalyzedPicture) for answer in answers]
        alone = [True, False, True]
        assert is_answered == {b"crash": alone, b"hang": alone, b"lie": alone, b"short": [True, True, True]}

    async def test_whoever_gives_up_takes_nobody_along(self) -> None:
        async with running_pool(labels_model("any"), command=FAULTY_COMMAND) as pool:
            asking = [asyncio.create_task(analyze(pool, b"fine")) for _ in range(4)]
            await asyncio.sleep(0)
            asking[0].cancel()
            answers = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert all(isinstance(answer, AnalyzedPicture) for answer in answers[1:])


class TestAnnouncement:
    NEW = Model(LABELS, identity={"name": "new", "version": "2", "sha256": "b" * 64})

    async def told(self, rows: Database) -> list[tuple[str, Any]]:
        return [
            (row["version"], row["model"] and json.loads(row["model"]))
            for row in await rows.fetch(select(analyzer_model))
        ]

    async def test_present_model_is_told(self, processor: Processor) -> None:
        assert await announce(processor.parts.database, BUILT_IN)
        assert await self.told(processor.rows) == [("1", None)]
        assert await announce(processor.parts.database, self.NEW)
        assert await announce(processor.parts.database, self.NEW)
        assert await self.told(processor.rows) == [(self.NEW.version, self.NEW.identity)]

    async def test_older_instance_does_not_take_over_during_a_deployment(self, processor: Processor) -> None:
        for model in (BUILT_IN, self.NEW):
            await announce(processor.parts.database, model)
        assert not await announce(processor.parts.database, BUILT_IN)
        assert await self.told(processor.rows) == [(self.NEW.version, self.NEW.identity)]

    async def test_older_instance_takes_over_from_one_that_was_rolled_back(self, processor: Processor) -> None:
        for model in (BUILT_IN, self.NEW):
            await announce(processor.parts.database, model)
        await processor.rows.execute(update(analyzer_model).values(updated_at=datetime(2020, 1, 1, tzinfo=UTC)))
        assert await announce(processor.parts.database, BUILT_IN)
        assert await self.told(processor.rows) == [("1", None)]


async def test_readiness_warns_of_a_model_that_cannot_be_used(processor: Processor) -> None:
    assert "warnings" not in (await processor.client.get("/health/ready")).json()
    processor.pool.models = WorkerModels(Model(LABELS, failure="model-broken"))
    answer = await processor.client.get("/health/ready")
    assert (answer.status_code, answer.json()["warnings"]) == (200, ["labels: model-broken"])


def test_outcome_of_a_model_that_is_missing_is_taken_from_a_worker() -> None:
    values = {"analyzer": "labels", "version": "1", "parameters": {}, "result": None, "failure": "model-missing"}
    assert AnalysisOutcome.from_json(values).failure == "model-missing"


async def test_evaluation_takes_a_model_from_a_bucket(
    tmp_path: Path, emulators: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = emulators.environment["IMAGE_UPLOAD_BUCKET_NAME"]
    storage = GcsClient(emulators.storage_host, None)
    for file in write_model(tmp_path / "model").iterdir():
        await storage.bucket(bucket).put(f"judged/{file.name}", file.read_bytes(), "application/octet-stream")
    await storage.close()
    (tmp_path / "pictures" / "red").mkdir(parents=True)
    (tmp_path / "pictures" / "red" / "1.png").write_bytes(plain(250, 9, 9))
    monkeypatch.setattr("image_core.storage.gcs.GcsClient", lambda *_: GcsClient(emulators.storage_host, None))
    arguments = ["--dataset", str(tmp_path / "pictures"), "--model", f"gs://{bucket}/judged", "--json"]
    await asyncio.to_thread(admin.main, ["evaluate", *arguments])
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1
