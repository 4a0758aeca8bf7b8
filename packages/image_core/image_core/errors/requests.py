"""Requests in general."""

from image_core.errors.kinds import Conflict, Invalid


class RequestInvalid(Invalid):
    """A field of the request is not valid."""

    code = "request-invalid"


class BodyTooLarge(Invalid):
    """The request's body is larger than allowed."""

    code = "body-too-large"
    status = 413


class MediaTypeNotSupported(Invalid):
    """The request's media type is not supported."""

    code = "media-type-not-supported"
    status = 415


class IdempotencyKeyInUse(Conflict):
    """A request with this Idempotency-Key is still at work."""

    code = "idempotency-key-in-use"
    retry_after_seconds = 1


class IdempotencyKeyReused(Invalid):
    """Another request was sent under this Idempotency-Key."""

    code = "idempotency-key-reused"


class CursorInvalid(Invalid):
    """The cursor is not one of ours."""

    code = "cursor-invalid"


class FilterUnknown(Invalid):
    """There is no such filter."""

    code = "filter-unknown"
    status = 400


class FilterInvalid(Invalid):
    """A filter on metadata or results makes no sense."""

    code = "filter-invalid"
    status = 400


def invalid_fields(fields: list[dict[str, str]]) -> RequestInvalid:
    """A validation error that names every field; each has `field`, `code` and `message`."""
    names = ", ".join(dict.fromkeys(field["field"] for field in fields))
    return RequestInvalid(f"Not valid: {names}.", errors=fields)
