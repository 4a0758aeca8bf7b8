"""Bodies of the metadata schema's operations."""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from image_api.http.field_types import LINE, TEXT, JsonBoolean
from image_api.metadata_schemas.values import MAX_METADATA_KEYS, MetadataKey, check_number


class FieldType(StrEnum):
    """Type of the values of a field."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    ENUM = "enum"


NUMBERS = (FieldType.INTEGER, FieldType.NUMBER)
_Choice = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=LINE)]


def _bound(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("send a number, or a date such as 2026-03-01")  # noqa: TRY004 (pydantic takes only this)
    if not isinstance(value, str):
        check_number(value)
    return value


_Bound = Annotated[
    int | float | str,
    PlainValidator(_bound),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "format": "date"}]}),
]


class DeclaredField(BaseModel):
    """A metadata field of a team's images."""

    model_config = ConfigDict(extra="forbid")

    name: MetadataKey
    type: FieldType
    required: JsonBoolean = Field(
        False, description="If true, uploads without the field are refused, and changes cannot remove it."
    )
    enum: Annotated[list[_Choice], Field(min_length=1, max_length=300)] | None = Field(
        None,
        description="Allowed values of a field of type `enum`: 1 to 300 values of 64 characters. Null for other types.",
    )
    min: _Bound | None = Field(None, description="Smallest number or earliest date, inclusive. Null for no limit.")
    max: _Bound | None = Field(None, description="Largest number or latest date, inclusive. Null for no limit.")
    pii: JsonBoolean = Field(
        False, description="True for personal data. The values never appear in logs, events, the audit log or exports."
    )
    description: Annotated[str, StringConstraints(max_length=500, pattern=TEXT)] | None = None

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if (self.type is FieldType.ENUM) != (self.enum is not None):
            raise ValueError("a field of type 'enum' needs `enum`, and no other field can have it")
        if self.enum is not None and len(set(self.enum)) < len(self.enum):
            raise ValueError("`enum` lists a value twice")
        for bound in (self.min, self.max):
            self._check_bound(bound)
        if self.min is not None and self.max is not None and self.min > self.max:  # type: ignore[operator]
            raise ValueError("`min` is greater than `max`")
        return self

    def _check_bound(self, bound: Any) -> None:
        if bound is None:
            return
        if self.type is FieldType.DATE:
            if not is_date(bound):
                raise ValueError("`min` and `max` of a date must be dates such as 2026-03-01")
        elif self.type not in NUMBERS:
            raise ValueError("only numbers and dates can have `min` and `max`")
        elif isinstance(bound, str):
            raise ValueError("`min` and `max` of a number must be numbers")


def is_date(value: Any) -> bool:
    """Return whether a value is a day in ISO 8601 format: 2026-03-01."""
    if not isinstance(value, str) or len(value) != 10 or not value.isascii():
        return False
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


class NewMetadataSchema(BaseModel):
    """Metadata fields to declare: exactly one of `fields` and `template`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"template": "photo-submission"}]})

    fields: Annotated[list[DeclaredField], Field(min_length=1, max_length=MAX_METADATA_KEYS)] | None = None
    template: Literal["photo-submission"] | None = None

    @field_validator("fields")
    @classmethod
    def _named_once(cls, fields: list[DeclaredField] | None) -> list[DeclaredField] | None:
        names = [field.name for field in fields or ()]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"declared twice: {', '.join(twice)}")
        return fields

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.fields is None) == (self.template is None):
            raise ValueError("send either `fields` or `template`")
        return self


class MetadataSchema(BaseModel):
    """Metadata schema of a team."""

    team_id: UUID
    fields: list[DeclaredField]
    updated_at: datetime | None
