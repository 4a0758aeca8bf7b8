"""Decisions about near-duplicates."""

from image_core.errors.kinds import NotFound


class DecisionNotFound(NotFound):
    """The decision does not exist."""

    code = "decision-not-found"
