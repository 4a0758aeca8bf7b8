"""Filters on metadata: `meta.age[gte]=18`, interpreted by the fields that a team declares.

A filter becomes two things: a JSON path, which decides, and terms, by which the database finds candidates. Both are
parameters of one statement; no text of a caller becomes part of the SQL.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from image_api.http.validation import sentence
from image_api.listing.filters import metadata_terms
from image_api.listing.filters.possible import PossibleValues
from image_api.metadata_schemas.rules import Declared
from image_api.metadata_schemas.schemas import DeclaredField, FieldType, is_date
from image_api.metadata_schemas.values import MAX_VALUE_LENGTH
from image_core import errors
from image_core.errors.nearest import nearest, nearest_hint
from image_core.images import filenames

PREFIX = "meta."
MAX_FILTERS = 10
_MAX_CHOICES = 50
_NAME = re.compile(r"meta\.([A-Za-z0-9_.-]{1,64})(?:\[([a-z]{1,16})\])?")
_NUMBER = re.compile(r"-?\d{1,40}(?:\.\d{1,40})?", re.ASCII)
_ORDERED = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
OPERATORS = ("eq", "ne", "in", *_ORDERED, "exists", "prefix")


class ValueKind(StrEnum):
    """The type as which values are compared: a filter only matches values of its type."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    ANY = "any"


_KINDS = {
    FieldType.STRING: ValueKind.TEXT, FieldType.ENUM: ValueKind.TEXT, FieldType.INTEGER: ValueKind.NUMBER,
    FieldType.NUMBER: ValueKind.NUMBER, FieldType.BOOLEAN: ValueKind.BOOLEAN, FieldType.DATE: ValueKind.DATE,
}  # fmt: skip
_ALLOWED = {
    ValueKind.TEXT: {"eq", "ne", "in", "exists", "prefix"},
    ValueKind.NUMBER: {"eq", "ne", "in", "exists", *_ORDERED},
    ValueKind.BOOLEAN: {"eq", "ne", "in", "exists"},
    ValueKind.DATE: {"eq", "ne", "in", "exists", *_ORDERED},
    ValueKind.ANY: {"eq", "ne", "in", "exists", "prefix"},
}
_IS_OF_KIND = {
    ValueKind.TEXT: '{path}.type() == "string"',
    ValueKind.NUMBER: '{path}.type() == "number"',
    ValueKind.BOOLEAN: '{path}.type() == "boolean"',
    ValueKind.DATE: '({path}.type() == "string" && {path} like_regex "^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}$")',
    ValueKind.ANY: "exists({path})",
}


class MetadataFilter(NamedTuple):
    """A filter as it was written."""

    name: str
    operator: str
    value: str


@dataclass
class MetadataCondition:
    """The condition for the database: `path` decides; a matching image has all terms, and one of each group."""

    path: str
    terms: list[str] = field(default_factory=list)
    groups: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Meaning:
    """The type and choices of a field name."""

    kind: ValueKind
    choices: frozenset[str] = frozenset()


def parse(items: Iterable[tuple[str, str]]) -> list[MetadataFilter]:
    """Parse the filters on metadata among the items of a query string.

    Raises:
        errors.FilterInvalid: The filter is not valid.
    """
    found = []
    for key, value in items:
        if not key.startswith(PREFIX):
            continue
        match = _NAME.fullmatch(key)
        if match is None:
            raise errors.FilterInvalid(
                "Filter name not valid. Write meta.<field>=… or meta.<field>[<operator>]=….", field=key[:100]
            )
        name, operator = match[1], match[2] or "eq"
        if operator not in OPERATORS:
            raise _invalid(name, f"unknown operator {operator!r}; use one of {', '.join(OPERATORS)}")
        if len(value) > MAX_VALUE_LENGTH * (_MAX_CHOICES if operator == "in" else 1) or "\0" in value:
            raise _invalid(name, f"value not valid: the limit is {MAX_VALUE_LENGTH} characters without NUL")
        found.append(MetadataFilter(name, operator, value))
    if len(found) > MAX_FILTERS:
        raise errors.FilterInvalid(
            f"Too many filters on metadata: the limit is {MAX_FILTERS}, and the request has {len(found)}."
        )
    return found


def _invalid(name: str, message: str) -> errors.FilterInvalid:
    return errors.FilterInvalid(f"meta.{name}: {sentence(message)}", field=f"{PREFIX}{name}")


def condition(filters: Sequence[MetadataFilter], schemas: Sequence[Declared]) -> MetadataCondition:
    """Return the condition of the filters under these schemas: one for a team, any number across teams.

    Raises:
        errors.FilterUnknown: The filter does not exist.
        errors.FilterInvalid: The filter is not valid.
    """
    parts: list[str] = []
    terms: list[str] = []
    groups: list[list[str]] = []
    ranges: dict[str, _Range] = {}
    possible: dict[str, PossibleValues] = {}
    for item in filters:
        meaning = find_meaning(item.name, schemas)
        part, found = _read(item, meaning)
        _narrow(possible.setdefault(item.name, PossibleValues()), item, meaning.kind)
        parts.append(part)
        if item.operator in _ORDERED:
            ranges.setdefault(item.name, _Range(meaning.kind)).narrow(item.operator, item.value)
        elif len(found) == 1:
            terms += found
        elif found:
            groups.append(found)
    groups += [limits.terms(name) for name, limits in ranges.items()]
    return MetadataCondition(" && ".join(f"({part})" for part in parts), terms, groups)


def _narrow(possible: PossibleValues, item: MetadataFilter, kind: ValueKind) -> None:
    """Check that a filter and the previous ones can match together.

    Raises:
        errors.FilterInvalid: The filter is not valid.
    """
    # Every other filter only matches images that have the field.
    possible.narrow("exists", [item.operator != "exists" or item.value == "true"])
    if item.operator != "exists" and kind is not ValueKind.ANY and item.operator != "prefix":
        values = _list(item) if item.operator == "in" else [item.value]
        possible.narrow(
            item.operator, [Decimal(v) if kind is ValueKind.NUMBER else filenames.normalize(v) for v in values]
        )
    if possible.is_empty():
        raise _invalid(item.name, "no value can match all filters on this field")


def find_meaning(name: str, schemas: Sequence[Declared]) -> _Meaning:
    """Return the type and choices of a field.

    Raises:
        errors.FilterUnknown: No schema declares the field.
        errors.FilterInvalid: Schemas declare it with different types.
    """
    schemas = [declared for declared in schemas if declared]
    fields = [declared[name] for declared in schemas if name in declared]
    if not fields:
        if not schemas:
            return _Meaning(ValueKind.ANY)
        names = {item for declared in schemas for item in declared}
        raise errors.FilterUnknown(
            f"The metadata schema has no field {name!r}.{nearest_hint(name, names)}",
            field=f"{PREFIX}{name}",
            nearest=nearest(name, names),
        )
    kinds = {_KINDS[item.type] for item in fields}
    if len(kinds) > 1:
        raise _invalid(name, "teams declare this field with different types; send team_id to choose a team")
    enums = all(item.type is FieldType.ENUM for item in fields)
    return _Meaning(kinds.pop(), _choices(fields) if enums else frozenset())


def _choices(fields: Iterable[DeclaredField]) -> frozenset[str]:
    return frozenset(choice for item in fields for choice in item.enum or ())


def _read(item: MetadataFilter, meaning: _Meaning) -> tuple[str, list[str]]:
    """Return the filter's part of the JSON path, and the terms of which a match has one; none if no term helps."""
    name, kind = item.name, meaning.kind
    if item.operator not in _ALLOWED[kind]:
        hint = "; declare its type in the metadata schema" if kind is ValueKind.ANY else ""
        raise _invalid(name, f"{item.operator!r} cannot be used with {_kind_description(kind)}{hint}")
    path = f'$."{name}"'
    # A value that an older image has outside the choices of an enum does not count.
    choices = " || ".join(_equal(path, kind, choice) for choice in sorted(meaning.choices))
    of_kind = _IS_OF_KIND[kind].format(path=path) + (f" && ({choices})" if choices else "")
    if item.operator == "exists":
        if item.value not in ("true", "false"):
            raise _invalid(name, "`exists` takes true or false")
        return (of_kind, [metadata_terms.presence(name)]) if item.value == "true" else (f"!({of_kind})", [])
    if item.operator == "prefix":
        if not item.value:
            raise _invalid(name, "a prefix needs at least one character")
        forms = filenames.normal_forms(item.value)
        begins = " || ".join(f"{path} starts with {_quoted(form)}" for form in forms)
        return f"{of_kind} && ({begins})", [metadata_terms.beginning(name, form) for form in forms]
    values = _list(item) if item.operator == "in" else [item.value]
    for value in values:
        _check(name, value, meaning)
    if item.operator in _ORDERED:
        return f"{of_kind} && {path} {_ORDERED[item.operator]} {_literal(kind, values[0])}", []
    equal = " || ".join(_equal(path, kind, value) for value in values)
    if item.operator != "ne":
        return equal, [term for value in values for term in _equal_terms(name, kind, value)]
    others = sorted(meaning.choices - set(filenames.normal_forms(item.value)))
    # If the list of choices is short, the others are looked up; otherwise all images with the field are candidates.
    found = [term for other in others for term in _equal_terms(name, kind, other)] or [metadata_terms.presence(name)]
    return f"{of_kind} && !({equal})", found


def _kind_description(kind: ValueKind) -> str:
    return "a field without a declared type" if kind is ValueKind.ANY else f"a {kind}"


def _list(item: MetadataFilter) -> list[str]:
    if not item.value.startswith("["):
        values = item.value.split(",")
    else:
        try:
            items = orjson.loads(item.value)
            # The parser tolerates deeper nesting than the generator writes.
            values = [item if isinstance(item, str) else orjson.dumps(item).decode() for item in items]
        except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
            raise _invalid(item.name, "`in` takes comma-separated values or a JSON array") from error
    if not 1 <= len(values) <= _MAX_CHOICES:
        raise _invalid(item.name, f"number of values not valid: `in` takes 1 to {_MAX_CHOICES}")
    return values


def _check(name: str, value: str, meaning: _Meaning) -> None:
    if len(value) > MAX_VALUE_LENGTH or "\0" in value:
        raise _invalid(name, f"value not valid: the limit is {MAX_VALUE_LENGTH} characters without NUL")
    if meaning.kind is ValueKind.NUMBER and not _NUMBER.fullmatch(value):
        raise _invalid(name, "send a number such as 18 or -0.5")
    if meaning.kind is ValueKind.BOOLEAN and value not in ("true", "false"):
        raise _invalid(name, "send true or false")
    if meaning.kind is ValueKind.DATE and not is_date(value):
        raise _invalid(name, "send a date such as 2026-03-01")
    if meaning.choices and filenames.normalize(value) not in map(filenames.normalize, meaning.choices):
        hint = nearest_hint(value, meaning.choices)
        raise _invalid(name, f"the metadata schema does not list this value.{hint}")


def _quoted(value: str) -> str:
    # A JSON string is also a valid string of a JSON path.
    return orjson.dumps(value).decode()


def _literal(kind: ValueKind, value: str) -> str:
    if kind is ValueKind.NUMBER:
        return f"{Decimal(value):f}"
    return value if kind is ValueKind.BOOLEAN else _quoted(value)


def _equal(path: str, kind: ValueKind, value: str) -> str:
    if kind is ValueKind.TEXT:
        # Values are stored as they were sent, so equal text may have two normal forms.
        return " || ".join(f"{path} == {_quoted(form)}" for form in filenames.normal_forms(value))
    if kind is not ValueKind.ANY:
        return f"{path} == {_literal(kind, value)}"
    # Without a schema, a value is compared by its text, whatever its type.
    ways = [(ValueKind.TEXT, _quoted(form)) for form in filenames.normal_forms(value)]
    if _NUMBER.fullmatch(value):
        ways.append((ValueKind.NUMBER, _literal(ValueKind.NUMBER, value)))
    if value in ("true", "false"):
        ways.append((ValueKind.BOOLEAN, value))
    return " || ".join(f"({_IS_OF_KIND[way].format(path=path)} && {path} == {literal})" for way, literal in ways)


def _equal_terms(name: str, kind: ValueKind, value: str) -> list[str]:
    terms = (
        [] if kind is ValueKind.NUMBER else [metadata_terms.text(name, form) for form in filenames.normal_forms(value)]
    )
    if kind is ValueKind.NUMBER or (kind is ValueKind.ANY and _NUMBER.fullmatch(value)):
        terms += metadata_terms.numbers(name, Decimal(value), Decimal(value))
    return terms


class _Range:
    """The range of a field, from all filters on it."""

    def __init__(self, kind: ValueKind) -> None:
        self._kind = kind
        self._low: Any = None
        self._high: Any = None

    def narrow(self, operator: str, text: str) -> None:
        value: Any = Decimal(text) if self._kind is ValueKind.NUMBER else text
        if operator in ("gt", "gte"):
            self._low = value if self._low is None else max(self._low, value)
        else:
            self._high = value if self._high is None else min(self._high, value)

    def terms(self, name: str) -> list[str]:
        """Return terms of which every match has one; an empty range has none and matches nothing."""
        covering = metadata_terms.numbers if self._kind is ValueKind.NUMBER else metadata_terms.dates
        return covering(name, self._low, self._high)
