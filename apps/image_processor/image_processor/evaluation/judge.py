"""Runs labelled pictures through the same worker processes as in the processor; nothing is stored."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from image_core.storage.gcs import GcsClient
from image_engine.contract.limits import PictureLimits
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.rejections import PictureRejected
from image_engine.contract.requests import AnalysisOrder, AnalysisRequest
from image_engine.pool.pool import MIB, WorkerPool
from image_processor.evaluation.dataset import LabelledPicture
from image_processor.evaluation.figures import BEST, Answer
from image_processor.models.labels_model import LabelsModel, find_labels_model

_WORKER_MEMORY_BYTES = 512 * MIB
_DEADLINE_SECONDS = 60.0


class Judged(NamedTuple):
    """The field of a result that is compared with a picture's label, and the one that says how certain it is."""

    field: str
    confidence: str | None


JUDGED = {
    "quality": Judged("verdict", None),
    "colors": Judged("temperature", None),
    "skin": Judged("skin_type", "confidence"),
    "labels": Judged("labels", None),
}


class ModelUnusable(Exception):
    """The model cannot be judged; the log says why."""


async def judge(
    analyzer: str, judged: Judged, pictures: Sequence[LabelledPicture], model_path: str | None, workers: int
) -> Sequence[Answer]:
    """Ask an analyzer about each picture. Raises `ModelUnusable`."""
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        gcs = GcsClient(None, None)
        try:
            model = await find_labels_model(model_path, gcs, Path(folder), _WORKER_MEMORY_BYTES)
        finally:
            await gcs.close()
        pool = _pool(model, workers)
        await pool.start()
        try:
            if pool.models.labels_failure is not None:
                raise ModelUnusable(pool.models.labels_failure)
            turns = asyncio.Semaphore(workers)
            return await asyncio.gather(*(_ask(pool, turns, analyzer, judged, each) for each in pictures))
        finally:
            await pool.stop()


def _pool(model: LabelsModel, workers: int) -> WorkerPool:
    return WorkerPool(
        size=workers,
        deadline_seconds=_DEADLINE_SECONDS,
        memory_limit_bytes=_WORKER_MEMORY_BYTES,
        rss_mark_bytes=_WORKER_MEMORY_BYTES // 2 + model.worker_bytes,
        labels_model=model.path,
        labels_failure=model.failure,
    )


async def _ask(
    pool: WorkerPool, turns: asyncio.Semaphore, analyzer: str, judged: Judged, picture: LabelledPicture
) -> Answer:
    parameters = {"max_labels": BEST, "min_score": 0} if analyzer == "labels" else {}
    request = AnalysisRequest((AnalysisOrder(analyzer, parameters),), PictureLimits())
    async with turns:
        with open_picture_file() as file:
            file.write(await asyncio.to_thread(picture.path.read_bytes))
            started = time.monotonic()
            try:
                (outcome,) = (await pool.analyze(file, request)).outcomes
            except PictureRejected as rejection:
                return Answer(picture.label, (), None, time.monotonic() - started, rejection.code)
            seconds = time.monotonic() - started
    given, confidence = _given(outcome.result or {}, judged)
    return Answer(picture.label, given, confidence, seconds, outcome.failure)


def _given(result: dict[str, Any], judged: Judged) -> tuple[tuple[str, ...], float | None]:
    """What a result says in the field that is judged; a list of labels is in the order of certainty."""
    value = result.get(judged.field)
    if value is None:
        return (), None
    if judged.field == "labels":
        return tuple(each["label"] for each in value), value[0]["score"] if value else None
    return (str(value),), result[judged.confidence] if judged.confidence else None
