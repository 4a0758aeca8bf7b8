"""Forms with a file: the fields before it are read and checked, and the file passes on to an upload as it arrives."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from multipart import parse_options_header

from image_api.auth import check_csrf
from image_api.console.forms import CSRF_FIELD, KEY_FIELD, METADATA_PREFIX, read_form
from image_api.dependencies import ServicesDep
from image_api.idempotency.route import FormKey
from image_api.uploads import receiving
from image_api.uploads.fields import FieldTexts
from image_api.uploads.source import MultipartSource
from image_core import errors


class _PageFields(FieldTexts):
    """The fields of an upload, behind the session's CSRF token: nothing is accepted before it.

    Attributes:
        key: the form's `Idempotency-Key`; empty if it has none so far.
        metadata_texts: what stands in the fields of the team's schema.
    """

    def __init__(self, cookie: str) -> None:
        super().__init__()
        self.key = ""
        self.metadata_texts: dict[str, str] = {}
        self._cookie, self._is_checked = cookie, False

    def check_name(self, name: str) -> None:
        """Check the name of a field.

        Raises:
            errors.CsrfTokenInvalid: The first field is another than the token.
            errors.MultipartInvalid: The field does not exist, or is repeated.
        """
        if not self._is_checked and name != CSRF_FIELD:
            self._check_token("")
        if name not in (CSRF_FIELD, KEY_FIELD) and not name.startswith(METADATA_PREFIX):
            super().check_name(name)

    def add(self, name: str, text: str) -> None:
        """Check the token, or parse another field.

        Raises:
            errors.CsrfTokenInvalid: The token is missing or belongs to another session.
            errors.MultipartInvalid: The multipart body is not valid.
            errors.RequestInvalid: A field of the request is not valid.
        """
        if name == CSRF_FIELD:
            self._check_token(text)
        elif name == KEY_FIELD:
            self.key = text
        elif name.startswith(METADATA_PREFIX):
            self.metadata_texts[name] = text.strip()
        else:
            super().add(name, text)

    def suggest_filename(self, disposition: str) -> None:
        """Take the name of the file, which begins here.

        Raises:
            errors.CsrfTokenInvalid: The file comes before the token.
        """
        if not self._is_checked:
            self._check_token("")
        super().suggest_filename(disposition)

    def _check_token(self, token: str) -> None:
        check_csrf(self._cookie, token)
        self._is_checked = True


@dataclass
class FileForm(MultipartSource):
    """The form of a page with one part named `file`, after the CSRF token.

    Attributes:
        read_metadata: makes values of the texts of metadata fields.
    """

    fields: _PageFields
    read_metadata: Callable[[Mapping[str, str]], dict[str, Any]] = dict
    _pieces: AsyncIterator[bytes] | None = None
    _first: bytes = b""

    @property
    def raw_fields(self) -> dict[str, Any]:
        texts = self.fields.metadata_texts
        return self.fields.values | ({"metadata": self.read_metadata(texts)} if texts else {})

    async def read_head(self) -> None:
        """Read up to the first bytes of the file; also raises the errors of `chunks`.

        Raises:
            errors.CsrfTokenInvalid: The first part is not the session's token.
        """
        self._pieces = super().chunks()
        self._first = await anext(self._pieces, b"")

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the file."""
        if self._first:
            yield self._first
        if self._pieces is not None:
            async for piece in self._pieces:
                yield piece


async def read_file_form(request: Request, services: ServicesDep) -> FileForm:
    """Return the form of a request that one of our pages has sent, read as far as its file begins.

    Raises:
        errors.CsrfTokenInvalid: The first part is not the session's token; no other part is read then.
        errors.MediaTypeNotSupported: It is not the form of a page with a file.
        errors.MultipartInvalid: The multipart body is not valid.
    """
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    if media_type != "multipart/form-data" or not options.get("boundary"):
        await read_form(request, services)
        raise errors.MediaTypeNotSupported("Forms with a file are sent as multipart/form-data.")
    fields = _PageFields(request.cookies.get(services.settings.session_cookie_name, ""))
    form = FileForm(request, options["boundary"], fields)
    async with receiving.receive_timeout(services):
        await form.read_head()
    if fields.key:
        # The file and the other fields are compared once they have arrived.
        request.state.form_key = FormKey(fields.key, b"")
    return form


FileFormDep = Annotated[FileForm, Depends(read_file_form)]
"""Declared before the claim of the form's key."""
