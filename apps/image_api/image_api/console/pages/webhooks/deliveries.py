"""`/console/webhook-deliveries`: what was sent to a webhook, attempt by attempt; tests, and sending again."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.console.forms import Form, FormDep, read_form
from image_api.console.frame import go_to, render, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.webhooks.webhook import StepDep
from image_api.console.pages.webhooks.webhooks import shown_webhook
from image_api.console.policy import HOME
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.idempotency.route import CreationDep
from image_api.webhooks import deliveries, schemas, service
from image_api.webhooks.dependencies import Counted, Manager

router = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
_DELIVERIES = f"{HOME}/webhook-deliveries"
_SENT = [Depends(read_form), Counted]
_REPLAY = same_as("POST /api/v1/webhooks/{webhook_id}/replay")


@router.get(
    "/webhook-deliveries/{delivery_id}",
    openapi_extra=same_as("GET /api/v1/webhook-deliveries/{delivery_id}", "GET /api/v1/webhooks/{webhook_id}"),
)
async def show(
    request: Request, delivery_id: UUID, actor: Manager, services: ServicesDep, team_id: TeamQuery = None
) -> Response:
    """Show a delivery with its attempts."""
    row = await deliveries.get_delivery(services.database, actor, delivery_id)
    hook = await service.get_webhook(services.database, actor, row["webhook_id"])
    values = {
        "delivery": row, "hook": shown_webhook(hook),
        "attempts": await deliveries.list_attempts(services.database, row),
    }  # fmt: skip
    return render(request, "webhook_delivery.html", values, team_id=team_id)


@router.post(
    "/webhook-deliveries/{delivery_id}/replay", dependencies=_SENT,
    openapi_extra=same_as("POST /api/v1/webhook-deliveries/{delivery_id}/replay"),
)  # fmt: skip
async def replay_one(
    delivery_id: UUID, actor: Manager, transaction: CreationDep, team_id: TeamQuery = None
) -> Response:
    """Send the event of a delivery again, and show the new delivery."""
    row = await deliveries.replay_delivery(transaction, actor, delivery_id)
    return go_to(f"{_DELIVERIES}/{row['id']}", team_id)


@router.post(
    "/webhooks/{webhook_id}/test", dependencies=_SENT,
    openapi_extra=same_as("POST /api/v1/webhooks/{webhook_id}/test"),
)  # fmt: skip
async def send_test(webhook_id: UUID, actor: Manager, transaction: CreationDep, team_id: TeamQuery = None) -> Response:
    """Send a test, and show its delivery."""
    row = await deliveries.send_test(transaction, actor, webhook_id)
    return go_to(f"{_DELIVERIES}/{row['id']}", team_id)


@router.get("/webhooks/{webhook_id}/replay", openapi_extra=_REPLAY)
async def show_replay(step: StepDep, since: Annotated[str, Query(max_length=40)] = "") -> Response:
    """Show the form that sends events of a period again."""
    return step.page("webhook_replay.html", Form((("since", since),)), None)


@router.post("/webhooks/{webhook_id}/replay", dependencies=[Counted], openapi_extra=_REPLAY)
async def replay(
    webhook_id: UUID, request: Request, actor: Manager, form: FormDep, step: StepDep, transaction: CreationDep
) -> Response:
    """Send events of a period again, and say how many."""
    show_again_if_refused(request, lambda refusal: step.page("webhook_replay.html", form, refusal))
    body = form.parse(
        schemas.Replay, since=form.text("since"), until=form.text("until") or None,
        only_failed=form.get("only_failed") == "true",
    )  # fmt: skip
    replayed = await deliveries.replay_events(transaction, actor, webhook_id, body.model_dump())
    rest = {} if replayed.next_since is None else {"next_since": replayed.next_since.isoformat()}
    return go_to(step.path, step.team_id, done="replayed", count=str(replayed.event_count), **rest)
