"""`/console/settings`: the settings of a team, and for admins the form that changes them."""

from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope, require_admin
from image_api.auth import RequireScope
from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.team.chooser import choose_team
from image_api.console.policy import HOME
from image_api.console.team_first import ask_for_team, lacks_team
from image_api.credentials.service import is_admin
from image_api.dependencies import ServicesDep, TeamQuery, TransactionDep
from image_api.services import Services
from image_api.teams import schemas, service
from image_core.analyses.catalogue import CATALOGUE
from image_core.db import Record
from image_core.states import LabelSource, Visibility
from image_core.storage.sizes import format_size, parse_size

SETTINGS = f"{HOME}/settings"
router = APIRouter(prefix=SETTINGS, include_in_schema=False, route_class=PageRoute)
Reader = Annotated[Actor, Depends(RequireScope())]
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]
_CHANGE = same_as("PATCH /api/v1/teams/{team_id}")
_TEXTS = ("name", "label_source", "default_visibility", "quota_bytes", "quota_images")
_LABEL_SOURCES = {
    LabelSource.OWN: "this deployment: images do not leave it",
    LabelSource.VISION: "Cloud Vision: the images are sent there",
}
_VISIBILITIES = {
    Visibility.PRIVATE: "private: only signed addresses and share links show them",
    Visibility.PUBLIC: "public: everybody can load them in open presets, without a signature",
}


class Step(NamedTuple):
    """A page that changes a team, with the team as it was before."""

    request: Request
    team: Record
    contents: dict[str, int]
    team_id: UUID | None

    def page(self, template: str, refusal: Refusal | None, **values: Any) -> Response:
        """Return the page, with what was refused."""
        shown = {"team": self.team, "contents": self.contents, "refusal": refusal, **values}
        return render(self.request, template, shown, team_id=self.team_id)

    def form(self, form: Form, refusal: Refusal | None) -> Response:
        """Return the form with the team's settings, or with what was sent beside those of a conflicting change."""
        now = _texts_of(self.team)
        sent = {name: form.get(name) for name in _TEXTS} if form.fields else now
        chosen = form.all("analyze_on_arrival") if form.fields else self.team["analyze_on_arrival"]
        keeps = form.get("keep_location") == "true" if form.fields else self.team["keep_location"]
        services: Services = self.request.app.state.services
        sources = [
            (source, text)
            for source, text in _LABEL_SOURCES.items()
            if source in (LabelSource.OWN, self.team["label_source"]) or services.settings.vision_enabled
        ]
        return self.page(
            "settings_change.html", refusal, now=now, sent=sent, chosen=chosen, keeps=keeps, catalogue=CATALOGUE,
            label_sources=sources, visibilities=list(_VISIBILITIES.items()), default=_default_quota(services),
        )  # fmt: skip


async def find_step(request: Request, actor: Admin, services: ServicesDep, team_id: TeamQuery = None) -> Step:
    """Return what the page shows.

    Raises:
        errors.RoleMissing, errors.TeamNotFound, errors.TeamRequired.
    """
    require_admin(actor)
    if lacks_team(actor, team_id):
        show_again_if_refused(request, lambda _refusal: ask_for_team(request, "Settings"))
    owner_id = await service.owning_team(services.database, actor, team_id)
    team = await service.get_team(services.database, actor, owner_id)
    return Step(request, team, await service.count_contents(services.database, actor, owner_id), team_id)


StepDep = Annotated[Step, Depends(find_step)]
"""Declared after the form, which is compared with the session first."""


def _texts_of(team: Record) -> dict[str, str]:
    """Return what the fields show of a team's settings; a size as people write it, where that is exact."""
    texts = {name: "" if team[name] is None else str(team[name]) for name in _TEXTS}
    if team["quota_bytes"] is not None and parse_size(size := format_size(team["quota_bytes"])) == team["quota_bytes"]:
        texts["quota_bytes"] = size
    return texts


def _default_quota(services: Services) -> dict[str, str]:
    size_bytes, images = services.settings.default_quota
    return {
        "bytes": "unlimited" if size_bytes is None else format_size(size_bytes),
        "images": "unlimited" if images is None else f"{images:,}",
    }


@router.get("", openapi_extra=same_as("GET /api/v1/teams/{team_id}", "GET /api/v1/teams"))
async def show(
    request: Request, actor: Reader, services: ServicesDep, team_id: TeamQuery = None,
    done: Annotated[Literal["changed"] | None, Query()] = None,
) -> Response:  # fmt: skip
    """Show the settings of a team, and what they mean."""
    if lacks_team(actor, team_id):
        return await choose_team(request, actor, "Settings")
    owner_id = await service.owning_team(services.database, actor, team_id)
    values = {
        "team": await service.get_team(services.database, actor, owner_id), "done": done, "catalogue": CATALOGUE,
        "label_sources": _LABEL_SOURCES, "visibilities": _VISIBILITIES, "may_change": is_admin(actor),
        "default": _default_quota(services), "format_size": format_size,
    }  # fmt: skip
    return render(request, "settings.html", values, team_id=team_id)


@router.get("/change", openapi_extra=_CHANGE)
async def show_change(step: StepDep) -> Response:
    """Show the form that changes the settings."""
    return step.form(Form(()), None)


@router.post("/change", openapi_extra=_CHANGE)
async def change(
    request: Request, actor: Admin, form: FormDep, step: StepDep, services: ServicesDep, transaction: TransactionDep
) -> Response:
    """Change the settings, unless somebody has changed them since the form was shown."""
    show_again_if_refused(request, lambda refusal: step.form(form, refusal))
    team_id: UUID = step.team["id"]
    sent = form.parse(
        schemas.TeamPatch, "name", "label_source", "default_visibility",
        keep_location=form.get("keep_location") == "true", analyze_on_arrival=form.all("analyze_on_arrival"),
        quota_bytes=_size_of(form.get("quota_bytes").strip()), quota_images=form.whole_number("quota_images"),
    ).model_dump()  # fmt: skip
    values = {name: value for name, value in sent.items() if value != step.team[name]}
    await service.change_team(transaction, actor, team_id, values, services.settings, form.seen_version())
    transaction.on_commit.append(lambda: services.team_delivery.forget(team_id))
    return go_to(SETTINGS, step.team_id, done="changed")


def _size_of(text: str) -> int | str | None:
    """Return a size in bytes; a text that is none is refused by the schema."""
    return (text or None) if (size_bytes := parse_size(text)) is None else size_bytes
