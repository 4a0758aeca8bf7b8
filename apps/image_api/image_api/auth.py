"""Authentication of requests as an `Actor`, and the scopes that routes require.

A request carries one kind of credentials: a key, an access token, or the cookie of a session.
"""

import hmac
from urllib.parse import urlsplit

from fastapi import Request

from image_api.actor import Actor, Scope
from image_api.dependencies import services_of
from image_api.observability import add_actor
from image_api.proofs import session_cookies
from image_api.proofs.cookie_sessions import authenticate_session
from image_api.proofs.key_cache import Origin, authenticate_key
from image_api.proofs.session_cache import actor_of_session
from image_api.proofs.upload_tokens import authenticate_upload_token
from image_api.services import Services
from image_core import errors
from image_core.keys import api_keys
from image_core.telemetry import current_request

API_KEY_HEADER = "X-API-KEY"
UPLOAD_TOKEN_HEADER = "X-Upload-Token"  # noqa: S105 (the name of a header)
CSRF_HEADER = "X-CSRF-Token"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


async def authenticate(request: Request) -> Actor:
    """Return the caller, and count the request against the caller's rate limit."""
    return await _authenticate_and_count(request, uploads=False)


async def _authenticate_and_count(request: Request, *, uploads: bool) -> Actor:
    """Return the caller; count every request once, and an upload also as an upload.

    The headers are read here and described in `openapi`: separate dependencies for key, caller and scope would cost
    each request more than the checks themselves.
    """
    known: Actor | None = getattr(request.state, "actor", None)
    if known is not None:
        # The route has authenticated before the framework read the body.
        return known
    services = await services_of(request)
    try:
        actor = await _authenticate(request, services)
    except errors.KeyMissing:
        raise
    except (errors.Unauthorized, errors.AddressNotAllowed):
        request.state.attempt_counted = True
        await services.rate_limits.count_bad_key(caller_address())
        raise
    proofs = {"session_id": actor.session_id, "credential_id": actor.credential_id}
    proof = {name: str(proof) for name, proof in proofs.items() if proof is not None}
    add_actor(request.scope, user_id=str(actor.user_id), team_id=str(actor.team_id), **proof)
    count = services.rate_limits.count_upload if uploads else services.rate_limits.count_request
    request.state.rate_limit = await count(actor.caller_name)
    request.state.actor = actor
    return actor


async def _authenticate(request: Request, services: Services) -> Actor:
    api_key = request.headers.get(API_KEY_HEADER)
    authorization = request.headers.get("Authorization")
    cookie = request.cookies.get(services.settings.session_cookie_name) if "cookie" in request.headers else None
    if (api_key is not None) + (authorization is not None) + (cookie is not None) > 1:
        raise _ambiguous()
    if api_key:
        return await authenticate_key(request.app.state.key_cache, api_key, caller_origin(request))
    if authorization:
        return await _authenticate_token(services, authorization)
    if cookie:
        check_same_origin(request, services)
        keys, origin = request.app.state.key_cache, caller_origin(request)
        actor = await authenticate_session(services.session_cache, keys, cookie, origin)
        if request.method not in _SAFE_METHODS and not getattr(request.state, "csrf_in_form", False):
            check_csrf(cookie, request.headers.get(CSRF_HEADER, ""))
        return actor
    raise errors.KeyMissing("API key missing. Send it in the header X-API-KEY, or sign in.")


async def _authenticate_token(services: Services, authorization: str) -> Actor:
    scheme, _, token = authorization.partition(" ")
    if api_keys.PREFIX in authorization or token.strip() == api_keys.DEFAULT_KEY:
        raise errors.TokenInvalid(f"This is an API key, not an access token. Send it in the header {API_KEY_HEADER}.")
    if scheme.lower() != "bearer":
        raise errors.TokenInvalid(
            f"Authorization header not valid. Send `Bearer` and an access token, or an API key in {API_KEY_HEADER}."
        )
    read = await services.access_tokens.read(token.strip())
    found = await services.session_cache.get(read.session_id)
    if found is None:
        raise errors.SessionEnded("The session has ended. Sign in again.")
    row, now = found
    # Only its cookie authenticates a cookie's session.
    if row["id"] != read.user_id or row["token_hash"] is not None:
        raise errors.SessionEnded("The session has ended. Sign in again.")
    services.access_tokens.check(read, now)
    return actor_of_session(row, now)


def check_csrf(cookie: str, token: str) -> None:
    """Compare a CSRF token with that of a cookie.

    Raises:
        errors.CsrfTokenInvalid: The token is missing or belongs to another session.
    """
    if not hmac.compare_digest(token.encode(), session_cookies.csrf_token(cookie).encode()):
        raise errors.CsrfTokenInvalid(
            "CSRF token missing or wrong. Get the session's token from GET /api/v1/auth/session."
        )


def check_same_origin(request: Request, services: Services, *, declared: bool = False) -> None:
    """Require that the request comes from our own origin, or from no page at all.

    Browsers declare the origin of a request, and pages cannot change it: `Sec-Fetch-Site` with every request, and
    `Origin` from older browsers with requests that change something. Clients that send neither are not browsers: with
    `declared` they are refused as well.

    Raises:
        errors.CrossSiteRequest: A session cookie is not accepted from another site.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    own_hosts = {urlsplit(services.settings.base_url).netloc, request.headers.get("Host")} - {""}
    if site:
        allowed = site == "same-origin" or (site == "none" and not declared)
    else:
        allowed = not declared if origin is None else _host_of(origin) in own_hosts
    if not allowed:
        raise errors.CrossSiteRequest(
            "A page of another site cannot use this session. Use a page of this service, an API key or an access token."
        )


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def caller_address() -> str:
    """Return the address of the current request, as far as our own proxies vouch for it."""
    context = current_request.get()
    return context.address if context and context.address else "unknown"


def caller_origin(request: Request) -> Origin:
    """Return where a request comes from, as recorded with the use of a key."""
    return Origin(caller_address(), request.headers.get("user-agent"))


async def count_sign_in_attempt(services: Services) -> str:
    """Count an attempt to sign in against the limit of the caller's address, and return that address.

    Raises:
        errors.TooManyRequests: There were too many.
    """
    address = caller_address()
    await services.rate_limits.count_sign_in(address)
    return address


class RequireScope:
    """A dependency that returns the caller if it has all of these scopes; the default key has none.

    With `uploads` the request is counted as an upload. Without `key_sessions`, sessions that began with an API key are
    refused.
    """

    def __init__(self, *scopes: Scope, uploads: bool = False, key_sessions: bool = True) -> None:
        self.scopes, self._uploads, self._key_sessions = scopes, uploads, key_sessions

    @property
    def alternatives(self) -> tuple[tuple[Scope, ...], ...]:
        """Return the sets of scopes that each grant access, the general one first."""
        return (self.scopes,)

    async def __call__(self, request: Request) -> Actor:
        actor = await _authenticate_and_count(request, uploads=self._uploads)
        if actor.is_default_key:
            raise errors.DefaultKeyMustBeRotated(
                "The default key can only rotate itself. Do so with POST /api/v1/user/{user_id}/credentials/rotate."
            )
        if actor.began_with_key and not self._key_sessions:
            raise errors.SessionRequired(
                "This session began with an API key, so it cannot do this. Sign in with e-mail address and password."
            )
        missing = [scope for scope in self.scopes if scope not in actor.scopes]
        if missing:
            raise errors.ScopeMissing(
                f"The caller lacks these scopes: {', '.join(missing)}. Use another key, or ask an admin.",
                missing_scopes=missing,
            )
        return actor


def _ambiguous() -> errors.CredentialsAmbiguous:
    return errors.CredentialsAmbiguous(
        "More than one kind of credentials. Send an API key, an access token or a session cookie, but only one."
    )


class RequireUploader(RequireScope):
    """A dependency for direct uploads: a caller with these scopes, or who holds an upload token of such a caller."""

    async def __call__(self, request: Request) -> Actor:
        """Return the caller, or the one who created the token that the request has instead.

        Raises:
            errors.Unauthorized: The caller is not known.
            errors.Forbidden: The caller is not allowed to do this.
        """
        if UPLOAD_TOKEN_HEADER in request.headers and getattr(request.state, "actor", None) is None:
            await _authenticate_upload_token(request, uploads=self._uploads)
        return await super().__call__(request)


async def _authenticate_upload_token(request: Request, *, uploads: bool) -> None:
    """Find the caller who created the request's upload token, and count the request against its rate limit."""
    services = await services_of(request)
    if API_KEY_HEADER in request.headers or "Authorization" in request.headers:
        raise _ambiguous()
    keys, sessions = request.app.state.key_cache, services.session_cache
    try:
        actor, token = await authenticate_upload_token(keys, sessions, request.headers[UPLOAD_TOKEN_HEADER])
    except errors.Unauthorized:
        request.state.attempt_counted = True
        await services.rate_limits.count_bad_key(caller_address())
        raise
    add_actor(
        request.scope, user_id=str(actor.user_id), team_id=str(token["team_id"]), upload_token_id=str(token["id"])
    )
    count = services.rate_limits.count_upload if uploads else services.rate_limits.count_request
    request.state.rate_limit = await count(actor.caller_name)
    request.state.actor, request.state.upload_token = actor, token


class RequireAnyOf(RequireScope):
    """A dependency that returns the caller if it has one of these scopes; the service decides which one is needed."""

    def __init__(self, scope: Scope, *others: Scope) -> None:
        super().__init__(scope)
        self._others = others

    @property
    def alternatives(self) -> tuple[tuple[Scope, ...], ...]:
        """Return the scopes one by one."""
        return (self.scopes, *((scope,) for scope in self._others))

    async def __call__(self, request: Request) -> Actor:
        """Return the caller.

        Raises:
            errors.Unauthorized: The caller is not known.
            errors.Forbidden: The caller is not allowed to do this.
        """
        actor = await _authenticate_and_count(request, uploads=False)
        has_another = not actor.is_default_key and not actor.scopes.isdisjoint(self._others)
        return actor if has_another else await super().__call__(request)


class RequireSession(RequireScope):
    """A dependency that returns the caller if it has signed in; with a key only if `key_sessions` is set."""

    def __init__(self, *scopes: Scope, key_sessions: bool = False) -> None:
        super().__init__(*scopes, key_sessions=key_sessions)

    async def __call__(self, request: Request) -> Actor:
        actor = await super().__call__(request)
        if actor.session_id is None:
            raise errors.SessionRequired(
                "API keys cannot do this. Sign in and send the access token or the session cookie."
            )
        return actor


class RequireCredentialManager(RequireScope):
    """A dependency for operations on a user's credentials: that user with `keys:self`, or an admin with `admin`.

    It depends on the user that the request names, so the service decides. With `default_key`, the default key is
    accepted as well, so that it can rotate itself.
    """

    def __init__(self, *, default_key: bool = False) -> None:
        super().__init__()
        self._default_key = default_key

    @property
    def alternatives(self) -> tuple[tuple[Scope, ...], ...]:
        """Return both scopes: the service decides which one is needed."""
        return ((Scope.KEYS_SELF,), (Scope.ADMIN,))

    async def __call__(self, request: Request) -> Actor:
        """Return the caller.

        Raises:
            errors.Unauthorized: The caller is not known.
            errors.Forbidden: The caller is not allowed to do this.
        """
        return await (authenticate(request) if self._default_key else super().__call__(request))
