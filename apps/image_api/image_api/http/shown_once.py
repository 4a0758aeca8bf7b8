"""Fields of answers that are shown once and kept nowhere."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

_MARK = object()
ShownOnce = Annotated[
    str | None,
    Field(
        description="Secret, shown only in the first response. Null in a repeated one (`Idempotency-Replayed: true`)."
    ),
    _MARK,
]
"""A secret in an answer; an answer that is kept to be given again is kept without it."""


def shown_once(model: Any) -> frozenset[str]:
    """The names of a model's fields that are `ShownOnce`."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return frozenset()
    return frozenset(name for name, field in model.model_fields.items() if _MARK in field.metadata)
