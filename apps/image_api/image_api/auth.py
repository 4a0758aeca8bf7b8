"""From the `X-API-KEY` header to an `Actor`, and the scopes that a route asks of it."""

from fastapi import Request

from image_api.actor import Actor, Scope
from image_api.dependencies import services_of
from image_api.key_cache import Origin, actor_of
from image_api.observability import add_actor
from image_core import errors
from image_core.telemetry import current_request

API_KEY_HEADER = "X-API-KEY"


async def authenticate(request: Request) -> Actor:
    """Who is calling, counted against the key's rate limit.

    The header is read here and described in `openapi.py`: as dependencies of their own, key, caller and scope would
    cost each request more than looking at them.
    """
    services = await services_of(request)
    api_key = request.headers.get(API_KEY_HEADER)
    if not api_key:
        raise errors.KeyMissing("Send your key in the header X-API-KEY.")
    origin = Origin(caller_address(), request.headers.get("user-agent"))
    try:
        actor = await actor_of(request.app.state.key_cache, api_key, origin)
    except (errors.Unauthorized, errors.AddressNotAllowed):
        services.rate_limits.count_bad_key(caller_address())
        raise
    add_actor(
        request.scope, user_id=str(actor.user_id), team_id=str(actor.team_id), credential_id=str(actor.credential_id)
    )
    request.state.rate_limit = services.rate_limits.count_request(actor.key_prefix)
    return actor


def caller_address() -> str:
    """The address that the present request comes from, as far as our own proxies vouch for it."""
    context = current_request.get()
    return context.address if context and context.address else "unknown"


class RequireScope:
    """The caller, if its key has every one of these scopes; the default key has none."""

    def __init__(self, *scopes: Scope) -> None:
        self.scopes = scopes

    async def __call__(self, request: Request) -> Actor:
        actor = await authenticate(request)
        if actor.is_default_key:
            raise errors.DefaultKeyMustBeRotated(
                "The default key can only rotate itself: POST /api/v1/user/{user_id}/credentials/rotate."
            )
        missing = [scope for scope in self.scopes if scope not in actor.scopes]
        if missing:
            raise errors.ScopeMissing(f"The key lacks: {', '.join(missing)}.", missing_scopes=missing)
        return actor
