"""Validation of metadata values against declared fields."""

from collections.abc import Mapping
from typing import Any

from image_api.metadata_schemas.schemas import DeclaredField, FieldType, is_date
from image_core import errors
from image_core.errors.nearest import nearest_hint
from image_core.images import filenames

Declared = Mapping[str, DeclaredField]
"""The fields of a schema by name; empty if metadata are unrestricted."""

_Problem = dict[str, str]


def validate(declared: Declared, metadata: dict[str, Any], *, whole: bool = True) -> dict[str, Any]:
    """Validate the metadata of a new image and return them as stored; `whole` also requires the required fields.

    Raises:
        errors.RequestInvalid: A field is wrong; the error names each one.
    """
    if not declared:
        return metadata
    values, problems = _validate_each(declared, metadata)
    if whole:
        problems += [
            _missing_field(name) for name, field in declared.items() if field.required and name not in metadata
        ]
    return _raise_or_return(problems, values)


def validate_patch(declared: Declared, patch: dict[str, Any]) -> dict[str, Any]:
    """Validate a merge patch of metadata. Values from before the schema may be removed, and may stay.

    Raises:
        errors.RequestInvalid: A field is wrong; the error names each one.
    """
    if not declared:
        return patch
    removed: dict[str, Any] = {name: None for name, value in patch.items() if value is None}
    values, problems = _validate_each(declared, {name: value for name, value in patch.items() if name not in removed})
    problems += [_missing_field(name) for name in removed if name in declared and declared[name].required]
    return _raise_or_return(problems, values | removed)


def _raise_or_return(problems: list[_Problem], values: dict[str, Any]) -> dict[str, Any]:
    if problems:
        raise errors.invalid_fields(problems)
    return values


def _validate_each(declared: Declared, metadata: dict[str, Any]) -> tuple[dict[str, Any], list[_Problem]]:
    values: dict[str, Any] = {}
    problems: list[_Problem] = []
    for name, value in metadata.items():
        field = declared.get(name)
        if field is None:
            message = f"The metadata schema has no such field.{nearest_hint(name, declared)}"
            problems.append({"field": f"metadata.{name}", "code": "undeclared", "message": message})
        elif problem := _find_problem(field, value):
            problems.append({"field": f"metadata.{name}", "code": "not_as_declared", "message": problem})
        else:
            # 18.0 is a whole number, and is stored as one.
            values[name] = int(value) if field.type is FieldType.INTEGER else value
    return values, problems


def _missing_field(name: str) -> _Problem:
    return {"field": f"metadata.{name}", "code": "required", "message": "The metadata schema requires this field."}


def _find_problem(field: DeclaredField, value: Any) -> str | None:
    """Return what is wrong with a value, without the value: it may be personal."""
    if not _has_type(field, value):
        return _KINDS[field.type]
    if field.enum is not None and filenames.normalize(value) not in map(filenames.normalize, field.enum):
        return f"Must be one of: {', '.join(field.enum[:10])}{' …' if len(field.enum) > 10 else '.'}"
    if field.min is not None and value < field.min:
        return f"Must be at least {field.min}."
    if field.max is not None and value > field.max:
        return f"Must be at most {field.max}."
    return None


_KINDS = {
    FieldType.STRING: "Must be a string.",
    FieldType.ENUM: "Must be a string.",
    FieldType.INTEGER: "Must be a whole number between -2**53 and 2**53.",
    FieldType.NUMBER: "Must be a number.",
    FieldType.BOOLEAN: "Must be true or false.",
    FieldType.DATE: "Must be a date such as 2026-03-01.",
}


def _has_type(field: DeclaredField, value: Any) -> bool:
    match field.type:
        case FieldType.STRING | FieldType.ENUM:
            return isinstance(value, str)
        case FieldType.BOOLEAN:
            return isinstance(value, bool)
        case FieldType.DATE:
            return is_date(value)
        case _ if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        case FieldType.INTEGER:
            return abs(value) <= 2**53 and value == int(value)
    return True
