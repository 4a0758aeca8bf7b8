"""HTTP of webhooks and their deliveries."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from image_api.dependencies import CursorQuery, IfMatch, LimitQuery, ServicesDep, TeamQuery, TransactionDep
from image_api.http.entity_tags import entity_tag
from image_api.http.pagination import DEFAULT_LIMIT, page_of
from image_api.http.paths import API_PREFIX
from image_api.idempotency.route import CreationDep, IdempotentRoute
from image_api.webhooks import deliveries, schemas, service
from image_api.webhooks.dependencies import Counted, Manager, MastersDep, StatusQuery
from image_api.webhooks.service import NewSecret
from image_core.db import Record

router = APIRouter(prefix="/webhooks", tags=["webhooks"], route_class=IdempotentRoute)
delivery_router = APIRouter(prefix="/webhook-deliveries", tags=["webhooks"], route_class=IdempotentRoute)
_NO_TEAM: dict[int | str, dict[str, Any]] = {404: {"description": "The team does not exist, or you may not see it."}}
_CHANGED: dict[int | str, dict[str, Any]] = {
    412: {"description": "The ETag in `If-Match` is not the current one."},
}
_SENT: dict[int | str, dict[str, Any]] = {
    409: {"description": "The webhook is disabled, or its team is being removed."},
    429: {"description": "Too many tests and replays: the limit is 10 a minute."},
}
_MASTER: dict[int | str, dict[str, Any]] = {
    503: {"description": "The master secret cannot be read. Wait for `Retry-After`."},
}


def _shown(row: Record) -> dict[str, Any]:
    values = service.shown(row)
    return {**values, "previous_secret_expires_at": values["previous_secret_until"]}


def _whole(row: Record, response: Response) -> dict[str, Any]:
    response.headers["ETag"] = entity_tag(row["revision"])
    return _shown(row)


def _with_secret(new: NewSecret, response: Response) -> dict[str, Any]:
    response.headers["Cache-Control"] = "no-store"
    return {**_whole(new.row, response), "secret": new.secret}


def _delivery(row: Record) -> dict[str, Any]:
    return {**dict(row), "next_attempt_at": row["due_at"] if row["ended_at"] is None else None}


@router.post(
    "",
    status_code=201,
    response_model=schemas.SecretWebhook,
    responses={
        404: {"description": "The team does not exist, or this deployment sends no webhooks."},
        409: {"description": f"The team already has {service.MOST_WEBHOOKS} webhooks, or it is being removed."},
        **_MASTER,
    },
)
async def create_webhook(
    body: schemas.NewWebhook,
    actor: Manager,
    services: ServicesDep,
    masters: MastersDep,
    transaction: CreationDep,
    response: Response,
    team_id: TeamQuery = None,
) -> Any:
    """Create a webhook: a URL to which events of the team are sent from now on, signed with its own secret.

    The secret is shown only in this response.
    """
    values = body.model_dump()
    created = await service.create_webhook(transaction, actor, team_id, values, services.settings, masters)
    response.headers["Location"] = f"{API_PREFIX}/webhooks/{created.row['id']}"
    return _with_secret(created, response)


@router.get("", response_model=schemas.WebhookPage, responses=_NO_TEAM)
async def list_webhooks(
    actor: Manager,
    services: ServicesDep,
    team_id: TeamQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
    cursor: CursorQuery = None,
) -> Any:
    """List the webhooks of a team, newest first."""
    rows = await service.list_webhooks(services.database, actor, team_id, cursor, limit + 1)
    return page_of(rows, limit, _shown)


@router.get("/{webhook_id}", response_model=schemas.Webhook)
async def get_webhook(webhook_id: UUID, actor: Manager, services: ServicesDep, response: Response) -> Any:
    """Get a webhook, without its secret. Attempts do not change its ETag."""
    return _whole(await service.get_webhook(services.database, actor, webhook_id), response)


@router.patch("/{webhook_id}", response_model=schemas.Webhook, responses=_CHANGED)
async def change_webhook(
    webhook_id: UUID,
    body: schemas.WebhookPatch,
    actor: Manager,
    services: ServicesDep,
    transaction: TransactionDep,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Change, disable or enable a webhook (JSON merge patch, RFC 7396). Its secret stays."""
    patch = body.model_dump(exclude_unset=True)
    row = await service.change_webhook(transaction, actor, webhook_id, patch, services.settings, if_match)
    return _whole(row, response)


@router.delete("/{webhook_id}", status_code=204, responses=_CHANGED)
async def remove_webhook(
    webhook_id: UUID, actor: Manager, transaction: TransactionDep, if_match: IfMatch = None
) -> None:
    """Delete a webhook, with the list of what was sent to it. What is due is not sent."""
    await service.remove_webhook(transaction, actor, webhook_id, if_match)


@router.post(
    "/{webhook_id}/rotate-secret",
    response_model=schemas.SecretWebhook,
    responses={
        409: {"description": "The secret before the current one still signs, and `force` is not set."},
        **_MASTER,
    },
)
async def rotate_webhook_secret(
    webhook_id: UUID,
    actor: Manager,
    masters: MastersDep,
    transaction: CreationDep,
    response: Response,
    body: schemas.SecretRotation | None = None,
) -> Any:
    """Replace the secret of a webhook. For the grace period, both secrets sign, in one header.

    The new secret is shown only in this response.
    """
    wanted = body or schemas.SecretRotation()
    rotated = await service.rotate_secret(
        transaction, actor, webhook_id, masters, wanted.grace_period_seconds, force=wanted.force
    )
    return _with_secret(rotated, response)


@router.post(
    "/{webhook_id}/test",
    status_code=202,
    response_model=schemas.WebhookDelivery,
    responses=_SENT,
    dependencies=[Counted],
)
async def send_webhook_test(webhook_id: UUID, actor: Manager, transaction: CreationDep) -> Any:
    """Send an event of the type `webhook.test` to this webhook alone. The delivery shows what came of it."""
    return _delivery(await deliveries.send_test(transaction, actor, webhook_id))


@router.post(
    "/{webhook_id}/replay",
    status_code=202,
    response_model=schemas.ReplayResult,
    responses={
        **_SENT,
        409: {
            "description": "The webhook is disabled, its team is being removed, or another replay is being prepared."
        },
    },
    dependencies=[Counted],
)
async def replay_webhook_events(
    webhook_id: UUID, body: schemas.Replay, actor: Manager, transaction: CreationDep
) -> Any:
    """Send events of a period again, under the same `webhook-id`, each with a schedule of its own.

    At most 10,000 events a call, the oldest first; `next_since` says where to go on.
    """
    replayed = await deliveries.replay_events(transaction, actor, webhook_id, body.model_dump())
    return {"count": replayed.event_count, "next_since": replayed.next_since}


@router.get("/{webhook_id}/deliveries", response_model=schemas.WebhookDeliveryPage)
async def list_webhook_deliveries(
    webhook_id: UUID,
    actor: Manager,
    services: ServicesDep,
    status: StatusQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
    cursor: CursorQuery = None,
) -> Any:
    """List what was sent to a webhook in the last 30 days, newest first."""
    rows = await deliveries.list_deliveries(services.database, actor, webhook_id, status, cursor, limit + 1)
    return page_of(rows, limit, _delivery)


@delivery_router.get("/{delivery_id}", response_model=schemas.WebhookDeliveryDetail)
async def get_webhook_delivery(delivery_id: UUID, actor: Manager, services: ServicesDep) -> Any:
    """Get a delivery with its attempts: time, status, duration, and the beginning of each answer."""
    row = await deliveries.get_delivery(services.database, actor, delivery_id)
    attempts = await deliveries.list_attempts(services.database, row)
    return {**_delivery(row), "attempts": [dict(attempt) for attempt in attempts]}


@delivery_router.post(
    "/{delivery_id}/replay",
    status_code=202,
    response_model=schemas.WebhookDelivery,
    responses=_SENT,
    dependencies=[Counted],
)
async def replay_webhook_delivery(delivery_id: UUID, actor: Manager, transaction: CreationDep) -> Any:
    """Send the event of a delivery again, under the same `webhook-id`, as a new delivery."""
    return _delivery(await deliveries.replay_delivery(transaction, actor, delivery_id))
