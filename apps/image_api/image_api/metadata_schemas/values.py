"""Metadata names and values; values are returned exactly as they were sent."""

from typing import Annotated, Any

from pydantic import Field, PlainValidator, StringConstraints, WithJsonSchema

from image_api.http.field_types import describe_pattern

MAX_METADATA_KEYS = 50
MAX_VALUE_LENGTH = 512
MAX_NUMBER = 2**53

_KEY = describe_pattern(r"^[A-Za-z0-9_.-]+$", "Use only letters, digits, `_`, `.` and `-`.")
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=_KEY)]


def check_number(value: float) -> None:
    """Check that a number survives a round trip through JSON and PostgreSQL.

    Raises:
        ValueError: The number would be returned changed, or is not valid JSON.
    """
    # Larger whole numbers come back changed, and PostgreSQL writes a large float as a whole number.
    if not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise ValueError("number out of range: the limits are -2**53 and 2**53; send a larger number as text")


def _metadata_value(value: Any) -> str | float | bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        check_number(value)
        return value
    if not isinstance(value, str):
        raise ValueError("send text, a number, true or false")  # noqa: TRY004 (pydantic takes only this)
    if len(value) > MAX_VALUE_LENGTH:
        raise ValueError(f"text too long: the limit is {MAX_VALUE_LENGTH} characters")
    if "\0" in value or not _is_unicode(value):
        raise ValueError("text must be valid Unicode without NUL characters")
    return value


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


MetadataValue = Annotated[
    str | int | float | bool,
    # One error for all types together; a union would report one for each.
    PlainValidator(_metadata_value),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": MAX_VALUE_LENGTH},
                {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER},
                {"type": "boolean"},
            ]
        }
    ),
]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=MAX_METADATA_KEYS)]
