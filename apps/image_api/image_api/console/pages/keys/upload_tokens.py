"""`/console/upload-tokens`: the form for a token with which a page of somebody else's uploads to a team."""

from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, render, show_again_if_refused, show_secret
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.metadata_form import MetadataForm
from image_api.console.policy import HOME
from image_api.console.team_first import ask_for_team, lacks_team
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.idempotency.route import CreationDep
from image_api.metadata_schemas import service as metadata_schemas
from image_api.services import Services
from image_api.teams import service as teams
from image_api.upload_tokens import schemas, service
from image_core.storage.sizes import format_size, parse_size

UPLOAD_TOKENS = f"{HOME}/upload-tokens"
router = APIRouter(prefix=UPLOAD_TOKENS, include_in_schema=False, route_class=PageRoute)
Writer = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE))]
_CREATE = same_as("POST /api/v1/upload-tokens")
_PURPOSE = "that the images will belong to"
_NEW = Form((("expires_in", "900"), ("max_uploads", "1")))
_LIVES = [("300", "5 minutes"), ("900", "15 minutes"), ("3600", "one hour")]
_TEXTS = ("expires_in", "max_uploads", "max_bytes", "tags")


class _Page(NamedTuple):
    """The form for a token of one team; `named_id` is the team that an admin has chosen."""

    request: Request
    team_id: UUID
    named_id: UUID | None
    metadata: MetadataForm

    def show(self, form: Form, refusal: Refusal | None) -> Response:
        """Return the page, with what was sent and refused."""
        services: Services = self.request.app.state.services
        names = (*_TEXTS, *self.metadata.names)
        values = {
            "sent": {name: form.get(name) for name in names}, "metadata": self.metadata, "refusal": refusal,
            "lives": _LIVES, "most_uploads": schemas.MOST_UPLOADS,
            "most_bytes": format_size(services.settings.direct_upload_max_bytes),
        }  # fmt: skip
        return render(self.request, "upload_token_new.html", values, team_id=self.named_id)


async def _find_page(request: Request, actor: Writer, services: ServicesDep, team_id: TeamQuery = None) -> _Page:
    """Return the form of a team.

    Raises:
        errors.TeamNotFound, errors.TeamRequired, errors.TeamBeingRemoved.
    """
    if lacks_team(actor, team_id):
        show_again_if_refused(request, lambda _refusal: ask_for_team(request, "Upload tokens", _PURPOSE))
    owner_id = await teams.receiving_team(services.database, actor, team_id)
    declared = await metadata_schemas.declared_fields(services.database, owner_id)
    return _Page(request, owner_id, team_id, MetadataForm(declared, {}))


PageDep = Annotated[_Page, Depends(_find_page)]
"""Declared after the form, which is compared with the session first."""


@router.get("", openapi_extra=_CREATE)
async def show(page: PageDep) -> Response:
    """Show the form for a new token."""
    return page.show(_NEW, None)


@router.post("", openapi_extra=_CREATE)
async def create(
    request: Request, actor: Writer, form: FormDep, page: PageDep, services: ServicesDep, transaction: CreationDep
) -> Response:
    """Create a token and show it once."""
    show_again_if_refused(request, lambda refusal: page.show(form, refusal))
    sent = {name: form.text(name) for name in (*_TEXTS, *page.metadata.names)}
    size_bytes = parse_size(sent["max_bytes"])
    body = form.parse(
        schemas.NewUploadToken, expires_in=form.whole_number("expires_in"),
        max_uploads=form.whole_number("max_uploads"),
        max_bytes=(sent["max_bytes"] or None) if size_bytes is None else size_bytes,
        tags=[tag for tag in sent["tags"].split("\n") if tag.strip()], metadata=page.metadata.patch(sent),
    )  # fmt: skip
    limit_bytes = services.settings.direct_upload_max_bytes
    created = await service.create_token(transaction, actor, page.team_id, body, limit_bytes)
    uploads = "1 file" if body.max_uploads == 1 else f"{body.max_uploads} files"
    size = format_size(created.max_bytes)
    return show_secret(
        request, "The new upload token", created.text, back=UPLOAD_TOKENS, team_id=page.named_id,
        label="Upload token", ends_at=created.expires_at,
        lead=f"A page sends it in the header X-Upload-Token, to upload {uploads} of at most {size}.",
    )  # fmt: skip
