"""`/console/webhooks`: the webhooks of a team, and the form for a new one."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, render, show_again_if_refused, show_secret
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.team.chooser import choose_team, name_of_team
from image_api.console.policy import HOME
from image_api.console.team_first import lacks_team
from image_api.dependencies import CursorQuery, ServicesDep, TeamQuery
from image_api.http.pagination import DEFAULT_LIMIT, next_cursor
from image_api.idempotency.route import CreationDep
from image_api.webhooks import schemas, service
from image_api.webhooks.addresses import host_of
from image_api.webhooks.dependencies import Manager, MastersDep
from image_core import errors
from image_core.db import Record
from image_core.feed.event_types import is_about_keys

WEBHOOKS = f"{HOME}/webhooks"
router = APIRouter(prefix=WEBHOOKS, include_in_schema=False, route_class=PageRoute)
_CREATE = same_as("POST /api/v1/webhooks")


def webhook_path(webhook_id: UUID) -> str:
    """Return the path of the page of a webhook."""
    return f"{WEBHOOKS}/{webhook_id}"


def shown_webhook(row: Record) -> dict[str, Any]:
    """Return a webhook as pages show it; lists show its host in place of its URL, which may hold a secret."""
    return {**service.shown(row), "host": host_of(row["url"])}


def known_types(actor: Actor, chosen: list[str]) -> list[str]:
    """Return the types to choose from: those about keys only if the caller may see such events, or has chosen them."""
    may_see_keys = Scope.KEYS_SELF in actor.scopes
    return [kind for kind in schemas.SentType if may_see_keys or kind in chosen or not is_about_keys(kind)]


def chosen_types(form: Form) -> list[str] | None:
    """Return the types that a form chooses, None for all of them.

    Raises:
        errors.RequestInvalid: It chooses none.
    """
    if form.get("all_types") == "true":
        return None
    if types := form.all("types"):
        return types
    problem = {"field": "types", "code": "missing", "message": "Choose at least one type, or all of them."}
    raise errors.invalid_fields([problem])


@router.get("", openapi_extra=same_as("GET /api/v1/webhooks", "GET /api/v1/teams"))
async def show(
    request: Request, actor: Manager, services: ServicesDep, team_id: TeamQuery = None, cursor: CursorQuery = None,
    done: Annotated[Literal["deleted"] | None, Query()] = None,
) -> Response:  # fmt: skip
    """List the webhooks of a team, newest first."""
    if lacks_team(actor, team_id):
        return await choose_team(request, actor, "Webhooks")
    rows = await service.list_webhooks(services.database, actor, team_id, cursor, DEFAULT_LIMIT + 1)
    values = {
        "webhooks": [shown_webhook(row) for row in rows[:DEFAULT_LIMIT]],
        "next_cursor": next_cursor(rows, DEFAULT_LIMIT), "is_first": cursor is None, "done": done,
        "team_name": await name_of_team(services, actor, team_id), "most": service.MOST_WEBHOOKS,
    }  # fmt: skip
    return render(request, "webhooks.html", values, team_id=team_id)


@router.get("/new", openapi_extra=_CREATE)
async def show_new(request: Request, actor: Manager, team_id: TeamQuery = None) -> Response:
    """Show the form for a new webhook."""
    if lacks_team(actor, team_id):
        return await choose_team(request, actor, "New webhook")
    return _new_page(request, actor, team_id, Form((("all_types", "true"),)), None)


def _new_page(request: Request, actor: Actor, team_id: UUID | None, form: Form, refusal: Refusal | None) -> Response:
    chosen = form.all("types")
    values = {
        "sent": {name: form.get(name) for name in ("url", "description")}, "refusal": refusal,
        "all_types": form.get("all_types") == "true", "types": chosen, "known_types": known_types(actor, chosen),
        "disabled": form.get("disabled") == "true", "may_see_keys": Scope.KEYS_SELF in actor.scopes,
    }  # fmt: skip
    return render(request, "webhook_new.html", values, team_id=team_id)


@router.post("", openapi_extra=_CREATE)
async def create(
    request: Request, actor: Manager, form: FormDep, services: ServicesDep, masters: MastersDep,
    transaction: CreationDep, team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Create a webhook and show its secret once."""
    show_again_if_refused(request, lambda refusal: _new_page(request, actor, team_id, form, refusal))
    body = form.parse(
        schemas.NewWebhook, url=form.get("url"), description=form.text("description") or None,
        types=chosen_types(form), disabled=form.get("disabled") == "true",
    )  # fmt: skip
    created = await service.create_webhook(
        transaction, actor, team_id, body.model_dump(), services.settings, masters
    )  # fmt: skip
    return show_secret(
        request, "The new webhook's secret", created.secret, back=webhook_path(created.row["id"]), team_id=team_id,
        label="Signing secret", lead=f"What is sent to {host_of(created.row['url'])} is signed with it.",
    )  # fmt: skip
