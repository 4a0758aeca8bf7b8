"""The fields of an upload, in a form or in a query string."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from image_api.http import json_bodies
from image_api.http.validation import request_invalid
from image_api.images.schemas import Filename, UploadTags
from image_api.metadata_schemas.rules import Declared, validate
from image_api.metadata_schemas.values import Metadata
from image_core import errors
from image_core.errors.nearest import nearest_hint
from image_core.images import filenames


class UploadFields(BaseModel):
    """The fields that a caller sets for a file."""

    model_config = ConfigDict(extra="forbid")

    filename: Filename = None
    tags: UploadTags = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)


FIELD_NAMES = tuple(UploadFields.model_fields)


class FieldTexts:
    """Parses fields of a form and of a query string by the same rules.

    Attributes:
        values: the parsed values, not yet validated.
    """

    def __init__(self, names: Sequence[str] = FIELD_NAMES) -> None:
        self.values: dict[str, Any] = {}
        self._names = names
        self._given: set[str] = set()

    def check_name(self, name: str) -> None:
        """Check the name of a field.

        Raises:
            errors.MultipartInvalid: The field does not exist, or is repeated.
        """
        if name not in self._names:
            names = ", ".join(("file", *self._names))
            hint = nearest_hint(name, self._names) or f" Send one of: {names}."
            raise errors.MultipartInvalid(f"Unknown field {name[:64]!r}.{hint}")
        if name in self._given and name != "tags":
            raise errors.MultipartInvalid(f"The field {name!r} is repeated. Send it once.")

    def add(self, name: str, text: str) -> None:
        """Parse one field.

        Raises:
            errors.MultipartInvalid: The multipart body is not valid.
            errors.RequestInvalid: A field of the request is not valid.
        """
        self.check_name(name)
        self._given.add(name)
        if name == "tags":
            self.values.setdefault("tags", []).extend(_read_tags(text))
        elif name == "metadata":
            self.values["metadata"] = json_bodies.parse(
                text.strip() or "{}", name, 'an object such as {"country": "NO"}'
            )
        elif cleaned := filenames.clean(text):
            self.values["filename"] = cleaned

    def suggest_filename(self, disposition: str) -> None:
        """Use the name in a Content-Disposition, read as Latin-1, unless a field names the file."""
        if "filename" in self._names and (name := filenames.from_disposition(disposition)):
            self.values.setdefault("filename", name)


def _read_tags(text: str) -> list[Any]:
    """Return the tags of a comma-separated or JSON list; surrounding blanks and empty tags are dropped."""
    if not text.lstrip().startswith("["):
        return [tag for tag in text.split(",") if tag.strip()]
    tags: list[Any] = json_bodies.parse(text, "tags", 'a list such as ["fjord", "a, b"]')
    return tags


class UploadSource(Protocol):
    """A file being uploaded.

    Attributes:
        declared_bytes: the maximum size of the file; null if it is unknown.
        raw_fields: complete once the chunks have ended.
    """

    declared_bytes: int | None
    ended: bool

    @property
    def raw_fields(self) -> dict[str, Any]: ...

    def chunks(self) -> AsyncIterator[bytes]: ...


def validate_fields(source: UploadSource, declared: Declared, *, whole: bool = True) -> UploadFields:
    """Return the validated fields of an upload, with metadata checked against the team's schema.

    `whole` also requires the required fields.

    Raises:
        errors.RequestInvalid: A field is wrong; the error names each one.
    """
    return validate_values(source.raw_fields, declared, whole=whole)


def validate_values(values: dict[str, Any], declared: Declared, *, whole: bool = True) -> UploadFields:
    """Return the validated fields of a file, with metadata checked against the team's schema.

    Raises:
        errors.RequestInvalid: A field is wrong; the error names each one.
    """
    try:
        fields = UploadFields.model_validate(values)
    except ValidationError as error:
        raise request_invalid(error.errors()) from error
    return fields.model_copy(update={"metadata": validate(declared, fields.metadata, whole=whole)})
