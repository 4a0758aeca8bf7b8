"""The OpenAPI document, completed from the code: scopes, errors and examples of every operation."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from pydantic import HttpUrl
from starlette.routing import compile_path

from image_api.auth import API_KEY_HEADER, CSRF_HEADER, UPLOAD_TOKEN_HEADER
from image_api.idempotency.route import REPLAYED_HEADER, takes_key
from image_api.idempotency.service import HEADER
from image_api.openapi.catalogue_examples import CATALOGUE_EXAMPLES
from image_api.openapi.examples import EXAMPLES
from image_api.openapi.headers import HEADERS, declare_headers
from image_api.openapi.operations import (
    SUMMARIES,
    TAGS,
    api_routes,
    needs_session,
    operation_id,
    scope_alternatives,
    takes_upload_token,
)
from image_api.openapi.schemas import complete_schemas, describe_parameters
from image_core.errors.problem_documents import MEDIA_TYPE

_API_KEY = {
    "type": "apiKey",
    "in": "header",
    "name": API_KEY_HEADER,
    "description": "API key: `im_<public id>_<secret>`.",
}
_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "Access token from `POST /api/v1/auth/login`.",
}
_UPLOAD_TOKEN = {
    "type": "apiKey",
    "in": "header",
    "name": UPLOAD_TOKEN_HEADER,
    "description": "Upload token from `POST /api/v1/upload-tokens`, which a page may hold.",
}
_COOKIE_DESCRIPTION = (
    "Session cookie from `POST /api/v1/auth/login` with `mode: cookie`. Requests other than GET, HEAD and OPTIONS also "
    f"need the header `{CSRF_HEADER}`. Requests from pages of other sites are refused."
)
_WITH_KEY = {
    "401": "The API key, access token or session cookie is missing or invalid.",
    "403": "The caller lacks a scope or role, or the CSRF token of a cookie session is missing or wrong.",
}
_ALWAYS = {
    "400": "A query parameter is unknown or repeated, or the request has more than one kind of credentials.",
    "431": "The request header is too large.",
    "429": "Too many requests. Wait for `Retry-After`.",
    "503": "Part of the service is unavailable. Try again after `Retry-After`.",
}
_WITH_BODY = {"408": "The request body took too long to arrive.", "413": "The request body is too large."}
_WITH_INPUT = {"422": "A field of the request is invalid. `errors` lists every one."}
_IDEMPOTENCY_KEY = {
    "name": HEADER,
    "in": "header",
    "description": (
        "Makes it safe to send the request again: for 24 hours, a request with the same key and the same content gets "
        "the first response."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_DEFAULT_DESCRIPTION = "Successful Response"
"""What the framework writes where a route describes no success."""
_SUCCEEDED = {
    "200": "The request succeeded.",
    "201": "Created.",
    "202": "Accepted.",
    "204": "The request succeeded. The response has no body.",
}
_IN_USE = "A request with this `Idempotency-Key` is still in progress."


def install(
    app: FastAPI, routers: Mapping[str, Sequence[APIRouter]], cookie_name: str, public_url: HttpUrl | None
) -> None:
    """Include routers under their prefixes, and complete the document that the application's `openapi` returns."""
    for prefix, included in routers.items():
        for router in included:
            app.include_router(router, prefix=prefix, generate_unique_id_function=operation_id)
    app.state.whole_paths = {(route.endpoint, route.path): path for path, route in api_routes(routers)}
    app.state.methods_by_path = [
        (compile_path(path)[0], set(route.methods or ())) for path, route in api_routes(routers)
    ]
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = generate()
            schema["servers"] = [{"url": str(public_url).rstrip("/") if public_url else "/"}]
            schema["tags"] = [{"name": name, "description": description} for name, description in TAGS.items()]
            _complete_components(schema.setdefault("components", {}), cookie_name)
            for path, route in api_routes(routers):
                _complete(schema, path, route)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete_components(components: dict[str, Any], cookie_name: str) -> None:
    schemas = components.setdefault("schemas", {})
    complete_schemas(schemas)
    for name, example in (EXAMPLES | CATALOGUE_EXAMPLES).items():
        schemas[name].setdefault("examples", [example])
    cookie = {"type": "apiKey", "in": "cookie", "name": cookie_name, "description": _COOKIE_DESCRIPTION}
    components["headers"] = HEADERS
    components["securitySchemes"] = {
        "ApiKey": _API_KEY, "Bearer": _BEARER, "SessionCookie": cookie, "UploadToken": _UPLOAD_TOKEN
    }  # fmt: skip


def _complete(schema: dict[str, Any], path: str, route: APIRoute) -> None:
    for method in route.methods or ():
        operation = schema["paths"].get(path, {}).get(method.lower())
        if operation is None:
            continue
        operation["summary"] = SUMMARIES[operation["operationId"]]
        described = dict(_ALWAYS) | _describe_access(operation, route)
        if "{" in path:
            described["404"] = "It does not exist, or belongs to another team."
        if takes_key(route.dependant):
            _describe_key(operation)
        if operation.get("requestBody"):
            described |= _WITH_BODY
        if operation.get("requestBody") or operation.get("parameters"):
            described |= _WITH_INPUT
        if method in ("PATCH", "DELETE"):
            described["412"] = "The ETag in `If-Match` is not the current one."
        _add_problems(operation["responses"], described)
        declare_headers(operation)
        describe_parameters(operation)
        _offer_merge_patch(operation, method)


def _offer_merge_patch(operation: dict[str, Any], method: str) -> None:
    """Declare that every PATCH is an RFC 7396 merge patch, also if its body is sent as plain JSON."""
    if method == "PATCH":
        content = operation["requestBody"]["content"]
        content["application/merge-patch+json"] = content["application/json"]


def _describe_access(operation: dict[str, Any], route: APIRoute) -> dict[str, str]:
    """Add who may call an operation; return the errors for those who may not."""
    alternatives = scope_alternatives(route)
    if alternatives is None:
        operation["security"] = []
        return {}
    schemes: tuple[str, ...] = ("Bearer", "SessionCookie")
    if not needs_session(route):
        schemes = ("ApiKey", *schemes)
    if takes_upload_token(route):
        schemes = (*schemes, "UploadToken")
    operation["security"] = [{scheme: scopes} for scopes in alternatives for scheme in schemes]
    operation["x-required-scopes"] = alternatives[0]
    return _WITH_KEY


def _describe_key(operation: dict[str, Any]) -> None:
    operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
    responses = operation["responses"]
    for status, response in responses.items():
        if int(status) < 300:
            response["headers"] = {REPLAYED_HEADER: {"$ref": f"#/components/headers/{REPLAYED_HEADER}"}}
    own = responses.get("409", {}).get("description")
    retry = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    responses["409"] = {"description": f"{own} {_IN_USE}" if own else _IN_USE, "headers": retry}


def _add_problems(responses: dict[str, Any], described: dict[str, str]) -> None:
    """Give every error its schema: those in `described`, and those declared by the route."""
    responses.pop("422", None)
    for status, response in responses.items():
        if response["description"] == _DEFAULT_DESCRIPTION:
            response["description"] = _SUCCEEDED[status]
    for status, description in described.items():
        responses.setdefault(status, {"description": description})
    for status, response in responses.items():
        if int(status) >= 400 and "content" not in response:
            response["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
