"""`/console/links/{link_id}`: a share link: change it, replace its address, end it."""

from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused, show_secret
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.catalogue.links import LINKS, Manager, address_of, collection_name, link_path, preset_names
from image_api.dependencies import ServicesDep, TeamQuery, TransactionDep
from image_api.idempotency.route import CreationDep
from image_api.links import schemas, service
from image_api.links.columns import columns_of_patch
from image_api.links.service import ShownLink
from image_core.db import Record

router = APIRouter(prefix=LINKS, include_in_schema=False, route_class=PageRoute)
_READ = same_as("GET /api/v1/links/{link_id}")
_CHANGE = same_as("PATCH /api/v1/links/{link_id}")
_ROTATE = same_as("POST /api/v1/links/{link_id}/rotate")
_END = same_as("DELETE /api/v1/links/{link_id}")


class Step(NamedTuple):
    """A page about a link, with the link as it was before a change."""

    request: Request
    link: ShownLink
    collection_name: str | None
    presets: list[str]
    team_id: UUID | None

    @property
    def path(self) -> str:
        """The path of the link's page."""
        return link_path(self.link.row["id"])

    def page(self, template: str, form: Form, refusal: Refusal | None, **more: Any) -> Response:
        """Return the page, with what was sent and refused."""
        row = self.link.row
        now = {"title": row["title"] or "", "download": row["download"], "expires_at": _day(row)}
        values = {
            "share": row, "count": self.link.image_count, "collection_name": self.collection_name,
            "path_of": self.path, "refusal": refusal, "now": now,
            "presets": list(dict.fromkeys([*self.presets, *row["presets"]])),
            "chosen": form.all("presets") if form.fields else row["presets"],
            "sent": {name: form.get(name) for name in now} if form.fields else now,
            "unprotected": form.get("unprotected") == "true", "sends_password": form.get("password") != "", **more,
        }  # fmt: skip
        return render(self.request, template, values, team_id=self.team_id)


def _day(row: Record) -> str:
    """Return the day on which a link ends, in UTC, as a field shows it; empty for never."""
    return "" if row["expires_at"] is None else f"{row['expires_at']:%Y-%m-%d}"


async def _step(
    request: Request, link_id: UUID, actor: Manager, services: ServicesDep, team_id: TeamQuery = None
) -> Step:
    """Return what the page shows.

    Raises:
        errors.ShareLinkNotFound: There is none, or it is another team's.
    """
    link = await service.get_link(services.database, actor, link_id)
    name = await collection_name(services, actor, link.row["collection_id"])
    return Step(request, link, name, await preset_names(services, actor, link.row["team_id"]), team_id)


StepDep = Annotated[Step, Depends(_step)]
"""Declared after the form, which is compared with the session first."""


@router.get("/{link_id}", openapi_extra=_READ)
async def show(step: StepDep, done: Annotated[Literal["changed"] | None, Query()] = None) -> Response:
    """Show a share link, without its address."""
    return step.page("link.html", Form(()), None, done=done)


@router.get("/{link_id}/change", openapi_extra=_CHANGE)
async def show_change(step: StepDep) -> Response:
    """Show the form that changes a link."""
    return step.page("link_change.html", Form(()), None)


async def _patch(request: Request, form: FormDep, step: StepDep, services: ServicesDep) -> dict[str, Any]:
    """Return the columns to change; a password is hashed before the transaction begins."""
    show_again_if_refused(request, lambda refusal: step.page("link_change.html", form, refusal))
    asked: dict[str, object] = {"title": form.get("title") or None}
    # The field shows the day alone: as long as it stays, so does the time of the day.
    if form.get("expires_at") != _day(step.link.row):
        asked["expires_at"] = form.get("expires_at") or None
    if form.get("unprotected") == "true":
        asked["password"] = None
    elif form.get("password"):
        asked["password"] = form.get("password")
    if set(form.all("presets")) != set(step.link.row["presets"]):
        asked["presets"] = form.all("presets")
    return await columns_of_patch(services, form.parse(schemas.ShareLinkPatch, "download", **asked))


@router.post("/{link_id}/change", openapi_extra=_CHANGE)
async def change(
    link_id: UUID, actor: Manager, form: FormDep, step: StepDep, patch: Annotated[dict[str, Any], Depends(_patch)],
    transaction: TransactionDep,
) -> Response:  # fmt: skip
    """Change an open link, unless somebody has changed it since the form was shown."""
    await service.change_link(transaction, actor, link_id, patch, form.seen_version())
    return go_to(step.path, step.team_id, done="changed")


@router.get("/{link_id}/rotate", openapi_extra=_ROTATE)
async def show_rotation(step: StepDep) -> Response:
    """Say what a new address does."""
    return step.page("link_rotate.html", Form(()), None)


@router.post("/{link_id}/rotate", openapi_extra=_ROTATE)
async def rotate(
    link_id: UUID, request: Request, actor: Manager, form: FormDep, step: StepDep, services: ServicesDep,
    transaction: CreationDep,
) -> Response:  # fmt: skip
    """Replace the address of an open link, and show the new one once."""
    show_again_if_refused(request, lambda refusal: step.page("link_rotate.html", form, refusal))
    new = await service.rotate_link(transaction, actor, link_id)
    return show_secret(
        request, "The new address", address_of(services, new), back=step.path, team_id=step.team_id, label="Address",
        lead="The old address, and those of its pictures, end within 5 seconds.",
    )  # fmt: skip


@router.get("/{link_id}/end", openapi_extra=_END)
async def show_end(step: StepDep) -> Response:
    """Say what the end of a link does."""
    return step.page("link_end.html", Form(()), None)


@router.post("/{link_id}/end", openapi_extra=_END)
async def end(
    link_id: UUID, request: Request, actor: Manager, form: FormDep, step: StepDep, transaction: TransactionDep
) -> Response:
    """Delete a share link, open or not."""
    show_again_if_refused(request, lambda refusal: step.page("link_end.html", form, refusal))
    await service.remove_link(transaction, actor, link_id, form.seen_version())
    return go_to(LINKS, step.team_id, done="ended")
