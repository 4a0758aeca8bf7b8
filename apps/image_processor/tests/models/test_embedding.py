"""The model that makes vectors, from its setting to the rows by which similar images are found."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips

from image_core.images.similarity import DESCRIPTOR_MODEL
from image_core.storage.gcs import GcsClient
from image_engine.analyzers.onnx_embedding import OnnxEmbedding
from image_engine.analyzers.onnx_model import OnnxModel
from image_engine.contract.answers import ProcessedPicture
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.requests import ProcessingRequest
from image_engine.models.description import EmbeddingDescription, ModelBroken
from image_engine.models.loading import read_model
from image_engine.models.model import EMBEDDING, LABELS, Model
from image_engine.pool.pool import WorkerPool
from image_engine.pool.worker_limits import MIB
from image_engine.pool.worker_models import WorkerModels
from image_engine.testing.models import color_model, write_model
from image_engine.testing.pictures import png
from image_engine.testing.pools import FAULTY_COMMAND, running_pool
from image_processor.models.fetching import find_or_fetch_model

from ..conftest import Processor


def write_embedding(folder: Path, model: bytes | None = None, **changes: Any) -> Path:
    """A model whose vector is the mean colour."""
    write_model(folder, model)
    described = json.loads((folder / "model.json").read_text())
    kept = {name: described[name] for name in ("name", "version", "sha256", "input")}
    (folder / "model.json").write_text(json.dumps({**kept, "dimensions": 3, **changes}))
    return folder


def embedding(folder: Path) -> OnnxEmbedding:
    return OnnxEmbedding(OnnxModel(read_model(str(folder), EmbeddingDescription)))


def plain(*color: int) -> pyvips.Image:
    return pyvips.Image.new_from_array(np.full((40, 60, len(color)), color, dtype=np.uint8)).copy(interpretation="srgb")


def embedding_model(folder: object) -> Model:
    return Model(EMBEDDING, str(folder))


async def process(pool: WorkerPool, content: bytes, **wanted: Any) -> ProcessedPicture:
    with open_picture_file() as picture:
        picture.write(content)
        return await pool.process(picture, ProcessingRequest(**wanted))


class TestVectors:
    def test_vector_is_the_models_at_length_one(self, tmp_path: Path) -> None:
        made = embedding(write_embedding(tmp_path)).embed(plain(60, 0, 80))
        assert made == [pytest.approx(0.6, abs=1e-4), 0, pytest.approx(0.8, abs=1e-4)]

    def test_transparency_is_on_white(self, tmp_path: Path) -> None:
        made = embedding(write_embedding(tmp_path)).embed(plain(60, 0, 80, 0))
        assert made == pytest.approx([3**-0.5] * 3, abs=1e-4)

    def test_one_pixel_has_a_vector(self, tmp_path: Path) -> None:
        assert embedding(write_embedding(tmp_path)).embed(plain(0, 9, 0).crop(0, 0, 1, 1)) == [0, 1, 0]

    def test_another_model_has_another_name(self, tmp_path: Path) -> None:
        one, other = (
            embedding(write_embedding(tmp_path / name, color_model(batch=batch)))
            for name, batch in (("a", 1), ("b", "N"))
        )
        assert one.model != other.model
        assert one.model.startswith("colors-")

    def test_vector_without_a_direction_is_none(self, tmp_path: Path) -> None:
        made = embedding(write_embedding(tmp_path))
        with pytest.raises(ModelBroken, match="without a direction"):
            made.embed(plain(0, 0, 0))

    @pytest.mark.parametrize(
        ("change", "told"),
        [({"dimensions": 4}, "the description says"), ({"dimensions": 4001}, "dimensions"), ({"name": "A b"}, "name")],
    )
    def test_what_is_not_as_described_is_refused(self, tmp_path: Path, change: dict[str, Any], told: str) -> None:
        with pytest.raises(ModelBroken, match=told):
            embedding(write_embedding(tmp_path, **change))


class TestWorkers:
    async def test_image_has_the_vector_beside_the_descriptor(self, tmp_path: Path) -> None:
        folder = write_embedding(tmp_path)
        async with running_pool(embedding_model(folder)) as pool:
            made = await process(pool, png(np.full((40, 60, 3), (60, 0, 80), dtype=np.float64)))
            without = await process(pool, png(np.full((40, 60, 3), (60, 0, 80), dtype=np.float64)), embed=False)
        name = read_model(str(folder), EmbeddingDescription).description.vector_model
        assert set(made.vectors) == {DESCRIPTOR_MODEL, name}
        assert made.vectors[name] == pytest.approx([0.6, 0, 0.8], abs=0.02)
        assert set(without.vectors) == {DESCRIPTOR_MODEL}

    async def test_picture_without_a_vector_is_still_an_image(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with running_pool(embedding_model(write_embedding(tmp_path))) as pool:
            made = await process(pool, png(np.zeros((40, 60, 3))))
        assert set(made.vectors) == {DESCRIPTOR_MODEL}
        assert "without a direction" in str([vars(record) for record in caplog.records])

    async def test_model_that_cannot_be_loaded_leaves_the_rest_working(self, tmp_path: Path) -> None:
        labels = write_model(tmp_path / "labels")
        broken = write_embedding(tmp_path / "embedding", b"no model")
        async with running_pool(embedding_model(broken), Model(LABELS, str(labels)), size=2) as pool:
            assert pool.models.failures() == {"embedding": "model-broken"}
            assert set((await process(pool, png(np.full((9, 9, 3), 99.0)))).vectors) == {DESCRIPTOR_MODEL}

    async def test_model_that_kills_its_worker_leaves_the_rest_working(self, tmp_path: Path) -> None:
        script = (
            "import os, sys\nif 'embedding' in sys.argv and '--model' in sys.argv: os.abort()\n"
            "from image_engine.worker.main import main\nmain()"
        )
        model = embedding_model(write_embedding(tmp_path))
        async with running_pool(model, command=(sys.executable, "-c", script)) as pool:
            assert pool.models.failures() == {"embedding": "model-broken"}
            assert set((await process(pool, png(np.full((9, 9, 3), 99.0)))).vectors) == {DESCRIPTOR_MODEL}

    async def test_picture_that_takes_its_worker_down_with_a_model_gets_a_chance_without(self) -> None:
        async with running_pool(embedding_model("any"), command=FAULTY_COMMAND) as pool:
            assert (await process(pool, b"embed crash")).facts.format == "png"


class TestFinding:
    async def find(self, path: object, folder: Path) -> Any:
        return await find_or_fetch_model(EMBEDDING, path and str(path), GcsClient(None, None), folder, 512 * MIB)

    async def test_without_a_setting_the_descriptor_is_alone(self, tmp_path: Path) -> None:
        assert await self.find(None, tmp_path) == Model(EMBEDDING)

    async def test_model_is_checked_before_any_worker_gets_it(self, tmp_path: Path) -> None:
        found = await self.find(write_embedding(tmp_path / "a"), tmp_path)
        assert (found.path, found.failure) == (str(tmp_path / "a"), None)
        assert (await self.find(tmp_path / "none", tmp_path)).failure == "model-missing"
        assert (await self.find(write_embedding(tmp_path / "b", sha256="0" * 64), tmp_path)).failure == "model-broken"
        assert (await self.find(write_model(tmp_path / "c"), tmp_path)).failure == "model-broken"


async def test_readiness_warns_of_a_model_that_cannot_be_used(processor: Processor) -> None:
    processor.pool.models = WorkerModels(Model(EMBEDDING, failure="model-broken"))
    answer = await processor.client.get("/health/ready")
    assert (answer.status_code, answer.json()["warnings"]) == (200, ["embedding: model-broken"])
