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
    """What the values of a field are."""

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
    """A field that images of a team may, or must, have."""

    model_config = ConfigDict(extra="forbid")

    name: MetadataKey
    type: FieldType
    required: JsonBoolean = Field(False, description="An upload without it is refused, and a change cannot remove it.")
    enum: Annotated[list[_Choice], Field(min_length=1, max_length=300)] | None = Field(
        None, description="The values of a field of type `enum`."
    )
    min: _Bound | None = Field(None, description="The least number, or the first date.")
    max: _Bound | None = Field(None, description="The greatest number, or the last date.")
    pii: JsonBoolean = Field(
        False, description="Personal: its values stay out of logs, events, the audit log and exports."
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
    """Whether this is a day as ISO 8601 writes it: 2026-03-01."""
    if not isinstance(value, str) or len(value) != 10 or not value.isascii():
        return False
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


class NewMetadataSchema(BaseModel):
    """The fields of a team's metadata, or the name of a ready-made schema."""

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
    """A team's metadata schema; without fields, metadata are free key/value pairs."""

    team_id: UUID
    fields: list[DeclaredField]
    updated_at: datetime | None
