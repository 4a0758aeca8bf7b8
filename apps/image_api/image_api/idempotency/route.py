"""HTTP of idempotent requests: which operations take a key, and how their responses are stored."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.params import Depends as DependsMarker

from image_api.dependencies import ServicesDep, TransactionDep
from image_api.guarded_route import GuardedRoute
from image_api.http.shown_once import shown_once
from image_api.idempotency.service import (
    HEADER,
    MAX_ANSWER_BYTES,
    Answer,
    Attempt,
    Creation,
    KeyClaim,
    Replayed,
    RequestIdentity,
)
from image_core.db import Transaction
from image_core.telemetry import log

REPLAYED_HEADER = "Idempotency-Replayed"
_KEPT_HEADERS = ("content-type", "cache-control", "etag", "location", "retry-after")


def _identify(request: Request) -> RequestIdentity:
    token = getattr(request.state, "upload_token", None)
    # Holders of different tokens have the same caller, but not the same keys.
    target = (request.method, request.url.path, request.url.query, *(() if token is None else (str(token["id"]),)))
    return RequestIdentity.from_request(request.state.actor, request.headers.getlist(HEADER), target)


async def open_creation(request: Request, transaction: TransactionDep) -> Transaction:
    """Return the request's transaction, or raise the stored response. Must come after authentication."""
    if HEADER in request.headers:
        request.state.attempt = await Creation.take_key(transaction, _identify(request), await request.body())
    return transaction


CreationDep = Annotated[Transaction, DependsMarker(open_creation, scope="function")]
"""`TransactionDep` for a POST that creates something."""


class OpenClaim:
    """The claim of a request with a key, for operations that commit in steps. Must come after authentication."""

    def __init__(self, *, streamed: bool) -> None:
        self._streamed = streamed

    async def __call__(self, request: Request, services: ServicesDep) -> KeyClaim | None:
        if HEADER not in request.headers:
            return None
        identity = _identify(request)
        content = None if self._streamed else await request.body()
        claim = await KeyClaim.take_key(services.database, services.background, identity, content)
        request.state.attempt = claim
        return claim


ClaimDep = Annotated[KeyClaim | None, Depends(OpenClaim(streamed=False))]
"""For a POST that commits in steps and has a JSON body."""
StreamClaimDep = Annotated[KeyClaim | None, Depends(OpenClaim(streamed=True))]
"""For a POST that reads its body itself; it calls `compare` with data that distinguishes one body from another."""


def takes_key(dependant: Dependant) -> bool:
    """Return whether an operation takes an `Idempotency-Key`."""
    if dependant.call is open_creation or isinstance(dependant.call, OpenClaim):
        return True
    return any(takes_key(dependency) for dependency in dependant.dependencies)


class IdempotentRoute(GuardedRoute):
    """Routes that store and replay the response to a request with a key, if they use `CreationDep` or `ClaimDep`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the framework's handler; the transaction is still open when the response is stored."""
        handler = super().get_route_handler()
        if not takes_key(self.dependant):
            return handler
        secrets = shown_once(self.response_model)

        async def handle(request: Request) -> Response:
            if HEADER not in request.headers:
                return await handler(request)
            try:
                response = await handler(request)
            except Replayed as replayed:
                return _replay(replayed.answer)
            except BaseException:
                await _release(request)
                raise
            await _store(request, response, secrets)
            return response

        return handle


def _replay(answer: Answer) -> Response:
    return Response(answer.body, answer.status, {**answer.headers, REPLAYED_HEADER: "true"})


async def _release(request: Request) -> None:
    attempt: Attempt | None = getattr(request.state, "attempt", None)
    if attempt is not None:
        await attempt.release()


async def _store(request: Request, response: Response, secrets: frozenset[str]) -> None:
    attempt: Attempt = request.state.attempt
    body = bytes(response.body)
    if response.status_code >= 400:
        await attempt.release()
    elif len(body) > MAX_ANSWER_BYTES:
        log("idempotent_answer_too_long", severity="WARNING", size_bytes=len(body))
        await attempt.release()
    else:
        if secrets:
            stored = orjson.loads(body)
            body = orjson.dumps(stored | dict.fromkeys(secrets & stored.keys()))
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        await attempt.store(Answer(response.status_code, headers, body))
