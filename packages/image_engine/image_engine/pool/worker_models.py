"""The models that the workers of a pool load, and those that turned out to be unusable."""

from collections.abc import Iterable

from image_core.telemetry import log
from image_engine.models.model import ROLES, Model


class WorkerModels:
    """One model per role. Images never depend on one: workers continue without a model that cannot be loaded.

    Attributes:
        worker_bytes: how much of each worker's memory all of them take.
    """

    def __init__(self, *models: Model) -> None:
        self._models = {name: Model(role) for name, role in ROLES.items()} | {
            model.role.name: model for model in models
        }
        self._have_loaded = False
        self.worker_bytes = sum(model.worker_bytes for model in models)

    def __getitem__(self, role: str) -> Model:
        """Return the current model of a role."""
        return self._models[role]

    def answering(self) -> list[Model]:
        """Return the current model of each analyzer that can have one; none if the configured one cannot be used."""
        return [model for model in self._models.values() if model.role.is_analyzer and model.failure is None]

    def versions(self) -> dict[str, str]:
        """Return the versions under which results are stored, by the name of each analyzer that can have a model."""
        return {name: model.version for name, model in self._models.items() if model.role.is_analyzer}

    def failures(self) -> dict[str, str]:
        """Return the failures of configured models that cannot be used, by role."""
        return {name: model.failure for name, model in self._models.items() if model.failure is not None}

    def are_usable(self, roles: Iterable[str]) -> bool:
        """Return whether one of these roles has a model that workers load; other names have none."""
        return any(role in self._models and self._models[role].path is not None for role in roles)

    def options(self) -> list[str]:
        """Return the command-line options of a worker for these models."""
        options: list[str] = []
        for name, model in self._models.items():
            if model.path is not None:
                options += ("--model", name, model.path)
            elif model.failure is not None:
                options += ("--model-failure", name, model.failure)
        return options

    def may_be_to_blame(self) -> bool:
        """Return whether a model may keep a worker from starting; one that has loaded before is not suspected."""
        return not self._have_loaded and self.are_usable(self._models)

    def record_start(self, failure: str | None) -> None:
        """Record the models that a ready worker could not load; `failure` has one line per model, by role."""
        for line in (failure or "").splitlines():
            role, _, reason = line.partition(": ")
            if role in self._models:
                self._give_up(role, reason)
        self._have_loaded = True

    def give_up(self, reason: str) -> None:
        """Stop using all models: the worker died before it could say which one failed."""
        for name, model in self._models.items():
            if model.path is not None:
                self._give_up(name, reason)

    def _give_up(self, role: str, reason: str) -> None:
        model = self._models[role]
        if model.failure is None:
            log(model.role.broken_event, severity="ERROR", reason=reason)
        self._models[role] = model.given_up()
