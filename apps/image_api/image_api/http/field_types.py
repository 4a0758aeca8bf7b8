"""Types of fields that are strict where the library's own are kind, and say in words what they take."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Strict

PATTERN_WORDS: dict[str, str] = {}
"""What each regular expression asks for: nobody is shown the expression."""


def described(pattern: str, words: str) -> str:
    """Return the pattern, and remember its words for the errors."""
    PATTERN_WORDS[pattern] = words
    return pattern


LINE = described(r"^[^\x00-\x1f\x7f]*$", "Send text without line breaks and other control characters.")
TEXT = described(r"^[^\x00]*$", "Send text without NUL characters.")


def _digits(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"-?\d{1,400}", value, re.ASCII):
        raise ValueError("send a whole number in digits")
    return value


JsonInteger = Annotated[int, Strict()]
"""A whole number in a JSON body: no text, no fraction, no boolean."""
JsonBoolean = Annotated[bool, Strict()]
"""true or false in a JSON body, and nothing that only counts as such."""
QueryInteger = Annotated[int, BeforeValidator(_digits)]
"""A whole number in a query string."""
