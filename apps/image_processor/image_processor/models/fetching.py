"""Download of the models that settings name in a bucket, before the workers start."""

from collections.abc import Mapping
from pathlib import Path

import anyio.to_thread

from image_core import errors
from image_core.storage.gcs import GcsClient
from image_core.storage.protocol import ObjectMissing, ObjectStorage, ObjectTooLarge
from image_engine.models.description import ModelBroken, ModelMissing, ModelUnavailable, parse_description
from image_engine.models.finding import TOO_LARGE, find_model, max_model_bytes, unusable
from image_engine.models.loading import MAX_DESCRIPTION_BYTES, MODEL_FILE, companion_name, file_names
from image_engine.models.model import ROLES, Model, ModelRole

_SCHEME = "gs://"


async def find_models(
    paths: Mapping[str, str | None], gcs: GcsClient, folder: Path, worker_memory_bytes: int
) -> list[Model]:
    """Find the model of each role that a setting can name; downloads go into a separate folder per role."""
    models = []
    for role, path in paths.items():
        (folder / role).mkdir()
        models.append(await find_or_fetch_model(ROLES[role], path, gcs, folder / role, worker_memory_bytes))
    return models


async def find_or_fetch_model(
    role: ModelRole, path: str | None, gcs: GcsClient, folder: Path, worker_memory_bytes: int
) -> Model:
    """Check a model on this machine or in a bucket; log one that cannot be used, and return it with its failure."""
    if path is not None and path.startswith(_SCHEME):
        bucket, _, prefix = path.removeprefix(_SCHEME).partition("/")
        try:
            path = await _fetch(role, gcs.bucket(bucket), prefix, folder, worker_memory_bytes)
        except ModelUnavailable as error:
            return unusable(role, error)
    return await anyio.to_thread.run_sync(find_model, role, path, worker_memory_bytes)


async def _fetch(role: ModelRole, models: ObjectStorage, prefix: str, folder: Path, worker_memory_bytes: int) -> str:
    """Download a model with its companion files, and return its local path."""
    model, described = (name.lstrip("/") for name in file_names(prefix))
    target, description_file = (folder / name for name in file_names(MODEL_FILE))
    await _download(models, described, description_file, MAX_DESCRIPTION_BYTES)
    description = parse_description(description_file.read_bytes(), role.description)
    if (companion := description.companion) is not None:
        name = companion_name(model, companion).lstrip("/")
        await _download(models, name, folder / companion, MAX_DESCRIPTION_BYTES)
    max_bytes = max_model_bytes(worker_memory_bytes)
    await _download(models, model, target, max_bytes, TOO_LARGE.format(max_bytes))
    return str(target)


async def _download(models: ObjectStorage, name: str, target: Path, max_bytes: int, limit: str | None = None) -> None:
    uri = f"{_SCHEME}{models.bucket}/{name}"
    try:
        stored = await models.stat(name)
        if stored is None:
            raise ModelMissing(f"{uri} does not exist.")
        with target.open("wb") as file:
            await models.download(name, stored.generation, file, max_bytes)
    except ObjectTooLarge as error:
        raise ModelBroken(f"{uri} is too large: {limit or f'it may have {max_bytes} bytes.'}") from error
    except (ObjectMissing, errors.StorageUnavailable) as error:
        raise ModelMissing(f"{uri} cannot be read.") from error
