"""`/console/delivery-keys`: the keys that sign delivery addresses: create, replace, retire."""

from typing import Annotated, Literal, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.console.forms import Form, FormDep, read_form
from image_api.console.frame import Refusal, SecretPage, go_to, render, show_again_if_refused, show_secret
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.team.chooser import choose_team, name_of_team
from image_api.console.policy import HOME
from image_api.console.team_first import lacks_team
from image_api.delivery_keys import schemas, service
from image_api.dependencies import CursorQuery, DeliveryMasterDep, ServicesDep, TeamQuery, TransactionDep
from image_api.http.pagination import DEFAULT_LIMIT, next_cursor
from image_api.idempotency.route import CreationDep
from image_core.db import Record

DELIVERY_KEYS = f"{HOME}/delivery-keys"
router = APIRouter(prefix=DELIVERY_KEYS, include_in_schema=False, route_class=PageRoute)
Keeper = Annotated[Actor, Depends(RequireScope(Scope.DELIVERY_KEYS))]
_FORM = [Depends(read_form)]
_CREATE = same_as("POST /api/v1/delivery-keys")
_ROTATE = same_as("POST /api/v1/delivery-keys/{delivery_key_id}/rotate")
_RETIRE = same_as("POST /api/v1/delivery-keys/{delivery_key_id}/retire")


@router.get("", openapi_extra=same_as("GET /api/v1/delivery-keys", "GET /api/v1/teams"))
async def show(
    request: Request, actor: Keeper, services: ServicesDep, team_id: TeamQuery = None, cursor: CursorQuery = None,
    done: Annotated[Literal["retired"] | None, Query()] = None,
) -> Response:  # fmt: skip
    """List the keys of a team, newest first."""
    if lacks_team(actor, team_id):
        return await choose_team(request, actor, "Delivery keys")
    rows = await service.list_keys(services.database, actor, team_id, cursor, DEFAULT_LIMIT + 1)
    values = {
        "keys": rows[:DEFAULT_LIMIT], "next_cursor": next_cursor(rows, DEFAULT_LIMIT), "is_first": cursor is None,
        "team_name": await name_of_team(services, actor, team_id), "done": done, "most": service.MAX_LIVE_KEYS,
    }  # fmt: skip
    return render(request, "delivery_keys.html", values, team_id=team_id)


@router.get("/new", openapi_extra=_CREATE)
async def show_new(request: Request, actor: Keeper, team_id: TeamQuery = None) -> Response:
    """Show the form for a new key."""
    if lacks_team(actor, team_id):
        return await choose_team(request, actor, "New delivery key")
    return _new_page(request, team_id, Form(()), None)


def _new_page(request: Request, team_id: UUID | None, form: Form, refusal: Refusal | None) -> Response:
    values = {"name": form.get("name"), "refusal": refusal}
    return render(request, "delivery_key_new.html", values, team_id=team_id)


@router.post("", openapi_extra=_CREATE)
async def create(
    request: Request, actor: Keeper, form: FormDep, services: ServicesDep, master: DeliveryMasterDep,
    transaction: CreationDep, team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Create a key and show its bytes once."""
    show_again_if_refused(request, lambda refusal: _new_page(request, team_id, form, refusal))
    body = form.parse(schemas.NewDeliveryKey, name=form.get("name").strip() or None)
    created = await service.create_key(transaction, actor, team_id, body.name)
    transaction.on_commit.append(lambda: services.team_delivery.forget(created["team_id"]))
    return _bytes_page(request, master, created, team_id)


def _bytes_page(request: Request, master: bytes, created: Record, team_id: UUID | None) -> SecretPage:
    return show_secret(
        request, f"Delivery key k{created['number']}", service.show_bytes(master, created), back=DELIVERY_KEYS,
        team_id=team_id, label="Bytes in base64url",
        lead="For a back end that signs addresses itself. The API signs with this key in 10 seconds.",
    )  # fmt: skip


class Step(NamedTuple):
    """The page before one key is replaced or retired."""

    request: Request
    key: Record
    team_id: UUID | None

    def page(self, template: str, refusal: Refusal | None) -> Response:
        """Return the page, with what was refused."""
        values = {"key": self.key, "refusal": refusal}
        return render(self.request, template, values, team_id=self.team_id)


async def _step(
    request: Request, delivery_key_id: UUID, actor: Keeper, services: ServicesDep, team_id: TeamQuery = None
) -> Step:
    return Step(request, await service.get_key(services.database, actor, delivery_key_id), team_id)


StepDep = Annotated[Step, Depends(_step)]
"""Declared after the form, which is compared with the session first."""


@router.get("/{delivery_key_id}/rotate", openapi_extra=_ROTATE)
async def show_rotation(step: StepDep) -> Response:
    """Say what replacing a key does."""
    return step.page("delivery_key_rotate.html", None)


@router.post("/{delivery_key_id}/rotate", dependencies=_FORM, openapi_extra=_ROTATE)
async def rotate(
    delivery_key_id: UUID, request: Request, actor: Keeper, services: ServicesDep, master: DeliveryMasterDep,
    transaction: CreationDep, step: StepDep,
) -> Response:  # fmt: skip
    """Replace a key and show the bytes of the new one once."""
    show_again_if_refused(request, lambda refusal: step.page("delivery_key_rotate.html", refusal))
    created = await service.rotate_key(transaction, actor, delivery_key_id)
    transaction.on_commit.append(lambda: services.team_delivery.forget(created["team_id"]))
    return _bytes_page(request, master, created, step.team_id)


@router.get("/{delivery_key_id}/retire", openapi_extra=_RETIRE)
async def show_retirement(step: StepDep) -> Response:
    """Say what stops working when a key is retired."""
    return step.page("delivery_key_retire.html", None)


@router.post("/{delivery_key_id}/retire", dependencies=_FORM, openapi_extra=_RETIRE)
async def retire(
    delivery_key_id: UUID, request: Request, actor: Keeper, step: StepDep, transaction: TransactionDep
) -> Response:
    """Retire a key."""
    show_again_if_refused(request, lambda refusal: step.page("delivery_key_retire.html", refusal))
    await service.retire_key(transaction, actor, delivery_key_id)
    return go_to(DELIVERY_KEYS, step.team_id, done="retired")
