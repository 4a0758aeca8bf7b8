"""A model as one value: its role, its path on this machine, and the version under which its results are stored."""

from dataclasses import dataclass, replace
from typing import Any

from image_core.analyses.catalogue import CATALOGUE
from image_engine.models.description import (
    EmbeddingDescription,
    LabelsDescription,
    ModelBroken,
    ModelDescription,
    result_version,
)


@dataclass(frozen=True, slots=True)
class ModelRole:
    """The purpose of a model.

    Attributes:
        name: the analyzer that it answers, or `embedding`.
        description: the class of its description.
        unusable_event: logged if a setting names a model that cannot be used.
        broken_event: logged if a worker cannot load it.
    """

    name: str
    description: type[ModelDescription]
    unusable_event: str
    broken_event: str

    @property
    def is_analyzer(self) -> bool:
        """Return whether an analyzer's results come from the model."""
        return self.name in CATALOGUE


LABELS = ModelRole("labels", LabelsDescription, "model_unusable", "model_broken")
EMBEDDING = ModelRole("embedding", EmbeddingDescription, "embedding_model_unusable", "embedding_model_broken")

ROLES = {role.name: role for role in (LABELS, EMBEDDING)}
"""A new role needs an entry here, and its loading in `worker/loading.py`."""


@dataclass(frozen=True, slots=True)
class Model:
    """The model of a role, or the reason why the role has none.

    Attributes:
        path: on this machine; None if no model is configured, or it cannot be used.
        identity: its name, version and sha256, as the API shows them; None if there is none.
        failure: the code with which a configured model cannot be used.
        worker_bytes: how much of each worker's memory it takes.
    """

    role: ModelRole
    path: str | None = None
    identity: dict[str, Any] | None = None
    failure: str | None = None
    worker_bytes: int = 0

    @property
    def version(self) -> str:
        """The version under which the analyzer's results are stored."""
        built_in = CATALOGUE[self.role.name].version
        return built_in if self.identity is None else result_version(built_in, self.identity["sha256"])

    def given_up(self) -> "Model":
        """Return the model without its file, for workers that could not load it."""
        return replace(self, path=None, failure=ModelBroken.code)
