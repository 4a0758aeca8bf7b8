"""What a caller says of a file, wherever it was said."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from image_api.images.schemas import Filename, Tags
from image_api.metadata_schemas.rules import Declared, checked
from image_api.metadata_schemas.values import Metadata
from image_api.validation import request_invalid


class UploadFields(BaseModel):
    """What a caller says of a file."""

    model_config = ConfigDict(extra="forbid")

    filename: Filename | None = None
    tags: Tags = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)


class UploadSource(Protocol):
    """A file on its way in.

    Attributes:
        declared_bytes: what the file has at most; null where that is not known.
        raw_fields: whole once the chunks have ended.
    """

    declared_bytes: int | None
    raw_fields: dict[str, Any]
    ended: bool

    def chunks(self) -> AsyncIterator[bytes]: ...


def checked_fields(source: UploadSource, declared: Declared, *, whole: bool = True) -> UploadFields:
    """The fields of an upload, its metadata as the team declares them; `whole` asks for those that are required.

    Raises `errors.RequestInvalid` naming each that is wrong.
    """
    raw = dict(source.raw_fields)
    if raw.get("filename") is not None:
        raw["filename"] = _base_name(raw["filename"])
    try:
        fields = UploadFields.model_validate(raw)
    except ValidationError as error:
        raise request_invalid(error.errors()) from error
    return fields.model_copy(update={"metadata": checked(declared, fields.metadata, whole=whole)})


def _base_name(name: str) -> str | None:
    """The last part of a path, as some clients send one, without control characters and of bounded length."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in last if c.isprintable())[:255] or None
