"""Language tags (BCP 47): `en`, `pt-BR`, `zh-Hant-TW`."""

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from image_api.http.field_types import describe_pattern

# A tag that software has to handle has at most 35 characters. Source: RFC 5646, section 4.4.1.
_MAX_LENGTH = 35
# Well-formed tags without those that were registered before there was a grammar. Source: RFC 5646, section 2.1.
_TAG = describe_pattern(
    "^(?:[A-Za-z]{2,3}(?:-[A-Za-z]{3}){0,3}|[A-Za-z]{4,8})"
    "(?:-[A-Za-z]{4})?"
    "(?:-(?:[A-Za-z]{2}|[0-9]{3}))?"
    "(?:-(?:[A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*"
    "(?:-[0-9A-WY-Za-wy-z](?:-[A-Za-z0-9]{2,8})+)*"
    "(?:-[Xx](?:-[A-Za-z0-9]{1,8})+)?$",
    "Send a language tag such as `en` or `pt-BR` (BCP 47).",
)


def to_conventional_case(tag: str) -> str:
    """Return a tag as it is usually written: `EN-gb` becomes `en-GB`, `zh-hant` becomes `zh-Hant`.

    Source: RFC 5646, section 2.1.1.
    """
    first, *others = tag.lower().split("-")
    # Whatever follows a single character stays lower case.
    cased = next((at for at, subtag in enumerate([first, *others]) if len(subtag) == 1), len(others) + 1)
    cases: dict[int, Callable[[str], str]] = {2: str.upper, 4: str.title}
    return "-".join(
        [first, *(cases.get(len(subtag), str)(subtag) if at < cased else subtag for at, subtag in enumerate(others, 1))]
    )


LanguageTag = Annotated[
    str, StringConstraints(max_length=_MAX_LENGTH, pattern=_TAG), AfterValidator(to_conventional_case)
]
