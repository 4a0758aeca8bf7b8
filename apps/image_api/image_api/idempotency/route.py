"""HTTP of idempotent requests: which operations take a key, and how their responses are stored."""

import hmac
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, NamedTuple

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


class FormKey(NamedTuple):
    """The key of a form, which has no header for it: a field holds it, and `content` is the rest of the form."""

    key: str
    content: bytes


def _form_key(request: Request) -> FormKey | None:
    return getattr(request.state, "form_key", None)


def _identify(request: Request) -> RequestIdentity:
    form_key = _form_key(request)
    keys = request.headers.getlist(HEADER) if form_key is None else [form_key.key]
    token = getattr(request.state, "upload_token", None)
    # Holders of different tokens have the same caller, but not the same keys.
    target = (request.method, request.url.path, request.url.query, *(() if token is None else (str(token["id"]),)))
    return RequestIdentity.from_request(request.state.actor, keys, target)


def compare_by_keyed_hash(request: Request, key: bytes) -> None:
    """Have only a keyed hash of the content stored, because it contains a secret that people choose.

    Must come before the transaction of `CreationDep`.
    """
    request.state.comparison_key = key


async def _content(request: Request, form_key: FormKey | None) -> bytes:
    content = await request.body() if form_key is None else form_key.content
    key: bytes | None = getattr(request.state, "comparison_key", None)
    return content if key is None else hmac.digest(key, content, "sha256")


async def open_creation(request: Request, transaction: TransactionDep) -> Transaction:
    """Return the request's transaction, or raise the stored response. Must come after authentication."""
    form_key = _form_key(request)
    if form_key is not None or HEADER in request.headers:
        content = await _content(request, form_key)
        request.state.attempt = await Creation.take_key(transaction, _identify(request), content)
    return transaction


CreationDep = Annotated[Transaction, DependsMarker(open_creation, scope="function")]
"""`TransactionDep` for a POST that creates something."""


class OpenClaim:
    """The claim of a request with a key, for operations that commit in steps. Must come after authentication."""

    def __init__(self, *, streamed: bool) -> None:
        self._streamed = streamed

    async def __call__(self, request: Request, services: ServicesDep) -> KeyClaim | None:
        form_key = _form_key(request)
        if form_key is None and HEADER not in request.headers:
            return None
        identity = _identify(request)
        content = None if self._streamed else await _content(request, form_key)
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

        async def handle(request: Request) -> Response:
            try:
                response = await handler(request)
            except Replayed as replayed:
                return self.replay(request, replayed.answer)
            except BaseException:
                if (attempt := _attempt(request)) is not None:
                    await attempt.release()
                raise
            if (attempt := _attempt(request)) is not None:
                await self._store(attempt, response)
            return response

        return handle

    async def _store(self, attempt: Attempt, response: Response) -> None:
        if response.status_code >= 400:
            await attempt.release()
            return
        answer = self.stored_answer(response)
        if len(answer.body) > MAX_ANSWER_BYTES:
            log("idempotent_answer_too_long", severity="WARNING", size_bytes=len(answer.body))
            await attempt.release()
        else:
            await attempt.store(answer)

    def stored_answer(self, response: Response) -> Answer:
        """Return what is stored of a response: no secret."""
        body, secrets = bytes(response.body), shown_once(self.response_model)
        if secrets:
            stored = orjson.loads(body)
            body = orjson.dumps(stored | dict.fromkeys(secrets & stored.keys()))
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        return Answer(response.status_code, headers, body)

    def replay(self, request: Request, answer: Answer) -> Response:  # noqa: ARG002 (pages need the request)
        """Return the response to a repeated request."""
        return Response(answer.body, answer.status, {**answer.headers, REPLAYED_HEADER: "true"})


def _attempt(request: Request) -> Attempt | None:
    return getattr(request.state, "attempt", None)
