"""Bounded types for what a worker reports about a picture: all of it can be stored as JSON and in PostgreSQL.

The worker omits values that do not fit (`fitting_facts`); the parent rejects an answer that contains any.
"""

import math
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

_MOST_TEXT, _MOST_NUMBER = 1_000, 1e15
_MOST_RESULT_TEXT, _MOST_DEPTH = 20_000, 8
# Half of a surrogate pair is not a character, but JSON can express it.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

Whole = Annotated[int, Field(strict=True, ge=0, le=2**53 - 1)]
"""A number that every JSON parser reads exactly."""
Size = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
"""A number for an integer column."""
Number = Annotated[float, Field(strict=True, ge=-_MOST_NUMBER, le=_MOST_NUMBER, allow_inf_nan=False)]
Seconds = Annotated[float, Field(strict=True, ge=0, le=1e6, allow_inf_nan=False)]
Line = Annotated[str, Field(strict=True, max_length=_MOST_TEXT, pattern=r"^[^\x00-\x1f\x7f]*$")]
Word = Annotated[str, Field(strict=True, pattern=r"^[a-z0-9_-]{1,60}$")]
StepSeconds = Annotated[dict[Word, Seconds], Field(max_length=50)]
Flag = Annotated[bool, Field(strict=True)]

FactValue = Flag | Annotated[int, Field(strict=True, ge=-(2**53) + 1, le=2**53 - 1)] | Number | Line
CameraFacts = Annotated[dict[Word, FactValue], Field(max_length=100)]

_FACT: TypeAdapter[FactValue] = TypeAdapter(FactValue)


def fitting_facts(found: Mapping[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
    """Omit values that cannot be stored or that no camera produces."""
    return {name: value for name, value in found.items() if _fits(value)}


def _fits(value: object) -> bool:
    try:
        _FACT.validate_python(value)
    except ValidationError:
        return False
    return True


def is_storable(value: object, depth: int = _MOST_DEPTH) -> bool:
    """Return whether a JSON value fits jsonb: no NUL, no lone surrogates, bounded depth."""
    if isinstance(value, str):
        # Half of a surrogate pair is not a character, but JSON can express it.
        return len(value) <= _MOST_RESULT_TEXT and not any(
            character == "\x00" or "\ud800" <= character <= "\udfff" for character in value
        )
    if isinstance(value, float):
        return math.isfinite(value) and abs(value) <= _MOST_NUMBER
    if isinstance(value, int):
        return abs(value) < 2**53
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        return depth > 0 and all(is_storable(character, depth - 1) for character in value)
    return value is None
