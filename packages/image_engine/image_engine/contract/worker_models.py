"""Which models the workers of a pool are given, and which of them turned out to be of no use."""

import logging

logger = logging.getLogger(__name__)

LABELS, EMBEDDING = "labels: ", "embedding: "
"""With what a worker's last words begin where it cannot load a model."""


class WorkerModels:
    """Images never depend on a model: one that cannot be loaded is given up, and the workers go on without it.

    Attributes:
        labels_failure: the code with which `labels` fails, where a model is wanted and cannot be used.
        embedding_failure: the code for which there are no vectors of a model, likewise.
    """

    def __init__(self, labels: str | None, labels_failure: str | None, embedding: str | None) -> None:
        self.labels, self.embedding = labels, embedding
        self.labels_failure = labels_failure
        self.embedding_failure: str | None = None
        self._have_loaded = False

    def options(self) -> list[str]:
        """What a worker is told of them."""
        named = (
            ("--labels-failure", self.labels_failure),
            ("--labels-model", self.labels),
            ("--embedding-model", self.embedding),
        )
        return [word for option, value in named if value is not None for word in (option, value)]

    def may_be_to_blame(self) -> bool:
        """Whether a worker that does not start may do so for a model: one that has loaded before is not suspected."""
        return not self._have_loaded and (self.labels is not None or self.embedding is not None)

    def started(self, failure: str | None) -> None:
        """Takes note of a worker that is ready, and of what it could not load."""
        for line in (failure or "").splitlines():
            if line.startswith(LABELS):
                self._give_up_labels(line.removeprefix(LABELS))
            elif line.startswith(EMBEDDING):
                self._give_up_embedding(line.removeprefix(EMBEDDING))
        self._have_loaded = True

    def give_up(self, reason: str) -> None:
        """Gives all of them up: the worker did not live to say which."""
        if self.labels is not None:
            self._give_up_labels(reason)
        if self.embedding is not None:
            self._give_up_embedding(reason)

    def _give_up_labels(self, reason: str) -> None:
        if self.labels_failure is None:
            logger.error("model_broken", extra={"reason": reason})
        self.labels, self.labels_failure = None, "model-broken"

    def _give_up_embedding(self, reason: str) -> None:
        if self.embedding_failure is None:
            logger.error("embedding_model_broken", extra={"reason": reason})
        self.embedding, self.embedding_failure = None, "model-broken"
