"""The limit per address: unauthenticated requests are counted, and rejected before any work is done."""

from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send

from image_api.auth import API_KEY_HEADER, caller_address
from image_api.http import problems
from image_api.http.paths import SHARE_PREFIX, STATIC_PREFIX
from image_api.openapi import page
from image_api.share_pages import pages as share_pages
from image_core import errors

_KEY_NAME = API_KEY_HEADER.lower().encode()
_PROOFS = frozenset({_KEY_NAME, b"authorization", b"cookie"})
# The platform's probes must always be answered, and a page requests all of its files at once.
_UNLIMITED_PATHS = frozenset({"/health/live", "/health/ready", *page.PATHS})


class AddressLimitMiddleware:
    """Count unauthenticated requests by address. Pure ASGI.

    Requests with credentials are counted afterwards, unless the credentials were valid or the attempt has been counted.
    While an address is refused, keys that this process knows to be valid still work; unknown ones are not looked up.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_unlimited(scope["path"]):
            await self._app(scope, receive, send)
            return
        rate_limits, state = scope["app"].state.services.rate_limits, scope["state"]
        address = caller_address()
        shows_proof = any(name in _PROOFS for name, _ in scope["headers"])
        try:
            if not shows_proof:
                state["rate_limit"] = await rate_limits.count_address(address)
            elif (refusal := rate_limits.refusal(address)) and not _key_is_known(scope):
                raise refusal
        except errors.TooManyRequests as error:
            # Visitors of share links are people.
            is_visitor = scope["path"].startswith(f"{SHARE_PREFIX}/")
            answer = share_pages.failed(error) if is_visitor else problems.app_problem(error)
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)
        if shows_proof and not state.get("actor_fields") and not state.get("attempt_counted"):
            with suppress(errors.TooManyRequests):
                await rate_limits.count_address(address)


def _is_unlimited(path: str) -> bool:
    return path in _UNLIMITED_PATHS or path.startswith(f"{STATIC_PREFIX}/")


def _key_is_known(scope: Scope) -> bool:
    api_key = next((value for name, value in scope["headers"] if name == _KEY_NAME), b"")
    known: bool = scope["app"].state.key_cache.is_known_valid(api_key.decode("latin-1"))
    return known
