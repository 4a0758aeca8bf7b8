"""What a caller says of a file, wherever it was said."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from image_api.http import json_bodies
from image_api.http.nearest import nearest_hint
from image_api.http.validation import request_invalid
from image_api.images.schemas import Filename, UploadTags
from image_api.metadata_schemas.rules import Declared, checked
from image_api.metadata_schemas.values import Metadata
from image_core import errors
from image_core.images import filenames


class UploadFields(BaseModel):
    """What a caller says of a file."""

    model_config = ConfigDict(extra="forbid")

    filename: Filename = None
    tags: UploadTags = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)


FIELD_NAMES = tuple(UploadFields.model_fields)


class FieldTexts:
    """What a caller writes about a file in the fields of a form and in a query string: one language for both.

    Attributes:
        values: what was read, not yet validated.
    """

    def __init__(self, names: Sequence[str] = FIELD_NAMES) -> None:
        self.values: dict[str, Any] = {}
        self._names = names
        self._given: set[str] = set()

    def check_name(self, name: str) -> None:
        """Refuse a field that does not exist, or comes twice. Raises `errors.MultipartInvalid`."""
        if name not in self._names:
            names = ", ".join(("file", *self._names))
            hint = nearest_hint(name, self._names) or f" Send {names}."
            raise errors.MultipartInvalid(f"Unknown field {name[:64]!r}.{hint}")
        if name in self._given and name != "tags":
            raise errors.MultipartInvalid(f"The field {name!r} is repeated. Send it once.")

    def add(self, name: str, text: str) -> None:
        """Read one field. Raises `errors.MultipartInvalid`, `errors.RequestInvalid`."""
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
        """Take the name in a Content-Disposition, read as Latin-1, unless a field names the file."""
        if "filename" in self._names and (name := filenames.from_disposition(disposition)):
            self.values.setdefault("filename", name)


def _read_tags(text: str) -> list[Any]:
    """Return the tags in a list with commas, or in JSON; blanks around them and empty ones do not count."""
    if not text.lstrip().startswith("["):
        return [tag for tag in text.split(",") if tag.strip()]
    tags: list[Any] = json_bodies.parse(text, "tags", 'a list such as ["fjord", "a, b"]')
    return tags


class UploadSource(Protocol):
    """A file on its way in.

    Attributes:
        declared_bytes: what the file has at most; null where that is not known.
        raw_fields: whole once the chunks have ended.
    """

    declared_bytes: int | None
    ended: bool

    @property
    def raw_fields(self) -> dict[str, Any]: ...

    def chunks(self) -> AsyncIterator[bytes]: ...


def checked_fields(source: UploadSource, declared: Declared, *, whole: bool = True) -> UploadFields:
    """The fields of an upload, its metadata as the team declares them; `whole` asks for those that are required.

    Raises `errors.RequestInvalid` naming each that is wrong.
    """
    try:
        fields = UploadFields.model_validate(source.raw_fields)
    except ValidationError as error:
        raise request_invalid(error.errors()) from error
    return fields.model_copy(update={"metadata": checked(declared, fields.metadata, whole=whole)})
