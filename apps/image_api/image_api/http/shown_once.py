"""Response fields that are shown once and not stored."""

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
"""A secret in a response; idempotency stores the response without it."""


def shown_once(model: Any) -> frozenset[str]:
    """Return the names of a model's fields that are `ShownOnce`."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return frozenset()
    return frozenset(name for name, field in model.model_fields.items() if _MARK in field.metadata)
