"""Run labelled pictures through the same worker processes as in the service; nothing is stored."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from image_engine.contract.limits import PictureLimits
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.rejections import PictureRejected
from image_engine.contract.requests import AnalysisOrder, AnalysisRequest
from image_engine.evaluation.dataset import LabelledPicture
from image_engine.evaluation.figures import BEST, Answer
from image_engine.models import finding
from image_engine.models.model import ROLES, Model, ModelRole
from image_engine.pool.pool import WorkerPool
from image_engine.pool.worker_limits import MIB, WorkerLimits
from image_engine.pool.worker_models import WorkerModels

_LIMITS = WorkerLimits(deadline_seconds=60.0, memory_limit_bytes=512 * MIB, rss_mark_bytes=256 * MIB)

FindModel = Callable[[ModelRole, str, Path, int], Awaitable[Model]]
"""Find the model of a role by its path, given a folder for downloads and the memory of a worker in bytes."""


class Judged(NamedTuple):
    """The field of a result that is compared with a picture's label, and the one with its confidence."""

    field: str
    confidence: str | None
    parameters: Mapping[str, Any] = {}


JUDGED = {
    "quality": Judged("verdict", None),
    "colors": Judged("temperature", None),
    "skin": Judged("skin_type", "confidence"),
    "labels": Judged("labels", None, {"max_labels": BEST, "min_score": 0}),
}


class ModelUnusable(Exception):
    """The model cannot be evaluated; the log says why."""


async def find_here(role: ModelRole, path: str, _folder: Path, worker_memory_bytes: int) -> Model:
    """Find a model on this machine."""
    return await asyncio.to_thread(finding.find_model, role, path, worker_memory_bytes)


async def judge(
    analyzer: str,
    judged: Judged,
    pictures: Sequence[LabelledPicture],
    model_path: str | None,
    workers: int,
    find_model: FindModel,
) -> Sequence[Answer]:
    """Run an analyzer on each picture.

    Raises:
        ModelUnusable: The model cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        models = WorkerModels()
        if model_path is not None:
            model = await find_model(ROLES[analyzer], model_path, Path(folder), _LIMITS.memory_limit_bytes)
            models = WorkerModels(model)
        pool = WorkerPool(workers, _LIMITS, models)
        await pool.start()
        try:
            if failures := models.failures():
                raise ModelUnusable(", ".join(failures.values()))
            turns = asyncio.Semaphore(workers)
            return await asyncio.gather(*(_ask(pool, turns, analyzer, judged, picture) for picture in pictures))
        finally:
            await pool.stop()


async def _ask(
    pool: WorkerPool, turns: asyncio.Semaphore, analyzer: str, judged: Judged, picture: LabelledPicture
) -> Answer:
    request = AnalysisRequest((AnalysisOrder(analyzer, dict(judged.parameters)),), PictureLimits())
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
    """Return the field of a result that is evaluated; labels are in the order of confidence."""
    value = result.get(judged.field)
    if value is None:
        return (), None
    if judged.field == "labels":
        return tuple(each["label"] for each in value), value[0]["score"] if value else None
    return (str(value),), result[judged.confidence] if judged.confidence else None
