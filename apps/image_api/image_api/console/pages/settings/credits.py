"""`/console/usage/refill` and `…/schedule`: for admins, the forms that change a team's credits and their refill."""

from typing import Annotated, Any, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import require_admin
from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.settings.team import Admin
from image_api.console.policy import HOME
from image_api.console.team_first import ask_for_team, lacks_team
from image_api.credits import schemas, service
from image_api.dependencies import ServicesDep, TeamQuery, TransactionDep
from image_api.idempotency.route import CreationDep
from image_core.billing.credits import EntryKind

USAGE = f"{HOME}/usage"
router = APIRouter(prefix=USAGE, include_in_schema=False, route_class=PageRoute)
_REFILL = same_as("POST /api/v1/teams/{team_id}/credits/refill")
_SCHEDULE = same_as("PATCH /api/v1/teams/{team_id}/credits")
_CHANGES = (EntryKind.ADD, EntryKind.SUBTRACT, EntryKind.SET)


class Step(NamedTuple):
    """A page that changes a team's credits, with the account as it was before."""

    request: Request
    account: dict[str, Any]
    team_id: UUID | None

    def refill(self, form: Form, refusal: Refusal | None) -> Response:
        """Return the form that changes the balance, with what was sent and refused."""
        sent = {name: form.get(name) for name in ("kind", "amount", "reason")}
        return self._page("refill.html", sent, refusal)

    def schedule(self, form: Form, refusal: Refusal | None) -> Response:
        """Return the form of the schedule, with what was sent and refused."""
        schedule = self.account["schedule"] or {"amount": "", "mode": "set", "period": ""}
        low = self.account["low_threshold"]
        now = {name: str(schedule[name]) for name in ("amount", "mode", "period")}
        now["low_threshold"] = "" if low is None else str(low)
        return self._page(
            "refill_schedule.html", {name: form.get(name) for name in now} if form.fields else now, refusal
        )

    def _page(self, template: str, sent: dict[str, str], refusal: Refusal | None) -> Response:
        values = {"account": self.account, "sent": sent, "refusal": refusal}
        return render(self.request, template, values, team_id=self.team_id)


async def _step(request: Request, actor: Admin, services: ServicesDep, team_id: TeamQuery = None) -> Step:
    """Return what the page shows.

    Raises:
        errors.RoleMissing, errors.TeamNotFound, errors.TeamRequired.
    """
    require_admin(actor)
    if lacks_team(actor, team_id):
        show_again_if_refused(request, lambda _refusal: ask_for_team(request, "Credits"))
    return Step(request, await service.get_credits(services.database, actor, team_id), team_id)


StepDep = Annotated[Step, Depends(_step)]
"""Declared after the form, which is compared with the session first."""


@router.get("/refill", openapi_extra=_REFILL)
async def show_refill(step: StepDep) -> Response:
    """Show the form that changes a team's balance."""
    return step.refill(Form(()), None)


@router.post("/refill", openapi_extra=_REFILL)
async def refill(request: Request, actor: Admin, form: FormDep, step: StepDep, transaction: CreationDep) -> Response:
    """Add to a team's balance, subtract from it, or set it."""
    show_again_if_refused(request, lambda refusal: step.refill(form, refusal))
    kind = form.get("kind")
    amount = {kind: form.whole_number("amount")} if kind in _CHANGES else {}
    body = form.parse(schemas.Refill, reason=form.get("reason").strip() or None, **amount)
    await service.refill(transaction, actor, step.account["team_id"], *body.change, body.reason)
    return go_to(USAGE, step.team_id, done="refilled")


@router.get("/schedule", openapi_extra=_SCHEDULE)
async def show_schedule(step: StepDep) -> Response:
    """Show the form of a team's scheduled refill."""
    return step.schedule(Form(()), None)


@router.post("/schedule", openapi_extra=_SCHEDULE)
async def schedule(
    request: Request, actor: Admin, form: FormDep, step: StepDep, transaction: TransactionDep
) -> Response:
    """Change a team's scheduled refill, and the balance below which it is low."""
    show_again_if_refused(request, lambda refusal: step.schedule(form, refusal))
    wanted = {"amount": form.whole_number("amount"), "mode": form.get("mode"), "period": form.get("period")}
    body = form.parse(
        schemas.CreditsPatch, low_threshold=form.whole_number("low_threshold"),
        schedule=wanted if form.get("period") else None,
    )  # fmt: skip
    await service.change_credits(transaction, actor, step.account["team_id"], body.model_dump())
    return go_to(USAGE, step.team_id, done="scheduled")
