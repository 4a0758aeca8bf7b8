"""`/console/webhooks/{webhook_id}`: one webhook with its deliveries: change, disable, rotate its secret, delete it."""

from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.console.forms import Form, FormDep, read_form
from image_api.console.frame import Refusal, go_to, moment, render, show_again_if_refused, show_secret
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.webhooks.webhooks import (
    WEBHOOKS,
    chosen_types,
    known_types,
    shown_webhook,
    webhook_path,
)
from image_api.dependencies import CursorQuery, ServicesDep, TeamQuery, TransactionDep
from image_api.http.pagination import DEFAULT_LIMIT, next_cursor
from image_api.http.timestamps import UtcTime
from image_api.idempotency.route import CreationDep
from image_api.webhooks import deliveries, schemas, service
from image_api.webhooks.dependencies import Manager, MastersDep, StatusQuery
from image_core.db import Record
from image_core.states import WebhookDeliveryStatus

router = APIRouter(prefix=f"{WEBHOOKS}/{{webhook_id}}", include_in_schema=False, route_class=PageRoute)
_FORM = [Depends(read_form)]
_CHANGE = same_as("PATCH /api/v1/webhooks/{webhook_id}")
_ROTATE = same_as("POST /api/v1/webhooks/{webhook_id}/rotate-secret")
_DELETE = same_as("DELETE /api/v1/webhooks/{webhook_id}")
Done = Literal["changed", "disabled", "enabled", "replayed"]


class Step(NamedTuple):
    """A page about one webhook, with the webhook as it was before."""

    request: Request
    actor: Actor
    row: Record
    team_id: UUID | None

    @property
    def path(self) -> str:
        """The path of the webhook's page."""
        return webhook_path(self.row["id"])

    def texts(self) -> dict[str, str]:
        """Return what the fields show of the webhook."""
        return {"url": self.row["url"], "description": self.row["description"] or ""}

    def page(self, template: str, form: Form, refusal: Refusal | None, **more: Any) -> Response:
        """Return the page, with what was sent and refused."""
        values = {"hook": shown_webhook(self.row), "refusal": refusal, "form": form, **more}
        return render(self.request, template, values, team_id=self.team_id)

    def change(self, form: Form, refusal: Refusal | None) -> Response:
        """Return the form that changes the webhook, with what was sent beside what somebody else has stored."""
        now = self.texts()
        types = form.all("types") if form.fields else self.row["types"] or []
        return self.page(
            "webhook_change.html", form, refusal, now=now, types=types,
            sent={name: form.get(name) for name in now} if form.fields else now,
            all_types=form.get("all_types") == "true" if form.fields else self.row["types"] is None,
            known_types=known_types(self.actor, types), may_see_keys=Scope.KEYS_SELF in self.actor.scopes,
        )  # fmt: skip


async def _step(
    request: Request, webhook_id: UUID, actor: Manager, services: ServicesDep, team_id: TeamQuery = None
) -> Step:
    return Step(request, actor, await service.get_webhook(services.database, actor, webhook_id), team_id)


StepDep = Annotated[Step, Depends(_step)]
"""Declared after the form, which is compared with the session first."""


class Outcome(NamedTuple):
    """What a form has done, as the address says it."""

    done: Done | None = None
    event_count: int = 0
    next_since: datetime | None = None


async def _outcome(
    done: Annotated[Done | None, Query()] = None,
    count: Annotated[int, Query(ge=0, le=deliveries.MOST_REPLAYED)] = 0,
    next_since: Annotated[UtcTime | None, Query()] = None,
) -> Outcome:
    return Outcome(done, count, next_since)


class Listed(NamedTuple):
    """The page of a webhook, with what was sent to it."""

    step: Step
    rows: list[Record]
    status: WebhookDeliveryStatus | None
    is_first: bool

    def page(self, outcome: Outcome, refusal: Refusal | None = None) -> Response:
        """Return the page, with what a form has done or why it was refused."""
        return self.step.page(
            "webhook.html", Form(()), refusal, outcome=outcome, deliveries=self.rows[:DEFAULT_LIMIT],
            status=self.status, next_cursor=next_cursor(self.rows, DEFAULT_LIMIT), is_first=self.is_first,
        )  # fmt: skip


async def _listed(
    actor: Manager, services: ServicesDep, step: StepDep, status: StatusQuery = None, cursor: CursorQuery = None
) -> Listed:
    rows = await deliveries.list_deliveries(
        services.database, actor, step.row["id"], status, cursor, DEFAULT_LIMIT + 1
    )  # fmt: skip
    return Listed(step, rows, status, cursor is None)


ListedDep = Annotated[Listed, Depends(_listed)]


@router.get(
    "", openapi_extra=same_as("GET /api/v1/webhooks/{webhook_id}", "GET /api/v1/webhooks/{webhook_id}/deliveries")
)
async def show(listed: ListedDep, outcome: Annotated[Outcome, Depends(_outcome)]) -> Response:
    """Show a webhook and what was sent to it, newest first."""
    return listed.page(outcome)


@router.get("/change", openapi_extra=_CHANGE)
async def show_change(step: StepDep) -> Response:
    """Show the form that changes a webhook."""
    return step.change(Form(()), None)


@router.post("/change", openapi_extra=_CHANGE)
async def change(
    webhook_id: UUID, request: Request, actor: Manager, form: FormDep, services: ServicesDep, step: StepDep,
    transaction: TransactionDep,
) -> Response:  # fmt: skip
    """Change a webhook, unless somebody has changed it since the form was shown."""
    show_again_if_refused(request, lambda refusal: step.change(form, refusal))
    patch = form.parse(schemas.WebhookPatch, **_changed(form, step)).model_dump(exclude_unset=True)
    await service.change_webhook(transaction, actor, webhook_id, patch, services.settings, form.seen_version())
    return go_to(step.path, step.team_id, done="changed")


def _changed(form: Form, step: Step) -> dict[str, object]:
    """Return the fields that differ from the webhook. Types that stay keep the rights of whoever chose them.

    Raises:
        errors.RequestInvalid: No type is chosen.
    """
    shown, types = step.texts(), chosen_types(form)
    patch: dict[str, object] = {
        name: form.text(name) or (None if name == "description" else "")
        for name in shown
        if form.text(name) != shown[name]
    }
    before = step.row["types"]
    is_same = types == before if types is None or before is None else set(types) == set(before)
    return patch if is_same else patch | {"types": types}


@router.get("/disable", openapi_extra=_CHANGE)
async def show_disabling(step: StepDep) -> Response:
    """Say what disabling a webhook does."""
    return step.page("webhook_disable.html", Form(()), None)


@router.post("/disable", dependencies=_FORM, openapi_extra=_CHANGE)
async def disable(
    webhook_id: UUID, actor: Manager, services: ServicesDep, step: StepDep, transaction: TransactionDep
) -> Response:
    """Disable a webhook."""
    await service.change_webhook(transaction, actor, webhook_id, {"disabled": True}, services.settings)
    return go_to(step.path, step.team_id, done="disabled")


@router.post("/enable", dependencies=_FORM, openapi_extra=_CHANGE)
async def enable(
    webhook_id: UUID, actor: Manager, services: ServicesDep, step: StepDep, transaction: TransactionDep
) -> Response:
    """Enable a webhook, which is told of what happens from now on."""
    await service.change_webhook(transaction, actor, webhook_id, {"disabled": False}, services.settings)
    return go_to(step.path, step.team_id, done="enabled")


@router.get("/rotate", openapi_extra=_ROTATE)
async def show_rotation(step: StepDep) -> Response:
    """Say what a new secret does, and offer the time for which the old one signs as well."""
    return step.page("webhook_rotate.html", Form(()), None)


@router.post("/rotate", openapi_extra=_ROTATE)
async def rotate(
    webhook_id: UUID, request: Request, actor: Manager, form: FormDep, masters: MastersDep, step: StepDep,
    transaction: CreationDep,
) -> Response:  # fmt: skip
    """Replace the secret of a webhook and show the new one once."""
    show_again_if_refused(request, lambda refusal: step.page("webhook_rotate.html", form, refusal))
    body = form.parse(
        schemas.SecretRotation, grace_period_seconds=form.whole_number("grace_period_seconds"),
        force=form.get("force") == "true",
    )  # fmt: skip
    rotated = await service.rotate_secret(
        transaction, actor, webhook_id, masters, body.grace_period_seconds, force=body.force
    )
    until = rotated.row["previous_secret_until"]
    return show_secret(
        request, "The new secret", rotated.secret, back=step.path, team_id=step.team_id, label="Signing secret",
        lead="It signs at once. "
        + (f"The old one signs as well until {moment(until)}." if until else "The old one signs no more."),
    )  # fmt: skip


@router.get("/delete", openapi_extra=_DELETE)
async def show_deletion(step: StepDep) -> Response:
    """Say what ends when a webhook is deleted."""
    return step.page("webhook_delete.html", Form(()), None)


@router.post("/delete", dependencies=_FORM, openapi_extra=_DELETE)
async def delete(webhook_id: UUID, actor: Manager, step: StepDep, transaction: TransactionDep) -> Response:
    """Delete a webhook with its deliveries."""
    await service.remove_webhook(transaction, actor, webhook_id)
    return go_to(WEBHOOKS, step.team_id, done="deleted")
