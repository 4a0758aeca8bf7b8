"""Dependencies of routes and pages of webhooks: who may manage them, and what is counted."""

from typing import Annotated

from fastapi import Depends, Query

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import ServicesDep
from image_api.webhooks import signing
from image_core.keys.master_secrets import Masters
from image_core.states import WebhookDeliveryStatus

Manager = Annotated[Actor, Depends(RequireScope(Scope.WEBHOOKS_MANAGE))]
StatusQuery = Annotated[WebhookDeliveryStatus | None, Query(description="Only deliveries in this state.")]


async def _masters(services: ServicesDep) -> Masters:
    """Return the master secrets, before a transaction is opened."""
    return await signing.masters_of(services.webhook_master)


MastersDep = Annotated[Masters, Depends(_masters)]


async def count_call(actor: Manager, services: ServicesDep) -> None:
    """Count a test or a replay against the caller's limit."""
    await services.rate_limits.count_webhook_call(actor.caller_name)


Counted = Depends(count_call)
