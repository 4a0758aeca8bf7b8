"""Which models work here: fetched and checked before the workers start; that of `labels` is told to the API."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread

from image_core import errors
from image_core.analyses.catalogue import CATALOGUE
from image_core.storage.gcs import GcsClient
from image_core.storage.protocol import ObjectMissing, ObjectStorage, ObjectTooLarge
from image_core.telemetry import log
from image_engine.models.description import (
    MAX_DESCRIPTION_BYTES,
    EmbeddingDescription,
    LabelsDescription,
    ModelBroken,
    ModelDescription,
    ModelMissing,
    ModelUnavailable,
    file_names,
    labels_file,
    parse_description,
    read_labels_model,
    read_model,
)

_SPEC = CATALOGUE["labels"]
_SCHEME = "gs://"
# What onnxruntime itself takes in a worker, and how much larger a loaded model is than its file.
_RUNTIME_BYTES = 64 * 1024 * 1024
_LOADED_TO_FILE = 2
# More would leave too little of a worker's memory to pictures.
_MOST_OF_WORKER = 4


@dataclass(frozen=True)
class LabelsModel:
    """What answers `labels`.

    Attributes:
        version: under which its results are stored.
        model: its name, version and sha256, as the API shows them; None for the built-in measurements.
        path: the model on this machine.
        failure: the code with which `labels` fails, where a model is configured and there is none.
        worker_bytes: what it takes of each worker's memory.
    """

    version: str = _SPEC.version
    model: dict[str, Any] | None = None
    path: str | None = None
    failure: str | None = None
    worker_bytes: int = 0


BUILT_IN_LABELS = LabelsModel()


@dataclass(frozen=True)
class EmbeddingModel:
    """What makes vectors beside the built-in descriptor, where there is one; the fields are those of `LabelsModel`."""

    path: str | None = None
    failure: str | None = None
    worker_bytes: int = 0


NO_EMBEDDING = EmbeddingModel()


async def find_labels_model(
    model_path: str | None, gcs: GcsClient, folder: Path, worker_memory_bytes: int
) -> LabelsModel:
    """Fetches and checks the model that a setting names; `folder` receives what comes from a bucket."""
    if model_path is None:
        return BUILT_IN_LABELS
    most_bytes = worker_memory_bytes // _MOST_OF_WORKER
    try:
        path = await _local(model_path, gcs, folder, most_bytes, LabelsDescription)
        return await anyio.to_thread.run_sync(_checked_labels, path, most_bytes)
    except ModelUnavailable as error:
        log("model_unusable", severity="ERROR", code=error.code, reason=str(error))
        return LabelsModel(failure=error.code)


async def find_embedding_model(
    model_path: str | None, gcs: GcsClient, folder: Path, worker_memory_bytes: int
) -> EmbeddingModel:
    """The same for the model that makes vectors."""
    if model_path is None:
        return NO_EMBEDDING
    most_bytes = worker_memory_bytes // _MOST_OF_WORKER
    try:
        path = await _local(model_path, gcs, folder, most_bytes, EmbeddingDescription)
        return await anyio.to_thread.run_sync(_checked_embedding, path, most_bytes)
    except ModelUnavailable as error:
        log("embedding_model_unusable", severity="ERROR", code=error.code, reason=str(error))
        return EmbeddingModel(failure=error.code)


def _checked_labels(path: str, most_bytes: int) -> LabelsModel:
    worker_bytes = _worker_bytes(path, most_bytes)
    description = read_labels_model(path).description
    return LabelsModel(description.result_version(_SPEC.version), _shown(description), path, None, worker_bytes)


def _checked_embedding(path: str, most_bytes: int) -> EmbeddingModel:
    worker_bytes = _worker_bytes(path, most_bytes)
    read_model(path, EmbeddingDescription)
    return EmbeddingModel(path, None, worker_bytes)


def _worker_bytes(path: str, most_bytes: int) -> int:
    size_bytes = _size_of(file_names(path)[0])
    if size_bytes > most_bytes:
        raise _too_large(most_bytes)
    return _RUNTIME_BYTES + _LOADED_TO_FILE * size_bytes


def _size_of(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError as error:
        raise ModelMissing(f"{path}: {error.strerror}") from error


def _too_large(most_bytes: int) -> ModelBroken:
    return ModelBroken(
        f"The model has more than {most_bytes} bytes, a quarter of WORKER_MEMORY_LIMIT_BYTES: pictures need the rest."
    )


def _shown(description: ModelDescription) -> dict[str, Any]:
    return description.model_dump(include={"name", "version", "sha256"})


async def _local(model_path: str, gcs: GcsClient, folder: Path, most_bytes: int, kind: type[ModelDescription]) -> str:
    """The path of a model on this machine."""
    if not model_path.startswith(_SCHEME):
        return model_path
    bucket, _, prefix = model_path.removeprefix(_SCHEME).partition("/")
    models = gcs.bucket(bucket)
    return await _fetch(models, prefix, folder, most_bytes, kind)


async def _fetch(
    models: ObjectStorage, prefix: str, folder: Path, most_bytes: int, kind: type[ModelDescription]
) -> str:
    model, described = (name.lstrip("/") for name in file_names(prefix))
    target = folder / "model.onnx"
    await _download(models, described, folder / "model.json", MAX_DESCRIPTION_BYTES)
    description = parse_description((folder / "model.json").read_bytes(), kind)
    if (labels := labels_file(description, model)) is not None:
        await _download(models, labels.lstrip("/"), folder / Path(labels).name, MAX_DESCRIPTION_BYTES)
    await _download(models, model, target, most_bytes)
    return str(target)


async def _download(models: ObjectStorage, name: str, target: Path, most_bytes: int) -> None:
    try:
        found = await models.stat(name)
        if found is None:
            raise ModelMissing(f"{_SCHEME}{models.bucket}/{name} is not there.")
        with target.open("wb") as file:
            await models.download(name, found.generation, file, most_bytes)
    except ObjectTooLarge as error:
        raise _too_large(most_bytes) from error
    except (ObjectMissing, errors.StorageUnavailable) as error:
        raise ModelMissing(f"{_SCHEME}{models.bucket}/{name} cannot be read.") from error
