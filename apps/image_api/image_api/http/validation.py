"""Translation of pydantic's validation errors into one error that names every field."""

import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from image_api.http.field_types import PATTERN_WORDS
from image_core import errors
from image_core.errors.nearest import nearest_hint

_TIME_WORDS = "Send a time with its zone such as 2026-03-01T12:00:00Z."
_ID_WORDS = "Send an id such as 0199c0de-0000-7000-8000-000000000004."
_NUMBER_WORDS = "Send a number."
_INTEGER_WORDS = "Send a whole number."
_WORDS = {
    "missing": "This field is required.",
    "extra_forbidden": "Unknown field.",
    "string_type": "Send text.",
    "string_unicode": "Send text in valid Unicode.",
    "string_too_short": "Send at least {min_length} characters.",
    "string_too_long": "Send at most {max_length} characters.",
    "too_short": "Send at least {min_length}.",
    "too_long": "Send at most {max_length}.",
    "int_type": _INTEGER_WORDS,
    "int_parsing": _INTEGER_WORDS,
    "int_parsing_size": _INTEGER_WORDS,
    "int_from_float": _INTEGER_WORDS,
    "float_type": _NUMBER_WORDS,
    "float_parsing": _NUMBER_WORDS,
    "finite_number": _NUMBER_WORDS,
    "bool_type": "Send true or false.",
    "bool_parsing": "Send true or false.",
    "greater_than": "Must be greater than {gt}.",
    "greater_than_equal": "Must be at least {ge}.",
    "less_than": "Must be less than {lt}.",
    "less_than_equal": "Must be at most {le}.",
    "enum": "Must be one of {expected}.",
    "literal_error": "Must be one of {expected}.",
    "list_type": "Send a list.",
    "dict_type": "Send an object.",
    "model_type": "Send an object.",
    "model_attributes_type": "Send an object.",
    "json_invalid": "Not valid JSON.",
    "json_type": "Send text.",
    "uuid_type": _ID_WORDS,
    "uuid_parsing": _ID_WORDS,
    "datetime_type": _TIME_WORDS,
    "datetime_parsing": _TIME_WORDS,
    "timezone_aware": _TIME_WORDS,
}
_NAME = "[key]"


def request_invalid(items: Iterable[Any], skip: int = 0, model: Any = None, within: str = "") -> errors.RequestInvalid:
    """Return the error for the items of a `ValidationError.errors()`.

    `skip` leaves out the first parts of each location, and `within` prefixes the fields. If the validated `model` is
    given, unknown names get a suggestion.
    """
    fields: list[dict[str, str]] = []
    for item in items:
        message = describe_error(item)
        # Suggestions take longer than the rest, so they are computed only for errors that are shown.
        if item["type"] == "extra_forbidden" and len(fields) < errors.MAX_NAMED_FIELDS:
            *place, name = item["loc"][skip:]
            message += nearest_hint(str(name), _members(model, place))
        name = ".".join(filter(None, (within, _field(item["loc"], skip))))
        fields.append({"field": name, "code": item["type"], "message": message})
    return errors.invalid_fields(fields)


def describe_error(error: Mapping[str, Any]) -> str:
    """Return what is expected, without pydantic's terms; messages of our own validators stay as they are."""
    kind, context = error["type"], {name: _plain(value) for name, value in error.get("ctx", {}).items()}
    if kind == "value_error":
        message = sentence(str(context["error"]))
    elif kind == "string_pattern_mismatch":
        message = PATTERN_WORDS.get(context["pattern"], "Format not valid.")
    elif kind == "model_attributes_type" and isinstance(error.get("input"), bytes):
        # A body without a JSON media type is not parsed as JSON.
        message = "Send JSON, with the header `Content-Type: application/json`."
    elif kind in ("too_long", "too_short"):
        message = _WORDS[kind].format(**context).removesuffix(".") + f" {_counted_unit(error)}."
    else:
        message = _WORDS.get(kind, "Not valid.").format(**context)
    message = re.sub(r"\b1 (character|item|member)s\b", r"1 \1", message)
    return f"Name not valid. {message}" if error["loc"][-1:] == (_NAME,) else message


def sentence(text: str) -> str:
    """Return a text with a capital first letter and a full stop or question mark at its end."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?')) else '.'}"


def _field(place: tuple[Any, ...], skip: int) -> str:
    parts = [str(part) for part in place[skip:] if part != _NAME]
    return ".".join(parts) or str(place[0] if place else "body")


def _plain(value: Any) -> Any:
    """Return 1.0 as 1."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _members(annotation: Any, place: list[Any]) -> list[str]:
    """Return the member names at a location within a type; positions in lists are ignored."""
    for name in place:
        if isinstance(name, str):
            inner = [model.model_fields[name].annotation for model in _models(annotation) if name in model.model_fields]
            annotation = inner[0] if inner else None
    return [name for model in _models(annotation) for name in model.model_fields]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)


def _counted_unit(error: Mapping[str, Any]) -> str:
    return {"Dictionary": "members", "List": "items"}.get(error.get("ctx", {}).get("field_type", ""), "characters")
