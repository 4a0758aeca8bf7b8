"""Errors of the API as RFC 9457 problems, with the headers that go with them."""

import re
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from image_api.http.validation import request_invalid
from image_core import errors, telemetry
from image_core.errors.problem_documents import MEDIA_TYPE, document, status_of


def problem(
    status: int, code: str, title: str, detail: str, headers: dict[str, str] | None = None, **extra: Any
) -> Response:
    """Return a problem document. `extra` holds values that help to fix the error."""
    return Response(document(status, code, title, detail, **extra), status, headers, MEDIA_TYPE)


def app_problem(error: errors.AppError) -> Response:
    """Return the problem of an `AppError`."""
    headers: dict[str, str] = {}
    if isinstance(error, errors.Unauthorized):
        headers["www-authenticate"] = 'ApiKey realm="image-manager", header="X-API-KEY", Bearer realm="image-manager"'
    if (seconds := getattr(error, "retry_after_seconds", None)) is not None:
        headers["retry-after"] = str(seconds)
    if isinstance(error, errors.LimitExceeded) and "policy" in error.extra:
        policy = error.extra["policy"]
        headers["ratelimit-policy"] = f'"{policy}";q={error.extra["limit"]};w={error.extra["window_seconds"]}'
        headers["ratelimit"] = f'"{policy}";r=0;t={seconds}'
    if isinstance(error, errors.RangeNotSatisfiable):
        headers["content-range"] = f"bytes */{error.extra['size_bytes']}"
    return problem(status_of(error), error.code, error.title(), error.detail, headers, **error.extra)


def log_unavailable(error: errors.AppError) -> None:
    """Log that a part of the service is away, and why."""
    if isinstance(error, errors.Unavailable) and error.__cause__ is not None:
        telemetry.log(
            "part_unavailable", severity="WARNING", code=error.code, reason=type(error.__cause__).__qualname__
        )


def methods_of(scope: Scope) -> list[str]:
    """Return every method of a path; the framework only names those of the first matching route."""
    known: list[tuple[re.Pattern[str], set[str]]] = scope["app"].state.methods_by_path
    return sorted(set().union(*(methods for pattern, methods in known if pattern.fullmatch(scope["path"]))))


_HTTP_CODES = {404: "not-found", 405: "method-not-allowed"}


def _framework_problem(request: Request, error: HTTPException) -> Response:
    if isinstance(error.__cause__, errors.AppError):
        # The framework wraps every exception raised while reading a body.
        return app_problem(error.__cause__)
    if error.status_code == 400:
        message = "The body is not readable."
        return app_problem(errors.invalid_fields([{"field": "body", "code": "body-unreadable", "message": message}]))
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == 405:
        methods = methods_of(request.scope)
        headers["allow"] = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))
    code = _HTTP_CODES.get(error.status_code, "request-invalid")
    return problem(error.status_code, code, str(error.detail), _detail(error.status_code, headers), headers)


def _detail(status: int, headers: dict[str, str]) -> str:
    if status == 405:
        return f"Method not allowed: this path supports {headers['allow']}."
    return "Path not found. GET /docs lists every operation." if status == 404 else ""


def _body_type(scope: Scope) -> Any:
    field = getattr(scope.get("route"), "body_field", None)
    return field.field_info.annotation if field else None


def install(app: FastAPI) -> None:
    """Register handlers that turn every error of the application into a problem document."""

    async def on_app_error(_: Request, error: Exception) -> Response:
        if not isinstance(error, errors.AppError):
            raise error
        log_unavailable(error)
        return app_problem(error)

    async def on_validation_error(request: Request, error: Exception) -> Response:
        if not isinstance(error, RequestValidationError):
            raise error
        return app_problem(request_invalid(error.errors(), skip=1, model=_body_type(request.scope)))

    async def on_http_exception(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        return _framework_problem(request, error)

    app.add_exception_handler(errors.AppError, on_app_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(HTTPException, on_http_exception)
