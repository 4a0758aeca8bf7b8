"""RFC 9457 problem documents: how an error is told over HTTP, whatever serves it."""

import re
from typing import Any

import orjson

from image_core import errors
from image_core.telemetry import current_request

MEDIA_TYPE = "application/problem+json"

STATUSES: dict[type[errors.AppError], int] = {
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.Precondition: 412,
    errors.LimitExceeded: 429,
    errors.Unavailable: 503,
}
_SECRET = re.compile(rb"((?i:im)_[0-9A-Za-z]{8}_|eyJ)[0-9A-Za-z_.-]{8,}")


def status_of(error: errors.AppError | type[errors.AppError]) -> int:
    """Return the HTTP status of an error."""
    cls = error if isinstance(error, type) else type(error)
    if issubclass(cls, errors.Invalid):
        return cls.status
    return next(status for branch, status in STATUSES.items() if issubclass(cls, branch))


def document(status: int, code: str, title: str, detail: str, base_url: str = "", **extra: Any) -> bytes:
    """Return a problem document. `extra` holds what helps to fix it; pages of codes are below `base_url`.

    Keys and tokens, which callers put where an answer repeats what they sent, are left out.
    """
    context = current_request.get()
    body = {
        "type": f"{base_url}/errors/{code}",
        "title": title,
        "status": status,
        "detail": detail or f"{title}.",
        "code": code,
        "request_id": context.request_id if context else None,
        **extra,
    }
    return _SECRET.sub(lambda found: found[1] + "…".encode(), orjson.dumps(body, default=str))
