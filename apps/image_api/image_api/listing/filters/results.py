"""Filters on results: `analysis.quality.sharpness[gte]=0.5`, checked against the analyzers' result models.

The filters on one analyzer become one JSON path over its newest result of an image's bytes, which is a parameter of the
statement; no text of a caller becomes part of the SQL.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

import orjson

from image_api.listing.filters.metadata import MAX_FILTERS
from image_api.listing.filters.possible import PossibleValues
from image_core import errors
from image_core.analyses.catalogue import CATALOGUE
from image_core.errors.nearest import nearest, nearest_hint

PREFIX = "analysis."
_NAME = re.compile(r"analysis\.([^.\[\]]{1,64})\.([^.\[\]]{1,64})(?:\[([a-z]{1,16})\])?")
_NUMBER = re.compile(r"-?\d{1,40}(?:\.\d{1,40})?", re.ASCII)
_COMPARED = {"eq": "==", "ne": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
OPERATORS = (*_COMPARED, "contains", "exists")
_MAX_VALUE_LENGTH = 200


class FieldKind(StrEnum):
    """The type of a result field, named as in JSON paths."""

    TEXT = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "array"


_ALLOWED = {
    FieldKind.TEXT: {"eq", "ne", "exists"},
    FieldKind.NUMBER: {*_COMPARED, "exists"},
    FieldKind.BOOLEAN: {"eq", "ne", "exists"},
    FieldKind.LIST: {"contains", "exists"},
}


class ResultField(NamedTuple):
    """A field on which images can be filtered; `choices` is empty if any text is allowed."""

    kind: FieldKind
    choices: tuple[str, ...]


class ResultCondition(NamedTuple):
    """The condition on the newest result of one analyzer."""

    analyzer: str
    path: str


@cache
def fields_of(analyzer: str) -> dict[str, ResultField]:
    """Return the fields of a result that hold one value, or a list of texts."""
    fields = {}
    for name, schema in CATALOGUE[analyzer].result.model_json_schema()["properties"].items():
        # A nullable value is a union of two schemas.
        value_schema: dict[str, Any] = next(
            (option for option in schema.get("anyOf", ()) if option.get("type") != "null"),
            schema,
        )
        kind, value_schema = value_schema.get("type"), value_schema.get("items", value_schema)
        if kind in tuple(FieldKind) and (kind != FieldKind.LIST or value_schema.get("type") == "string"):
            fields[name] = ResultField(FieldKind(kind), tuple(value_schema.get("enum", ())))
    return fields


def parse(items: Iterable[tuple[str, str]], other_filters: int = 0) -> list[ResultCondition]:
    """Parse the filters on results among the items of a query string, by analyzer.

    `other_filters` is the number of other filters in the query.

    Raises:
        errors.FilterUnknown: The filter does not exist.
        errors.FilterInvalid: The filter is not valid.
    """
    paths: dict[str, list[str]] = {}
    possible: dict[tuple[str, str], PossibleValues] = {}
    filters = [(key, value) for key, value in items if key.startswith(PREFIX)]
    if filters and len(filters) + other_filters > MAX_FILTERS:
        raise errors.FilterInvalid(f"Too many filters on metadata and results: the limit is {MAX_FILTERS}.")
    for key, value in filters:
        match = _NAME.fullmatch(key)
        if match is None:
            raise errors.FilterInvalid(
                "Filter name not valid. Write analysis.<analyzer>.<field>=… or "
                "analysis.<analyzer>.<field>[<operator>]=….",
                field=key[:100],
            )
        analyzer, name, operator = match[1], match[2], match[3] or "eq"
        paths.setdefault(analyzer, []).append(_path(key[:100], analyzer, name, operator, value))
        _narrow(
            possible.setdefault((analyzer, name), PossibleValues()),
            key,
            fields_of(analyzer)[name].kind,
            operator,
            value,
        )
    return [
        ResultCondition(analyzer, " && ".join(f"({path})" for path in analyzer_paths))
        for analyzer, analyzer_paths in paths.items()
    ]


def _narrow(possible: PossibleValues, key: str, kind: FieldKind, operator: str, value: str) -> None:
    """Check that a filter and the previous ones can match together.

    Raises:
        errors.FilterInvalid: The filter is not valid.
    """
    if operator == "exists":
        possible.narrow("exists", [value == "true"])
    elif operator != "contains":
        possible.narrow(operator, [Decimal(value) if kind is FieldKind.NUMBER else value])
    if possible.is_empty():
        raise errors.FilterInvalid(f"{key}: No value can match all filters on this field.", field=key)


def _path(key: str, analyzer: str, name: str, operator: str, value: str) -> str:
    field = _field(key, analyzer, name)
    if operator not in _ALLOWED[field.kind]:
        allowed = ", ".join(name for name in OPERATORS if name in _ALLOWED[field.kind])
        raise errors.FilterInvalid(f"{key}: Operator not valid: {field.kind} takes {allowed}.", field=key)
    # Names come from the models; only values come from the caller.
    of_kind = f'$."{name}".type() == "{field.kind}"'
    if operator == "exists":
        if value not in ("true", "false"):
            raise errors.FilterInvalid(f"{key}: `exists` takes true or false.", field=key)
        return of_kind if value == "true" else f"!({of_kind})"
    literal = _literal(key, field, value)
    if operator == "contains":
        return f'$."{name}"[*] == {literal}'
    # Without the type check, null would differ from every value.
    return f'{of_kind} && $."{name}" {_COMPARED[operator]} {literal}'


def _field(key: str, analyzer: str, name: str) -> ResultField:
    if analyzer not in CATALOGUE:
        raise errors.FilterUnknown(
            f"Unknown analyzer {analyzer!r}.{nearest_hint(analyzer, CATALOGUE)}",
            field=key,
            nearest=nearest(analyzer, CATALOGUE),
        )
    fields = fields_of(analyzer)
    if name not in fields:
        raise errors.FilterUnknown(
            f"Results of {analyzer!r} have no filterable field {name!r}.{nearest_hint(name, fields)}",
            field=key,
            nearest=nearest(name, fields),
        )
    return fields[name]


def _literal(key: str, field: ResultField, value: str) -> str:
    if field.kind is FieldKind.NUMBER:
        if not _NUMBER.fullmatch(value):
            raise errors.FilterInvalid(f"{key}: Send a number such as 0.5.", field=key)
        return f"{Decimal(value):f}"
    if field.kind is FieldKind.BOOLEAN:
        if value not in ("true", "false"):
            raise errors.FilterInvalid(f"{key}: Send true or false.", field=key)
        return value
    if field.choices and value not in field.choices:
        raise errors.FilterInvalid(f"{key}: Send one of {', '.join(field.choices)}.", field=key)
    if len(value) > _MAX_VALUE_LENGTH or "\0" in value:
        raise errors.FilterInvalid(
            f"{key}: Value not valid: the limit is {_MAX_VALUE_LENGTH} characters without NUL.", field=key
        )
    # A JSON string is also a valid string of a JSON path.
    return orjson.dumps(value).decode()
