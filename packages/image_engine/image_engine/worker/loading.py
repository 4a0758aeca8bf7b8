"""The models of a worker: their files are read before its code is confined, and loaded afterwards.

For each model that cannot be used, a line that begins with its role goes to standard error; the worker continues.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from image_core.analyses.catalogue import CATALOGUE
from image_engine.analyzers.analyzer import Analyzer
from image_engine.analyzers.no_model import NoModel
from image_engine.models.description import MODEL_FAILURES, ModelBroken, ModelUnavailable
from image_engine.models.loading import DescribedModel, read_model
from image_engine.models.model import EMBEDDING, LABELS, ROLES
from image_engine.worker.analysis import BUILT_IN

ReadModel = DescribedModel[Any] | ModelUnavailable


@dataclass
class LoadedModels:
    """The analyzers and models that a worker runs.

    Attributes:
        analyzers: by name; one whose model cannot be used fails.
        embedding: an `OnnxEmbedding`, or None without an embedding model.
        are_complete: False if one of the models that were read cannot be used.
    """

    analyzers: dict[str, Analyzer] = field(default_factory=lambda: dict(BUILT_IN))
    embedding: Any = None
    are_complete: bool = True


def read_models(paths: Mapping[str, str]) -> dict[str, ReadModel]:
    """Read the model of each role, or find out why it cannot be read."""
    return {role: _read(role, path) for role, path in paths.items()}


def _read(role: str, path: str) -> ReadModel:
    try:
        return read_model(path, ROLES[role].description)
    except ModelUnavailable as error:
        return error


def load_models(models: Mapping[str, ReadModel], failures: Mapping[str, str]) -> LoadedModels:
    """Load the models that were read; `failures` has the codes of configured models not given to the worker."""
    loaded = LoadedModels()
    for role, code in failures.items():
        _put(loaded, role, MODEL_FAILURES[code]("no model"))
    for role, model in models.items():
        try:
            _put(loaded, role, _load(role, model))
        except ModelUnavailable as error:
            sys.stderr.write(f"{role}: {error}\n")
            _put(loaded, role, error)
            loaded.are_complete = False
    return loaded


def _put(loaded: LoadedModels, role: str, answers: Any) -> None:
    if role == EMBEDDING.name:
        loaded.embedding = None if isinstance(answers, ModelUnavailable) else answers
    elif isinstance(answers, ModelUnavailable):
        loaded.analyzers[role] = NoModel(CATALOGUE[role], answers)
    else:
        loaded.analyzers[role] = answers


def _load(role: str, model: ReadModel) -> Any:
    if isinstance(model, ModelUnavailable):
        raise model
    try:
        return LOADERS[role](model)
    except ImportError as error:
        raise ModelBroken("onnxruntime is not installed: install the extra `analysis` of image-processor.") from error


# onnxruntime is imported only if there is a model.


def _load_labels(model: DescribedModel[Any]) -> Any:
    from image_engine.analyzers.onnx_labels import OnnxLabels
    from image_engine.analyzers.onnx_model import OnnxModel

    return OnnxLabels(OnnxModel(model))


def _load_embedding(model: DescribedModel[Any]) -> Any:
    from image_engine.analyzers.onnx_embedding import OnnxEmbedding
    from image_engine.analyzers.onnx_model import OnnxModel

    return OnnxEmbedding(OnnxModel(model))


LOADERS: dict[str, Callable[[DescribedModel[Any]], Any]] = {
    LABELS.name: _load_labels,
    EMBEDDING.name: _load_embedding,
}
