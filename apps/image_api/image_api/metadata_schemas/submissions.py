"""Schemas of submissions: pictures that people send in with their age, gender, place and country."""

import re

from image_api.metadata_schemas.rules import Declared
from image_api.metadata_schemas.schemas import DeclaredField

WORDS = ("age", "gender", "place", "country")


def pattern_of(word: str) -> str:
    """Return the regular expression, in any case, of fields with a name such as `place` or `place_of_living`."""
    return rf"^{word}($|[_.-])"


def ordered_fields(declared: Declared) -> list[DeclaredField]:
    """Return the fields of a schema: the first one for each word, then the others as they are declared."""
    found = (
        next((name for name in declared if re.match(pattern_of(word), name, re.IGNORECASE)), None) for word in WORDS
    )
    return [declared[name] for name in dict.fromkeys([*(name for name in found if name), *declared])]
