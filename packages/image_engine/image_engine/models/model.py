"""A model as one value: its role, its place on this machine, and the version under which its results are stored."""

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
    """What a model is for.

    Attributes:
        name: the analyzer that it answers, or `embedding`.
        description: the kind of its description.
        unusable_event: logged where a setting names a model that cannot be used.
        broken_event: logged where a worker cannot load it.
    """

    name: str
    description: type[ModelDescription]
    unusable_event: str
    broken_event: str

    @property
    def is_analyzer(self) -> bool:
        """Return whether results of an analyzer come from the model."""
        return self.name in CATALOGUE


LABELS = ModelRole("labels", LabelsDescription, "model_unusable", "model_broken")
EMBEDDING = ModelRole("embedding", EmbeddingDescription, "embedding_model_unusable", "embedding_model_broken")

ROLES = {role.name: role for role in (LABELS, EMBEDDING)}
"""A new role is one more here, and how a worker loads its model in `worker/loading.py`."""


@dataclass(frozen=True, slots=True)
class Model:
    """The model of a role, or why the role has none.

    Attributes:
        path: on this machine; None where no model is configured, or it cannot be used.
        identity: its name, version and sha256, as the API shows them; None for none.
        failure: the code for which a configured model cannot be used.
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
        """Return the model as workers go on that could not load it."""
        return replace(self, path=None, failure=ModelBroken.code)
