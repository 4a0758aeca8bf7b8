"""The fields of an image's metadata in its form: those of the team's schema, or one of JSON without a schema."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from image_api.console.forms import METADATA_PREFIX
from image_api.metadata_schemas import service as metadata_schemas
from image_api.metadata_schemas.rules import Declared
from image_api.metadata_schemas.schemas import NUMBERS, DeclaredField, FieldType, is_date
from image_core import errors
from image_core.db import Record, Runner

_JSON = "metadata"
_LONG = 80
_JSON_TYPES = (*NUMBERS, FieldType.BOOLEAN)


class Input(NamedTuple):
    """A field of the form; the type is one of HTML, `select` or `textarea`."""

    name: str
    label: str
    type: str
    hint: str
    options: list[tuple[str, str]]
    required: bool


@dataclass(frozen=True)
class MetadataForm:
    """The metadata of an image, and the fields that its team declares; without any, the form has one of JSON."""

    declared: Declared
    stored: dict[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the form's fields."""
        return tuple(f"{METADATA_PREFIX}{name}" for name in self.declared) or (_JSON,)

    def texts(self) -> dict[str, str]:
        """Return what the fields show of the stored metadata."""
        if self.declared:
            return {f"{METADATA_PREFIX}{name}": _text_of(self.stored.get(name)) for name in self.declared}
        return {_JSON: orjson.dumps(self.stored, option=orjson.OPT_INDENT_2).decode() if self.stored else ""}

    def inputs(self) -> list[Input]:
        """Return the fields; empty without a schema."""
        return [_input(field, self.stored.get(name)) for name, field in self.declared.items()]

    def undeclared(self) -> list[str]:
        """Return the names of stored metadata that have no field, from before the schema."""
        return [name for name in self.stored if name not in self.declared] if self.declared else []

    def patch(self, sent: dict[str, str]) -> dict[str, Any]:
        """Return the merge patch from what is stored to what was sent.

        Raises:
            errors.RequestInvalid: The JSON is no object.
        """
        shown = self.texts()
        changed = [name for name in self.names if sent[name] != shown[name].strip()]
        if not self.declared:
            return self._patch_to(_read_object(sent[_JSON])) if changed else {}
        fields = {name: self.declared[name.removeprefix(METADATA_PREFIX)] for name in changed}
        return {field.name: _value_of(field, sent[name]) for name, field in fields.items()}

    def read(self, sent: Mapping[str, str]) -> dict[str, Any]:
        """Return the metadata of a new image; fields that the schema no longer has are left for it to refuse."""
        texts = {name.removeprefix(METADATA_PREFIX): text for name, text in sent.items() if text}
        return {
            name: _value_of(self.declared[name], text) if name in self.declared else text
            for name, text in texts.items()
        }

    def json_names(self) -> list[str]:
        """Return the names of the fields whose texts are JSON: numbers, true and false."""
        return [f"{METADATA_PREFIX}{name}" for name, field in self.declared.items() if field.type in _JSON_TYPES]

    def _patch_to(self, wanted: dict[str, Any]) -> dict[str, Any]:
        removed = dict.fromkeys(name for name in self.stored if name not in wanted)
        # As JSON: for Python, 1 and true are the same.
        return removed | {
            name: value
            for name, value in wanted.items()
            if name not in self.stored or orjson.dumps(value) != orjson.dumps(self.stored[name])
        }


async def find_metadata_form(runner: Runner, row: Record) -> MetadataForm:
    """Return the form of an image's metadata."""
    declared = await metadata_schemas.declared_fields(runner, row["team_id"])
    return MetadataForm(declared, orjson.loads(row["metadata"]))


def read_number(text: str) -> float | None:
    """Return a number, whole where it is written so; None if the text is none."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _read_object(text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        message = 'Send a JSON object, such as {"place": "Oslo"}.'
        raise errors.invalid_fields([{"field": _JSON, "code": "json_invalid", "message": message}])
    return value


def _text_of(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return orjson.dumps(value).decode()


def _value_of(field: DeclaredField, text: str) -> Any:
    """Return what a text says in a field, null if it is empty; one that does not fit is refused by the schema."""
    if not text:
        return None
    if field.type is FieldType.BOOLEAN:
        return {"true": True, "false": False}.get(text, text)
    number = read_number(text) if field.type in NUMBERS else None
    return text if number is None else number


def _input(field: DeclaredField, stored: Any) -> Input:
    shown = _text_of(stored)
    choices = field.enum or (["true", "false"] if field.type is FieldType.BOOLEAN else [])
    # A value from before the schema stays unless somebody chooses another.
    options = list(dict.fromkeys(["", *choices, shown])) if choices else []
    texts = {"": "None"} | ({"true": "Yes", "false": "No"} if field.type is FieldType.BOOLEAN else {})
    return Input(
        f"{METADATA_PREFIX}{field.name}", field.name, _type_of(field, shown), _hint_of(field),
        [(option, texts.get(option, option)) for option in options], field.required,
    )  # fmt: skip


def _type_of(field: DeclaredField, shown: str) -> str:
    """Return the type of an input that shows this text unchanged: browsers empty fields of dates and numbers."""
    match field.type:
        case FieldType.ENUM | FieldType.BOOLEAN:
            return "select"
        case FieldType.DATE if not shown or is_date(shown):
            return "date"
        case FieldType.INTEGER | FieldType.NUMBER if not shown or read_number(shown) is not None:
            return "number"
    return "textarea" if len(shown) > _LONG or "\n" in shown else "text"


def _hint_of(field: DeclaredField) -> str:
    limits = {"From": field.min, "Up to": field.max}
    bounds = [f"{words} {limit}." for words, limit in limits.items() if limit is not None]
    parts = [field.description or "", *bounds, "Required." if field.required else ""]
    return " ".join(part for part in parts if part)
