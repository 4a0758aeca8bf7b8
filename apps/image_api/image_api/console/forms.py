"""Forms that pages post: read whole, bounded, and only from our own pages."""

from dataclasses import dataclass
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from image_api.auth import check_csrf, check_same_origin
from image_api.dependencies import ServicesDep
from image_api.http.entity_tags import entity_tag
from image_api.http.validation import request_invalid
from image_api.idempotency.route import FormKey
from image_core import errors

CSRF_FIELD = "csrf_token"
KEY_FIELD = "idempotency_key"
"""Made with the page, so that a form that is sent twice has one effect."""
METADATA_PREFIX = "metadata."
"""Before the name of a field that the team's schema declares."""
_MEDIA_TYPE = "application/x-www-form-urlencoded"
_MAX_FIELDS = 100
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Form:
    """The fields of a form in their order."""

    fields: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        """Return the first value of a field; empty if it is absent."""
        return next((value for field, value in self.fields if field == name), "")

    def text(self, name: str) -> str:
        """Return the first value of a field without blanks around it; browsers send line breaks as two characters."""
        return self.get(name).replace("\r\n", "\n").strip()

    def all(self, name: str) -> list[str]:
        """Return all values of a field, such as those of checkboxes."""
        return [value for field, value in self.fields if field == name]

    def whole_number(self, name: str) -> int | str | None:
        """Return the number in a field, None if the field is empty; the model refuses any other text."""
        text = self.get(name).strip()
        digits = text.replace(",", "")
        return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else text or None

    def lifetime(self) -> dict[str, object]:
        """Return how long something is to live as the field of a body; empty if the form does not say it."""
        seconds = self.whole_number("expires_in_seconds")
        return {} if seconds is None else {"expires_in_seconds": seconds}

    def seen_version(self) -> str:
        """Return the ETag of the version that the form began from; one that matches nothing if it is unreadable."""
        text = self.get("revision")
        return entity_tag(int(text)) if text.isascii() and text.isdecimal() and len(text) < 10 else "none"

    def parse(self, model: type[Model], *names: str, **others: object) -> Model:
        """Return these fields as a body of an operation; `others` are added to them.

        Raises:
            errors.RequestInvalid: A field is missing or wrong.
        """
        values = {name: self.get(name) for name in names if any(field == name for field, _ in self.fields)}
        try:
            return model.model_validate(values | others)
        except ValidationError as error:
            raise request_invalid(error.errors(), model=model) from None


async def read_form(request: Request, services: ServicesDep) -> Form:
    """Return the form of a request that one of our pages has sent.

    With a session its first field is the session's CSRF token. A form that needs no session must come from our own
    origin by what the browser declares.

    Raises:
        errors.CrossSiteRequest: A page of another site sent it, or no page at all.
        errors.CsrfTokenInvalid: The token is missing or belongs to another session.
        errors.MediaTypeNotSupported: It is not the form of a page.
        errors.RequestInvalid: It is not readable.
    """
    cookie = request.cookies.get(services.settings.session_cookie_name)
    in_session = cookie is not None and getattr(request.state, "actor", None) is not None
    if not in_session:
        check_same_origin(request, services, declared=True)
    form = _parse(request.headers.get("content-type", ""), await request.body())
    if in_session:
        name, token = form.fields[0] if form.fields else ("", "")
        try:
            check_csrf(cookie or "", token if name == CSRF_FIELD else "")
        except errors.CsrfTokenInvalid:
            # The error's page shows the same form again.
            request.state.stale_form = form
            raise
    if key := form.get(KEY_FIELD):
        # Without the token: it differs once the person has signed in again.
        content = urlencode([pair for pair in form.fields if pair[0] != CSRF_FIELD]).encode()
        request.state.form_key = FormKey(key, content)
    return form


FormDep = Annotated[Form, Depends(read_form)]
"""Declared before the transaction, which would otherwise wait for the body."""


def _parse(content_type: str, body: bytes) -> Form:
    if content_type.partition(";")[0].strip().lower() != _MEDIA_TYPE:
        raise errors.MediaTypeNotSupported(f"Forms are sent as {_MEDIA_TYPE}.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError as error:
        message = f"The form is not readable, or has more than {_MAX_FIELDS} fields."
        raise errors.invalid_fields([{"field": "body", "code": "body-unreadable", "message": message}]) from error
    return Form(tuple(pairs))
