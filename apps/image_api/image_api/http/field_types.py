"""Field types that are strict where pydantic's own are lenient, and that describe in words what they accept."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Strict

from image_api.actor import Scope

_SCOPES = frozenset(Scope)

PATTERN_WORDS: dict[str, str] = {}
"""Descriptions of regular expressions: errors never show the expression itself."""


def describe_pattern(pattern: str, words: str) -> str:
    """Return the pattern, after registering its description for errors."""
    PATTERN_WORDS[pattern] = words
    return pattern


LINE = describe_pattern(r"^[^\x00-\x1f\x7f]*$", "Send text without line breaks and other control characters.")
TEXT = describe_pattern(r"^[^\x00]*$", "Send text without NUL characters.")


def _digits(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"-?\d{1,400}", value, re.ASCII):
        raise ValueError("send a whole number in digits")
    return value


JsonInteger = Annotated[int, Strict()]
"""A whole number in a JSON body: no string, fraction or boolean."""
JsonBoolean = Annotated[bool, Strict()]
"""true or false in a JSON body, without conversion from other types."""
KnownScopes = Annotated[
    list[Scope], BeforeValidator(lambda scopes: [scope for scope in scopes if scope in _SCOPES] if scopes else scopes)
]
"""Scopes in a response. Those that a newer release has granted are left out: this one does not know them."""
QueryInteger = Annotated[int, BeforeValidator(_digits)]
"""A whole number in a query string."""
