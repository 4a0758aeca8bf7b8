"""Requests in general."""

from image_core.errors.kinds import Conflict, Invalid, Precondition

MAX_NAMED_FIELDS = 20
_MAX_IN_DETAIL = 3
_MAX_TEXT = 500


class RequestInvalid(Invalid):
    """A field of the request is not valid."""

    code = "request-invalid"


class BodyTooLarge(Invalid):
    """The request's body is larger than allowed."""

    code = "body-too-large"
    status = 413


class RequestTooSlow(Invalid):
    """The request took too long to arrive."""

    code = "request-too-slow"
    status = 408


class RequestUnreadable(Invalid):
    """The request is not valid HTTP."""

    code = "request-unreadable"
    status = 400


class HeaderTooLarge(Invalid):
    """The request's header is larger than allowed."""

    code = "header-too-large"
    status = 431


class TooManyParameters(Invalid):
    """The query string has too many parameters."""

    code = "too-many-parameters"
    status = 400


class UpgradeNotSupported(Invalid):
    """WebSockets are not supported."""

    code = "upgrade-not-supported"
    status = 400


class MediaTypeNotSupported(Invalid):
    """The request's media type is not supported."""

    code = "media-type-not-supported"
    status = 415


class IdempotencyKeyInUse(Conflict):
    """A request with this Idempotency-Key is still in progress."""

    code = "idempotency-key-in-use"
    retry_after_seconds = 1


class IdempotencyKeyReused(Invalid):
    """Another request was sent with this Idempotency-Key."""

    code = "idempotency-key-reused"


class ETagMismatch(Precondition):
    """The resource has changed since it was read."""

    code = "etag-mismatch"


class CursorInvalid(Invalid):
    """The cursor is not valid."""

    code = "cursor-invalid"
    status = 400


class CursorOfAnotherOrder(Invalid):
    """The cursor continues a list in another order."""

    code = "cursor-of-another-order"
    status = 400


class OrderUnknown(Invalid):
    """The order does not exist."""

    code = "order-unknown"
    status = 400


class FilterUnknown(Invalid):
    """The filter does not exist."""

    code = "filter-unknown"
    status = 400


class ParameterUnknown(Invalid):
    """The query parameter does not exist."""

    code = "parameter-unknown"
    status = 400


class ParameterRepeated(Invalid):
    """A query parameter with a single value was given twice."""

    code = "parameter-repeated"
    status = 400


class FilterInvalid(Invalid):
    """The filter is not valid."""

    code = "filter-invalid"
    status = 400


def invalid_fields(fields: list[dict[str, str]]) -> RequestInvalid:
    """Return the error that names these fields, the first 20 of them; each has `field`, `code` and `message`."""
    shown = [{name: _shortened(text) for name, text in field.items()} for field in fields[:MAX_NAMED_FIELDS]]
    if len(shown) <= _MAX_IN_DETAIL:
        return RequestInvalid(" ".join(f"{field['field']}: {field['message']}" for field in shown), errors=shown)
    names = ", ".join(dict.fromkeys(field["field"] for field in shown))
    more = len(fields) - len(shown)
    return RequestInvalid(f"Not valid: {names}{f' and {more:,} more' if more > 0 else ''}.", errors=shown)


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
