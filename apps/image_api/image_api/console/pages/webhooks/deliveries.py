"""`/console/webhook-deliveries`: what was sent to a webhook, attempt by attempt; tests, and sending again."""

from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.console.forms import Form, FormDep, read_form
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.webhooks.webhook import ListedDep, Outcome, Step, StepDep
from image_api.console.pages.webhooks.webhooks import shown_webhook
from image_api.console.policy import HOME
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.idempotency.route import CreationDep
from image_api.webhooks import deliveries, schemas, service
from image_api.webhooks.dependencies import Counted, Manager
from image_core.db import Record
from image_core.feed.event_types import is_about_keys

router = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
_DELIVERIES = f"{HOME}/webhook-deliveries"
_REPLAY = same_as("POST /api/v1/webhooks/{webhook_id}/replay")


class Shown(NamedTuple):
    """The page of a delivery."""

    request: Request
    row: Record
    hook: Record
    attempts: list[Record]
    team_id: UUID | None

    def page(self, refusal: Refusal | None = None) -> Response:
        """Return the page, with why a form was refused."""
        values = {
            "delivery": self.row, "hook": shown_webhook(self.hook), "attempts": self.attempts, "refusal": refusal,
        }  # fmt: skip
        return render(self.request, "webhook_delivery.html", values, team_id=self.team_id)


async def _shown(
    request: Request, delivery_id: UUID, actor: Manager, services: ServicesDep, team_id: TeamQuery = None
) -> Shown:
    row = await deliveries.get_delivery(services.database, actor, delivery_id)
    hook = await service.get_webhook(services.database, actor, row["webhook_id"])
    return Shown(request, row, hook, await deliveries.list_attempts(services.database, row), team_id)


ShownDep = Annotated[Shown, Depends(_shown)]


# A limit refuses before the route begins, so the page that then says so is named before it is counted.


async def _stay_at_delivery(request: Request, shown: ShownDep) -> None:
    show_again_if_refused(request, shown.page)


async def _stay_at_webhook(request: Request, listed: ListedDep) -> None:
    show_again_if_refused(request, lambda refusal: listed.page(Outcome(), refusal))


async def _stay_at_form(request: Request, form: FormDep, step: StepDep) -> None:
    show_again_if_refused(request, lambda refusal: _replay_page(step, form, refusal))


def _replay_page(step: Step, form: Form, refusal: Refusal | None) -> Response:
    chosen = form.all("types")
    if (types := step.row["types"]) is None:
        types = [kind for kind in schemas.SentType if step.row["with_credentials"] or not is_about_keys(kind)]
    return step.page("webhook_replay.html", form, refusal, types=chosen, known_types=types)


@router.get(
    "/webhook-deliveries/{delivery_id}",
    openapi_extra=same_as("GET /api/v1/webhook-deliveries/{delivery_id}", "GET /api/v1/webhooks/{webhook_id}"),
)
async def show(shown: ShownDep) -> Response:
    """Show a delivery with its attempts."""
    return shown.page()


@router.post(
    "/webhook-deliveries/{delivery_id}/replay",
    dependencies=[Depends(read_form), Depends(_stay_at_delivery), Counted],
    openapi_extra=same_as("POST /api/v1/webhook-deliveries/{delivery_id}/replay"),
)  # fmt: skip
async def replay_one(
    delivery_id: UUID, actor: Manager, transaction: CreationDep, team_id: TeamQuery = None
) -> Response:
    """Send the event of a delivery again, and show the new delivery."""
    row = await deliveries.replay_delivery(transaction, actor, delivery_id)
    return go_to(f"{_DELIVERIES}/{row['id']}", team_id)


@router.post(
    "/webhooks/{webhook_id}/test", dependencies=[Depends(read_form), Depends(_stay_at_webhook), Counted],
    openapi_extra=same_as("POST /api/v1/webhooks/{webhook_id}/test"),
)  # fmt: skip
async def send_test(webhook_id: UUID, actor: Manager, transaction: CreationDep, team_id: TeamQuery = None) -> Response:
    """Send a test, and show its delivery."""
    row = await deliveries.send_test(transaction, actor, webhook_id)
    return go_to(f"{_DELIVERIES}/{row['id']}", team_id)


@router.get("/webhooks/{webhook_id}/replay", openapi_extra=_REPLAY)
async def show_replay(step: StepDep, since: Annotated[str, Query(max_length=40)] = "") -> Response:
    """Show the form that sends events of a period again."""
    return _replay_page(step, Form((("since", since),)), None)


@router.post(
    "/webhooks/{webhook_id}/replay", dependencies=[Depends(read_form), Depends(_stay_at_form), Counted],
    openapi_extra=_REPLAY,
)  # fmt: skip
async def replay(webhook_id: UUID, actor: Manager, form: FormDep, step: StepDep, transaction: CreationDep) -> Response:
    """Send events of a period again, and say how many."""
    body = form.parse(
        schemas.Replay, since=form.text("since"), until=form.text("until") or None, types=form.all("types") or None,
        only_failed=form.get("only_failed") == "true",
    )  # fmt: skip
    replayed = await deliveries.replay_events(transaction, actor, webhook_id, body.model_dump())
    rest = {} if replayed.next_since is None else {"next_since": replayed.next_since.isoformat()}
    return go_to(step.path, step.team_id, done="replayed", count=str(replayed.event_count), **rest)
