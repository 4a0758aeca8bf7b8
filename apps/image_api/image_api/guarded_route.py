"""Routes that authenticate before they read a body or a query, limit the body, and reject unknown parameters."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio.to_thread
from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from image_api.actor import Actor
from image_api.auth import RequireScope, authenticate, caller_address
from image_api.dependencies import services_of
from image_api.http import json_bodies
from image_api.http.query_parameters import query_parameters_of
from image_core import errors
from image_core.storage.sizes import format_size

SMALL_BODY_BYTES = 64 * 1024
LARGE_BODY_BYTES = 512 * 1024
"""Fifty tags and fifty metadata entries of maximum length, with every character escaped."""
RECEIPT_SECONDS = 10.0
_LIMIT_KEY = "x-max-body-bytes"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_PARSE_IN_THREAD_BYTES = 128 * 1024


def body_limit(size_bytes: int) -> dict[str, Any]:
    """Return the `openapi_extra` of a route whose JSON may be larger than `SMALL_BODY_BYTES`."""
    return {_LIMIT_KEY: size_bytes}


class BoundedRequest(Request):
    """A request whose body is rejected if it is too large, too slow, or JSON of an extreme shape.

    `stream` is unchanged: routes that read a file have limits and a deadline of their own.
    """

    def __init__(self, request: Request, limit_bytes: int) -> None:
        super().__init__(request.scope, request.receive)
        self._limit_bytes = limit_bytes

    async def body(self) -> bytes:
        """Return the whole body.

        Raises:
            errors.BodyTooLarge: The request's body is larger than allowed.
            errors.RequestTooSlow: The request took too long to arrive.
            errors.ShuttingDown: This instance is shutting down.
        """
        if not hasattr(self, "_body"):
            declared = self.headers.get("content-length", "")
            self._check_size(int(declared) if declared.isdecimal() else 0)
            shutdown = (await services_of(self)).shutdown
            try:
                async with shutdown.deadline(RECEIPT_SECONDS):
                    self._body = await self._received()
            except TimeoutError as error:
                if shutdown.stopping:
                    raise errors.ShuttingDown("This instance is shutting down. Send the request again.") from error
                raise errors.RequestTooSlow(
                    f"Request body too slow: the limit is {RECEIPT_SECONDS:g} s. Send the request again."
                ) from error
        return self._body

    async def json(self) -> Any:
        """Return the body as JSON; also raises the errors of `body`.

        Raises:
            errors.RequestInvalid: The body is not acceptable JSON.
        """
        if not hasattr(self, "_json"):
            body = await self.body()
            if len(body) > _PARSE_IN_THREAD_BYTES:
                self._json = await anyio.to_thread.run_sync(json_bodies.parse, body)
            else:
                self._json = json_bodies.parse(body)
        return self._json

    async def _received(self) -> bytes:
        body = bytearray()
        async for chunk in self.stream():
            self._check_size(len(body) + len(chunk))
            body += chunk
        return bytes(body)

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._limit_bytes:
            limit = self._limit_bytes
            raise errors.BodyTooLarge(f"Request body too large: the limit is {format_size(limit)}.", limit_bytes=limit)


class GuardedRoute(APIRoute):
    """A route that authenticates before the body is read; the framework would read it before it runs dependencies.

    Requests to operations that need no key count against the limit of their address, whatever credentials they carry.
    """

    checks_query = True
    """Whether unknown query parameters are rejected."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the framework's handler behind the guard. Requests with neither body nor query need no guard."""
        handler = super().get_route_handler()
        is_safe = (self.methods or set()) <= _SAFE_METHODS
        guard = guard_of(self.dependant) or (_pass if is_safe else _count_address)
        limit_bytes: int = (self.openapi_extra or {}).get(_LIMIT_KEY, SMALL_BODY_BYTES)
        parameters = query_parameters_of(self)

        async def handle(request: Request) -> Response:
            has_query = bool(request.scope["query_string"])
            if has_query or not is_safe:
                await guard(request)
            if has_query and self.checks_query:
                parameters.check(request.query_params)
            return await handler(request if is_safe else BoundedRequest(request, limit_bytes))

        return handle


def guard_of(dependant: Dependant) -> Callable[[Request], Awaitable[Actor]] | None:
    """Return the dependency that authenticates an operation; None if it needs no key."""
    if dependant.call is authenticate or isinstance(dependant.call, RequireScope):
        return dependant.call
    return next((found for dependency in dependant.dependencies if (found := guard_of(dependency))), None)


async def _pass(_: Request) -> None:
    """Accept everybody: open operations without effects have been counted by address."""


async def _count_address(request: Request) -> None:
    """Count a request with credentials that nothing checks; requests without any have been counted."""
    if request.state.rate_limit is None:
        request.state.attempt_counted = True
        services = await services_of(request)
        request.state.rate_limit = await services.rate_limits.count_address(caller_address())
