"""The form of one field of a metadata schema: its texts, and the field that they declare."""

from typing import Any

from image_api.console.forms import Form
from image_api.console.pages.metadata_form import read_number
from image_api.metadata_schemas.schemas import NUMBERS, DeclaredField, FieldType

_TEXTS = ("name", "type", "enum", "min", "max", "description", "after")
_SWITCHES = ("required", "pii")


def form_of(field: DeclaredField, after: str) -> Form:
    """Return the form that shows a field as it is declared; `after` names the field before it, empty for none."""
    texts = {
        "name": field.name, "type": field.type, "enum": "\n".join(field.enum or ()), "after": after,
        "min": "" if field.min is None else str(field.min), "max": "" if field.max is None else str(field.max),
        "description": field.description or "",
    }  # fmt: skip
    return Form((*texts.items(), *((name, "true") for name in _SWITCHES if getattr(field, name))))


def shown(form: Form) -> dict[str, Any]:
    """Return what the fields of a form show."""
    return {name: form.get(name) for name in _TEXTS} | {name: form.get(name) == "true" for name in _SWITCHES}


def read(form: Form, name: str) -> DeclaredField:
    """Return the field with this name that a form declares.

    Raises:
        errors.RequestInvalid: A value is wrong.
    """
    return form.parse(
        DeclaredField, "type", name=name, required=form.get("required") == "true", pii=form.get("pii") == "true",
        enum=[choice.strip() for choice in form.get("enum").splitlines() if choice.strip()] or None,
        min=_bound(form, "min"), max=_bound(form, "max"), description=form.get("description").strip() or None,
    )  # fmt: skip


def _bound(form: Form, name: str) -> float | str | None:
    text = form.get(name).strip()
    number = read_number(text) if form.get("type") in NUMBERS else None
    return (text or None) if number is None else number


def placed(fields: list[DeclaredField], new: DeclaredField, after: str) -> list[DeclaredField]:
    """Return the fields with a new one, or a changed one of this name, behind the one that is named; else first."""
    others = [field for field in fields if field.name != new.name]
    index = next((index for index, field in enumerate(others, 1) if field.name == after), 0)
    return [*others[:index], new, *others[index:]]


TYPES = {
    FieldType.STRING: "string: a text",
    FieldType.INTEGER: "integer: a whole number",
    FieldType.NUMBER: "number: with or without decimals",
    FieldType.BOOLEAN: "boolean: true or false",
    FieldType.DATE: "date: a day such as 2026-03-01",
    FieldType.ENUM: "enum: one of the choices below",
}
