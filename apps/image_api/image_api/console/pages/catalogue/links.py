"""`/console/links`: a team's share links, and the form for a new one, whose address is shown once."""

from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.collections import service as collections
from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused, show_secret
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.images.sheets import IMAGES_A_PAGE
from image_api.console.policy import HOME
from image_api.console.team_first import ask_for_team, lacks_team
from image_api.dependencies import CursorQuery, ServicesDep, TeamQuery
from image_api.http.pagination import DEFAULT_LIMIT, next_cursor
from image_api.idempotency.route import CreationDep, compare_by_keyed_hash
from image_api.links import schemas, service, tokens
from image_api.links.columns import columns_of_new, comparison_key
from image_api.presets import service as presets
from image_api.services import Services

LINKS = f"{HOME}/links"
router = APIRouter(prefix=LINKS, include_in_schema=False, route_class=PageRoute)
Manager = Annotated[Actor, Depends(RequireScope(Scope.DELIVERY_MANAGE))]
_CREATE = same_as("POST /api/v1/links")
_FIELDS = ("title", "expires_at", "download")


def link_path(link_id: UUID) -> str:
    """Return the path of the page of a share link."""
    return f"{LINKS}/{link_id}"


def address_of(services: Services, new: service.NewAddress) -> str:
    """Return the address that visitors open."""
    return services.settings.base_url + tokens.path_of(new.token)


async def collection_name(services: Services, actor: Actor, collection_id: UUID | None) -> str | None:
    """Return the name of a collection, if the caller may read it.

    Raises:
        errors.CollectionNotFound: There is none, or it is another team's.
    """
    if collection_id is None or Scope.IMAGES_READ not in actor.scopes:
        return None
    return str((await collections.get_collection(services.database, actor, collection_id))["name"])


async def preset_names(services: Services, actor: Actor, team_id: UUID | None) -> list[str]:
    """Return the names of a team's presets; those of a new link if the caller may not read them.

    Raises:
        errors.TeamNotFound, errors.TeamRequired.
    """
    if Scope.IMAGES_READ not in actor.scopes:
        return list(schemas.DEFAULT_PRESETS)
    return [each.preset.name for each in await presets.list_presets(services.database, actor, team_id)]


@router.get("", openapi_extra=same_as("GET /api/v1/links"))
async def show(
    request: Request, actor: Manager, services: ServicesDep, team_id: TeamQuery = None, cursor: CursorQuery = None,
    done: Annotated[Literal["ended"] | None, Query()] = None,
) -> Response:  # fmt: skip
    """List the share links, newest first."""
    if lacks_team(actor, team_id):
        return ask_for_team(request, "Share links")
    rows = await service.list_links(services.database, actor, team_id, cursor, DEFAULT_LIMIT + 1)
    values = {
        "links": rows[:DEFAULT_LIMIT], "next_cursor": next_cursor(rows, DEFAULT_LIMIT), "is_first": cursor is None,
        "done": done,
    }  # fmt: skip
    return render(request, "links.html", values, team_id=team_id)


class _Source(NamedTuple):
    """What a new link shows: the images, or those of a collection, whose name is null if it may not be read."""

    image_ids: list[str]
    collection_id: str
    name: str | None
    team_id: UUID | None
    presets: list[str]

    def page(self, request: Request, form: Form, refusal: Refusal | None) -> Response:
        """Return the form, with what was sent and refused."""
        values = {
            "source": self, "refusal": refusal, "sent": {name: form.get(name) for name in _FIELDS},
            "presets": self.presets, "chosen": form.all("presets") if form.fields else schemas.DEFAULT_PRESETS,
            "back": LINKS if not self.collection_id else f"{HOME}/collections/{self.collection_id}",
        }  # fmt: skip
        return render(request, "link_new.html", values, team_id=self.team_id)


@router.get("/new", openapi_extra=_CREATE)
async def show_new(
    request: Request, actor: Manager, services: ServicesDep,
    image_id: Annotated[list[UUID], Query(max_length=IMAGES_A_PAGE, default_factory=list)],
    collection_id: UUID | None = None, team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Show the form for a link to the named images, or else to the named collection."""
    if lacks_team(actor, team_id):
        return ask_for_team(request, "Share links")
    if not image_id and collection_id is None:
        return go_to(f"{HOME}/collections", team_id)
    shown_id = None if image_id else collection_id
    name = await collection_name(services, actor, shown_id)
    known = await preset_names(services, actor, team_id)
    source = _Source([str(each) for each in image_id], str(shown_id or ""), name, team_id, known)
    return source.page(request, Form(()), None)


class _New(NamedTuple):
    columns: dict[str, Any]
    body: schemas.NewShareLink


async def _new(
    request: Request, actor: Manager, form: FormDep, services: ServicesDep, team_id: TeamQuery = None
) -> _New:
    """Return the link to create; its password is hashed before the transaction begins."""
    known = await preset_names(services, actor, team_id)
    source = _Source(form.all("image_id"), form.get("collection_id"), None, team_id, known)
    show_again_if_refused(request, lambda refusal: source.page(request, form, refusal))
    compare_by_keyed_hash(request, await comparison_key(services))
    sent = {name: form.get(name) or None for name in ("title", "expires_at", "password", "collection_id")}
    body = form.parse(
        schemas.NewShareLink, "download", image_ids=source.image_ids or None, presets=form.all("presets"), **sent
    )
    return _New(await columns_of_new(services, body), body)


@router.post("", openapi_extra=_CREATE)
async def create(
    request: Request, actor: Manager, services: ServicesDep, new: Annotated[_New, Depends(_new)],
    transaction: CreationDep, team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Create a share link, and show its address once."""
    most = services.settings.share_links_per_team
    created = await service.create_link(transaction, actor, team_id, new.columns, new.body.image_ids or (), most)
    count = created.link.image_count
    images = {0: "the images as soon as there are any", 1: "1 image"}.get(count, f"{count} images")
    lead = f"Whoever has this address sees {images}."
    return show_secret(
        request, "The new share link", address_of(services, created), back=LINKS, team_id=team_id, label="Address",
        lead=f"{lead} The password is asked for first." if new.columns["password_hash"] else lead,
    )  # fmt: skip
