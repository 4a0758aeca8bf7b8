"""`/console/images/batch`: one action for many images: what it needs, what it would do, and what it did."""

from typing import Annotated, Any
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireAnyOf
from image_api.batches import large
from image_api.batches.schemas import BatchAction
from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.images import batch_forms
from image_api.console.pages.images.sheets import IMAGES, list_address
from image_api.console.pages.team.operations import operation_path
from image_api.console.team_first import ask_for_team, lacks_team
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.idempotency.route import ClaimDep
from image_api.saved_searches.filters import parse_named
from image_api.services import Services

BATCH = f"{IMAGES}/batch"
MOST_TICKED = 200
"""A page of the list has no more images."""
router = APIRouter(prefix=BATCH, include_in_schema=False, route_class=PageRoute)
# The service knows the scope of each action.
Changer = Annotated[
    Actor,
    Depends(RequireAnyOf(Scope.IMAGES_WRITE, Scope.IMAGES_DELETE, Scope.ANALYSES_RUN, Scope.DELIVERY_MANAGE)),
]
_BATCH = same_as("POST /api/v1/images/batch")


class _Step:
    """A form that was sent, with what its action needs; its pages carry on what the form has."""

    def __init__(
        self, request: Request, team_id: UUID | None, asked: batch_forms.Asked, fields: batch_forms.Fields
    ) -> None:
        self._request, self.team_id, self.asked, self.fields = request, team_id, asked, fields

    def page(self, template: str, **values: Any) -> Response:
        """Return a page about the action."""
        needed = batch_forms.needed_fields(self.asked.action, self.fields)
        shown = {
            "asked": self.asked, "fields": self.fields, "words": batch_forms.WORDS[self.asked.action],
            "image_ids": batch_forms.joined(self.asked.image_ids),
            "list": list_of(self.asked.form), "sent": {name: self.asked.form.get(name) for name in needed}, **values,
        }  # fmt: skip
        return render(self._request, template, shown, team_id=self.team_id)

    def ask(self, refusal: Refusal | None = None) -> Response:
        """Return the form for what the action needs."""
        return self.page(
            "batch_fields.html", refusal=refusal, visibilities=batch_forms.VISIBILITIES,
            most_collections=batch_forms.MOST_COLLECTIONS,
        )  # fmt: skip


def list_of(form: Form) -> str:
    """Return the address of the list from which the images were chosen."""
    return list_address(parse_qsl(form.get("query")))


async def _find_step(request: Request, services: Services, actor: Actor, form: Form, team_id: UUID | None) -> _Step:
    asked = batch_forms.read_asked(form)
    step = _Step(request, team_id, asked, await batch_forms.find_fields(services, actor, asked, team_id))
    if batch_forms.needed_fields(asked.action, step.fields):
        show_again_if_refused(request, step.ask)
    return step


async def _check(services: Services, actor: Actor, step: _Step) -> Response:
    """Return the form of the action, or once that is filled in what it would do."""
    if not batch_forms.is_filled_in(step.asked, step.fields):
        return step.ask()
    batch = batch_forms.read_batch(step.asked, step.fields, validate_only=True)
    if batch.filter is not None:
        filters = parse_named(batch.filter)
        found = await large.estimate(services, actor, batch, filters, step.team_id)
        return step.page("batch_large.html", found=found, batch=batch, refusal=None)
    done = await batch_forms.run(services, actor, batch, step.fields)
    return step.page("batch_check.html", done=done, batch=batch, retention_days=services.settings.trash_retention_days)


@router.get("", openapi_extra=_BATCH)
async def show(
    request: Request, actor: Changer, services: ServicesDep,
    image_id: Annotated[list[UUID], Query(max_length=MOST_TICKED, default_factory=list)],
    action: BatchAction | None = None, query: str = "", all: bool = False, team_id: TeamQuery = None,  # noqa: A002
) -> Response:  # fmt: skip
    """Begin with the images that are ticked in the list, or with all that match."""
    if action is None:
        return go_to(IMAGES, team_id)
    which = ("all", "1") if all else ("image_ids", batch_forms.joined(image_id))
    form = Form((("action", action), which, ("query", query)))
    if all and lacks_team(actor, team_id):
        return ask_for_team(request, "Images")
    if not image_id and not all:
        return render(request, "batch_of_none.html", {"list": list_of(form)}, team_id=team_id)
    return await _check(services, actor, await _find_step(request, services, actor, form, team_id))


@router.post("", openapi_extra=_BATCH)
async def check(
    request: Request, actor: Changer, services: ServicesDep, form: FormDep, _: ClaimDep, team_id: TeamQuery = None
) -> Response:
    """Show what the batch would do, and change nothing."""
    return await _check(services, actor, await _find_step(request, services, actor, form, team_id))


@router.post("/run", openapi_extra=_BATCH)
async def run(
    request: Request, actor: Changer, services: ServicesDep, form: FormDep, _: ClaimDep, team_id: TeamQuery = None
) -> Response:
    """Do the batch, and show what became of each image. Sent twice, the second one changes nothing more.

    An operation begins instead if all images that match are meant, and its page follows. Otherwise this answers with a
    page: no address could hold the images for the form that undoes it.
    """
    step = await _find_step(request, services, actor, form, team_id)
    batch = batch_forms.read_batch(step.asked, step.fields, validate_only=False)
    if batch.filter is not None:
        filters = parse_named(batch.filter)
        operation_id = await large.begin_operation(services, actor, batch, filters, team_id)
        return go_to(operation_path(operation_id), team_id)
    done = await batch_forms.run(services, actor, batch, step.fields)
    return step.page("batch_done.html", done=done, batch=batch, undo=batch_forms.undoing(batch, done))
