"""From the `X-API-KEY` header to an `Actor`, and the scopes that a route asks of it."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from image_api.actor import Actor, Scope
from image_api.dependencies import services_of
from image_api.key_cache import actor_of
from image_api.observability import add_actor
from image_api.services import Services
from image_core import errors
from image_core.telemetry import current_request

api_key_header = APIKeyHeader(name="X-API-KEY", auto_error=False, description="`im_<public id>_<secret>`")


async def authenticate(request: Request, api_key: Annotated[str | None, Security(api_key_header)]) -> Actor:
    """Who is calling, counted against the key's rate limit."""
    services = services_of(request)
    if not api_key:
        raise errors.KeyMissing("Send your key in the header X-API-KEY.")
    try:
        actor = await actor_of(request.app.state.key_cache, api_key)
    except errors.Unauthorized:
        _count_bad_key(services)
        raise
    add_actor(
        request.scope, user_id=str(actor.user_id), team_id=str(actor.team_id), credential_id=str(actor.credential_id)
    )
    request.state.rate_limit = services.rate_limits.count_request(actor.key_prefix)
    return actor


def _count_bad_key(services: Services) -> None:
    context = current_request.get()
    address = context.address if context and context.address else "unknown"
    services.rate_limits.check_bad_keys(address)
    services.rate_limits.count_bad_key(address)


class RequireScope:
    """The caller, if its key has every one of these scopes; the default key has none."""

    def __init__(self, *scopes: Scope) -> None:
        self.scopes = scopes

    async def __call__(self, actor: Annotated[Actor, Depends(authenticate)]) -> Actor:
        if actor.is_default_key:
            raise errors.DefaultKeyMustBeRotated(
                "The default key can only rotate itself: POST /api/v1/user/{user_id}/credentials/rotate."
            )
        missing = [scope for scope in self.scopes if scope not in actor.scopes]
        if missing:
            raise errors.ScopeMissing(f"The key lacks: {', '.join(missing)}.", missing_scopes=missing)
        return actor
