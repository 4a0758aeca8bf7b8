"""`/console/presets`: a team's presets, the forms that create, change and remove one, and one of them tried."""

from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.catalogue.links import Manager
from image_api.console.pages.images.page import Reader
from image_api.console.policy import HOME
from image_api.console.team_first import ask_for_team, lacks_team
from image_api.delivery_addresses.service import recipe_of
from image_api.dependencies import ServicesDep, TeamQuery, TransactionDep
from image_api.http.entity_tags import entity_tag
from image_api.presets import schemas, service
from image_api.presets.service import Shown
from image_core import errors
from image_core.delivery.spec import FITS, FORMATS, Recipe
from image_core.images.presets import BUILT_IN, Preset

PRESETS = f"{HOME}/presets"
router = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
Name = Annotated[str, Path(max_length=64)]
_PUT = same_as("PUT /api/v1/presets/{name}")
_REMOVE = same_as("DELETE /api/v1/presets/{name}")
_TEXTS = ("name", "width", "height", "fit", "gravity", "quality", "background")
_SWITCHES = ("animated", "copyright", "open", "eager")
_NEW = Form((("quality", "80"), ("gravity", "ce"), ("fit", "inside"), ("formats", "webp"), ("animated", "true")))


@router.get("/presets", openapi_extra=same_as("GET /api/v1/presets"))
async def show(
    request: Request, actor: Reader, services: ServicesDep, team_id: TeamQuery = None,
    done: Annotated[Literal["changed", "removed"] | None, Query()] = None,
    public_images: Annotated[int | None, Query(ge=0)] = None,
) -> Response:  # fmt: skip
    """List the presets: the built-in ones, and then the team's own by name."""
    if lacks_team(actor, team_id):
        return ask_for_team(request, "Presets")
    found = await service.list_presets(services.database, actor, team_id)
    values = {"presets": found, "built_in": BUILT_IN, "done": done, "public_images": public_images}
    return render(request, "presets.html", values, team_id=team_id)


@router.get("/new-preset", openapi_extra=_PUT)
async def show_new(request: Request, actor: Manager, team_id: TeamQuery = None) -> Response:
    """Show the form for a new preset."""
    if lacks_team(actor, team_id):
        return ask_for_team(request, "Presets")
    return _form_page(request, team_id, _NEW, None, None)


def _form_page(
    request: Request, team_id: UUID | None, form: Form, shown: Shown | None, refusal: Refusal | None
) -> Response:
    values = {
        "sent": {name: form.get(name) for name in _TEXTS}, "on": {name: form.get(name) == "true" for name in _SWITCHES},
        "chosen": form.all("formats"), "formats": FORMATS, "fits": FITS, "shown": shown, "refusal": refusal,
    }  # fmt: skip
    return render(request, "preset_form.html", values, team_id=team_id)


def _form_of(preset: Preset, recipe: Recipe) -> Form:
    """Return the form that describes a preset with this recipe."""
    values: dict[str, Any] = {
        "name": preset.name, "width": recipe.width_px, "height": recipe.height_px, "fit": recipe.fit,
        "gravity": recipe.gravity, "quality": recipe.quality, "background": recipe.background,
    }  # fmt: skip
    switches = {
        "animated": recipe.animated, "copyright": recipe.metadata == "copyright", "open": preset.is_open,
        "eager": preset.is_eager,
    }  # fmt: skip
    fields = [(name, str(value)) for name, value in values.items() if value is not None]
    fields += [("formats", each) for each in preset.formats]
    return Form((*fields, *((name, "true") for name, is_on in switches.items() if is_on)))


def _read(form: Form) -> dict[str, Any]:
    """Return the columns that a form describes.

    Raises:
        errors.RequestInvalid: A field is wrong.
    """
    numbers = {name: form.whole_number(name) for name in ("width", "height", "quality") if form.get(name)}
    texts = {name: form.get(name) for name in ("gravity", "background") if form.get(name)}
    return form.parse(
        schemas.NewPreset, "fit", formats=form.all("formats"), animated=form.get("animated") == "true",
        metadata="copyright" if form.get("copyright") == "true" else "none", open=form.get("open") == "true",
        eager=form.get("eager") == "true", **numbers, **texts,
    ).model_dump()  # fmt: skip


@router.post("/presets", openapi_extra=_PUT)
async def create(
    request: Request, actor: Manager, form: FormDep, services: ServicesDep, transaction: TransactionDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Create a preset; one that exists is not replaced."""
    show_again_if_refused(request, lambda refusal: _form_page(request, team_id, form, None, refusal))
    name = form.get("name").strip()
    known = {each.preset.name for each in await service.list_presets(transaction, actor, team_id)}
    if name in known:
        message = "There is such a preset already. Open it to change it."
        raise errors.invalid_fields([{"field": "name", "code": "preset-exists", "message": message}])
    values, most = _read(form), services.settings.presets_per_team
    changed = await service.put_preset(transaction, actor, team_id, name, values, most, entity_tag(0))
    transaction.on_commit.append(lambda: services.team_delivery.forget(changed.team_id))
    return _done(changed, team_id)


def _done(changed: service.Changed, team_id: UUID | None) -> Response:
    count = {} if changed.public_images is None else {"public_images": str(changed.public_images)}
    return go_to(PRESETS, team_id, done="changed", **count)


class Step(NamedTuple):
    """A preset that is to be changed, as it was before."""

    request: Request
    shown: Shown
    team_id: UUID | None

    def change(self, form: Form, refusal: Refusal | None) -> Response:
        """Return the form, with what was sent and refused."""
        return _form_page(self.request, self.team_id, form, self.shown, refusal)

    def removal(self, refusal: Refusal | None) -> Response:
        """Return the page before a removal."""
        values = {"shown": self.shown, "refusal": refusal}
        return render(self.request, "preset_remove.html", values, team_id=self.team_id)


async def _step(request: Request, name: Name, actor: Manager, services: ServicesDep, team_id: TeamQuery = None) -> Step:
    """Return the preset.

    Raises:
        errors.TeamNotFound, errors.TeamRequired, errors.PresetNotFound.
    """
    if lacks_team(actor, team_id):
        # A name alone does not say which team's preset is meant.
        show_again_if_refused(request, lambda _refusal: ask_for_team(request, "Presets"))
    return Step(request, await service.get_preset(services.database, actor, team_id, name), team_id)


StepDep = Annotated[Step, Depends(_step)]
"""Declared after the form, which is compared with the session first."""


@router.get("/presets/{name}/change", openapi_extra=_PUT)
async def show_change(step: StepDep, spec: Annotated[str | None, Query(max_length=255)] = None) -> Response:
    """Show the form that changes a preset, filled in with the preset as it is or with transforms that were tried."""
    preset = step.shown.preset
    return step.change(_form_of(preset, preset.recipe if spec is None else recipe_of(spec)), None)


@router.post("/presets/{name}/change", openapi_extra=_PUT)
async def change(
    name: Name, request: Request, actor: Manager, form: FormDep, step: StepDep, services: ServicesDep,
    transaction: TransactionDep, team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Replace a preset, unless somebody has changed it since the form was shown."""
    show_again_if_refused(request, lambda refusal: step.change(form, refusal))
    values, most = _read(form), services.settings.presets_per_team
    changed = await service.put_preset(transaction, actor, team_id, name, values, most, form.seen_version())
    transaction.on_commit.append(lambda: services.team_delivery.forget(changed.team_id))
    return _done(changed, team_id)


@router.get("/presets/{name}/remove", openapi_extra=_REMOVE)
async def show_removal(step: StepDep) -> Response:
    """Say what the removal of a preset does."""
    return step.removal(None)


@router.post("/presets/{name}/remove", openapi_extra=_REMOVE)
async def remove(
    name: Name, request: Request, actor: Manager, form: FormDep, step: StepDep, services: ServicesDep,
    transaction: TransactionDep, team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Remove a preset of the team."""
    show_again_if_refused(request, step.removal)
    owner_id = await service.remove_preset(transaction, actor, team_id, name, form.seen_version())
    transaction.on_commit.append(lambda: services.team_delivery.forget(owner_id))
    return go_to(PRESETS, team_id, done="removed")
