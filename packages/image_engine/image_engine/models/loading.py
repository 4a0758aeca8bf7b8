"""Reading a model and its description from this machine."""

import hashlib
from pathlib import Path
from typing import Generic, NamedTuple

from image_engine.models.description import Described, ModelBroken, ModelMissing, parse_description

MODEL_FILE = "model.onnx"
MAX_DESCRIPTION_BYTES = 4 * 1024 * 1024


class DescribedModel(NamedTuple, Generic[Described]):
    """A model whose hash matches its description, and the complete description."""

    description: Described
    content: bytes


def file_names(path: str) -> tuple[str, str]:
    """Return the names of a model and its description; a setting names an .onnx file, a folder or a prefix."""
    model = path if path.endswith(".onnx") else f"{path.rstrip('/')}/{MODEL_FILE}"
    return model, f"{model.removesuffix('.onnx')}.json"


def companion_name(model: str, companion: str) -> str:
    """Return the full name of a companion file of a model."""
    return f"{model.rpartition('/')[0]}/{companion}"


def read_model(path: str, kind: type[Described]) -> DescribedModel[Described]:
    """Read a model from this machine and check it against its description.

    Raises:
        ModelMissing: The model, its description or its companion file does not exist.
        ModelBroken: The description is not valid, or belongs to another file.
    """
    model, described = file_names(path)
    description = parse_description(_read(described), kind)
    content = _read(model)
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != description.sha256:
        raise ModelBroken(f"The model's SHA-256 is {sha256}, its description says {description.sha256}.")
    if description.companion is not None:
        description = description.with_companion(_read(companion_name(model, description.companion)))
    return DescribedModel(description, content)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ModelMissing(f"{path}: {error.strerror}") from error
