"""Checks of the model that a setting names, before any worker gets it.

The model is on this machine: models from elsewhere are downloaded first.
"""

from pathlib import Path

from image_core.telemetry import log
from image_engine.models.description import ModelBroken, ModelMissing, ModelUnavailable
from image_engine.models.loading import file_names, read_model
from image_engine.models.model import Model, ModelRole

# The memory of onnxruntime itself in a worker, and how much larger a loaded model is than its file.
_RUNTIME_BYTES = 64 * 1024 * 1024
_LOADED_TO_FILE = 2
# A larger share would leave too little of a worker's memory for pictures.
_WORKER_TO_MODEL = 4

TOO_LARGE = "a model has at most {} bytes, a quarter of WORKER_MEMORY_LIMIT_BYTES; pictures need the rest."


def find_model(role: ModelRole, path: str | None, worker_memory_bytes: int) -> Model:
    """Check a model on this machine; log one that cannot be used, and return it with its failure."""
    if path is None:
        return Model(role)
    try:
        size_bytes = _size_of(file_names(path)[0])
        max_bytes = max_model_bytes(worker_memory_bytes)
        if size_bytes > max_bytes:
            raise ModelBroken(f"{path} is too large: {TOO_LARGE.format(max_bytes)}")
        identity = read_model(path, role.description).description.identity
    except ModelUnavailable as error:
        return unusable(role, error)
    return Model(role, path, identity, worker_bytes=_RUNTIME_BYTES + _LOADED_TO_FILE * size_bytes)


def unusable(role: ModelRole, error: ModelUnavailable) -> Model:
    """Log why a role has no model, and return it with that failure."""
    log(role.unusable_event, severity="ERROR", code=error.code, reason=str(error))
    return Model(role, failure=error.code)


def max_model_bytes(worker_memory_bytes: int) -> int:
    """Return the largest model file that leaves a worker enough memory for pictures."""
    return worker_memory_bytes // _WORKER_TO_MODEL


def _size_of(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError as error:
        raise ModelMissing(f"{path}: {error.strerror}") from error
