"""The fields of a form that filters images by their metadata, made from the types of a schema's fields."""

from collections.abc import Sequence
from typing import NamedTuple

from image_api.listing.filters.metadata import PREFIX
from image_api.metadata_schemas.schemas import NUMBERS, DeclaredField, FieldType


class FieldFilter(NamedTuple):
    """The filter of a field: a choice, the begin of a text, or a range if there are two inputs.

    Attributes:
        label: the name of the field, for people.
        description: of the field, for the column of the table; null without one.
        inputs: name, label and value of each input.
        type: type of the inputs in HTML, or `select`.
        options: value and text of each choice.
    """

    label: str
    inputs: list[tuple[str, str, str]]
    type: str
    options: list[tuple[str, str]]
    description: str | None

    @property
    def names(self) -> list[str]:
        """The names of the inputs."""
        return [name for name, _, _ in self.inputs]


def filter_of(field: DeclaredField, given: Sequence[tuple[str, str]]) -> FieldFilter:
    """Return the filter of a field, with the values that the address has for it."""
    values, label = dict(given), field.name.replace("_", " ").capitalize()

    def entry(operator: str, text: str) -> tuple[str, str, str]:
        name = f"{PREFIX}{field.name}{operator}"
        return name, text, values.get(name, "")

    if field.type in NUMBERS or field.type is FieldType.DATE:
        inputs = [entry("[gte]", f"{label} from"), entry("[lte]", "to")]
        return FieldFilter(label, inputs, "date" if field.type is FieldType.DATE else "number", [], field.description)
    if field.type is FieldType.STRING:
        return FieldFilter(label, [entry("[prefix]", f"{label} begins with")], "search", [], field.description)
    choices = [("true", "Yes"), ("false", "No")] if field.enum is None else [(choice, choice) for choice in field.enum]
    return FieldFilter(label, [entry("", label)], "select", [("", "Any"), *choices], field.description)
