"""The two kinds of uploads behind one interface: chunks of the file, and its fields."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from image_api.guarded_route import LARGE_BODY_BYTES
from image_api.uploads.fields import FIELD_NAMES, FieldTexts, UploadSource
from image_core import errors
from image_core.images import filenames
from image_core.storage.sizes import format_size

_MAX_PARTS = 64
_MAX_PART_HEADER_BYTES = 16 * 1024
_UNREADABLE = (
    "The multipart body cannot be read. Send it whole, with the boundary that Content-Type names, at most"
    f" {_MAX_PARTS} parts, and in each part a header `Content-Disposition: form-data; name=…`."
)


def upload_source(request: Request, field_names: Sequence[str] = FIELD_NAMES) -> UploadSource:
    """Return the source for the request's content type; query string and form accept the fields named.

    Raises:
        errors.MediaTypeNotSupported: The request's media type is not supported.
        errors.MultipartInvalid: The multipart body is not valid.
        errors.RequestInvalid: A field of the request is not valid.
    """
    fields = FieldTexts(field_names)
    # As in a form, the encoding is not always UTF-8.
    for name, text in parse_qsl(request.url.query, keep_blank_values=True, encoding="latin-1"):
        if name in field_names:
            fields.add(name, filenames.decode_header(text))
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    if media_type == "multipart/form-data":
        if not options.get("boundary"):
            raise errors.MultipartInvalid(
                "Boundary missing: the header Content-Type names none. Let the HTTP client set this header."
            )
        return MultipartSource(request, options["boundary"], fields)
    if media_type == "application/octet-stream" or media_type.startswith("image/"):
        return RawSource(request, fields)
    raise errors.MediaTypeNotSupported(
        "Media type not supported. Send multipart/form-data with a part named `file`, or the file with an image/* type."
    )


@dataclass
class RawSource:
    """A request whose body is the file; fields come in the query string."""

    request: Request
    fields: FieldTexts
    ended: bool = False
    declared_bytes: int | None = None

    def __post_init__(self) -> None:
        self.declared_bytes = _declared_bytes(self.request)
        self.fields.suggest_filename(self.request.headers.get("content-disposition", ""))

    @property
    def raw_fields(self) -> dict[str, Any]:
        return self.fields.values

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives."""
        async for chunk in _body(self.request):
            if chunk:
                yield chunk
        self.ended = True


@dataclass
class MultipartSource:
    """A form with one part named `file`; `metadata` (a JSON object), `tags` and `filename` before or after it."""

    request: Request
    boundary: str
    fields: FieldTexts
    ended: bool = False
    _files: int = 0
    _name: str = ""
    _value: bytearray = field(default_factory=bytearray)
    _field_bytes: int = 0
    declared_bytes: int | None = None

    def __post_init__(self) -> None:
        self.declared_bytes = _declared_bytes(self.request)

    @property
    def raw_fields(self) -> dict[str, Any]:
        return self.fields.values

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the part `file`.

        Raises:
            errors.MultipartInvalid: The multipart body is not valid.
        """
        try:
            # We enforce the limits ourselves; the parser only limits the number of parts and their headers.
            with PushMultipartParser(
                self.boundary,
                max_header_size=_MAX_PART_HEADER_BYTES,
                max_segment_count=_MAX_PARTS,
                # Accepts any byte; these headers are decoded below.
                header_charset="latin-1",
                strict=False,
            ) as parser:
                async for chunk in _body(self.request):
                    for event in parser.parse(chunk):
                        if piece := self._handle(event):
                            yield piece
                    if parser.closed:
                        break
        except MultipartError as error:
            raise errors.MultipartInvalid(_UNREADABLE) from error
        if self._files == 0:
            raise errors.MultipartInvalid("Part missing: the form has no part named `file`. Send the image in it.")
        self.ended = True

    def _handle(self, event: MultipartSegment | bytes | bytearray | None) -> bytes | None:
        """Handle one event of the parser; return bytes of the file, if there were any."""
        if event is None:
            if self._name != "file":
                self.fields.add(self._name, filenames.decode(bytes(self._value)))
            return None
        if isinstance(event, bytes | bytearray):
            if self._name == "file":
                return bytes(event)
            self._value += event
            self._field_bytes += len(event)
            if self._field_bytes > LARGE_BODY_BYTES:
                raise errors.MultipartInvalid(
                    f"Form fields too large: the limit is {format_size(LARGE_BODY_BYTES)} in total."
                )
            return None
        self._begin(event)
        return None

    def _begin(self, segment: MultipartSegment) -> None:
        self._name, self._value = filenames.decode_header(segment.name or ""), bytearray()
        if self._name != "file":
            self.fields.check_name(self._name)
        if self._name == "file":
            self._files += 1
            if self._files > 1:
                raise errors.MultipartInvalid(
                    "Too many files: the limit is one part named `file`. Send one image in each request."
                )
            self.fields.suggest_filename(segment.header("Content-Disposition", ""))


def _declared_bytes(request: Request) -> int | None:
    """Return the length of the body, which is an upper bound for the file; None for a chunked body."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise errors.UploadIncomplete("The connection closed before the body was complete. Send it again.") from error
