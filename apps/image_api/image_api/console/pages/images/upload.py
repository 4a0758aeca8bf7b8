"""`/console/images/upload`: the form that uploads a file, and what became of it."""

from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.console.file_forms import FileForm, FileFormDep
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.images.page import upload_limits
from image_api.console.pages.images.sheets import IMAGES
from image_api.console.pages.metadata_form import MetadataForm
from image_api.console.team_first import ask_for_team, lacks_team
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.idempotency.route import StreamClaimDep
from image_api.metadata_schemas import service as metadata_schemas
from image_api.services import Services
from image_api.teams import service as teams
from image_api.uploads import repeated
from image_core import errors

UPLOAD = f"{IMAGES}/upload"
router = APIRouter(prefix=UPLOAD, include_in_schema=False, route_class=PageRoute)
Writer = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE))]
Uploader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE, uploads=True))]
_UPLOAD = same_as("POST /api/v1/images")
_PURPOSE = "that the images will belong to"


class _UploadPage(NamedTuple):
    """The form for files of one team; `named_id` is the team that an admin has chosen."""

    request: Request
    services: Services
    named_id: UUID | None
    team_id: UUID
    metadata: MetadataForm

    def show(
        self, tags: str = "", texts: dict[str, str] | None = None, refusal: Refusal | None = None, **done: Any
    ) -> Response:
        """Return the page with these texts in its fields."""
        settings = self.services.settings
        values = {
            "done": None, "image_id": None, "tags": tags, "texts": self.metadata.texts() | (texts or {}),
            "refusal": refusal, "metadata": self.metadata, "formats": settings.image_formats,
            "limits": upload_limits(self.services), "team_id": self.named_id,
        }  # fmt: skip
        return render(self.request, "upload.html", values | done, team_id=self.named_id)

    def show_again(self, form: FileForm) -> None:
        """Show what has arrived of a form if it is refused; no page can fill in a file."""
        sent = form.fields.values
        tags = ", ".join(map(str, sent.get("tags", ())))
        texts = dict(form.fields.metadata_texts)
        if sent.get("metadata"):
            texts["metadata"] = orjson.dumps(sent["metadata"]).decode()
        show_again_if_refused(self.request, lambda refusal: self.show(tags, texts, refusal))


async def _find_page(request: Request, services: Services, actor: Actor, team_id: UUID | None) -> _UploadPage:
    owner_id = await teams.receiving_team(services.database, actor, team_id)
    declared = await metadata_schemas.declared_fields(services.database, owner_id)
    return _UploadPage(request, services, team_id, owner_id, MetadataForm(declared, {}))


@router.get("", openapi_extra=_UPLOAD)
async def show(
    request: Request, actor: Writer, services: ServicesDep, team_id: TeamQuery = None,
    done: Annotated[Literal["stored", "known", "restored"] | None, Query()] = None,
    image_id: Annotated[UUID | None, Query()] = None,
) -> Response:  # fmt: skip
    """Show the form, after an upload with what became of the file."""
    if lacks_team(actor, team_id):
        return ask_for_team(request, "Upload", _PURPOSE)
    page = await _find_page(request, services, actor, team_id)
    return page.show(done=done, image_id=image_id)


async def _show_empty_form_again(
    request: Request, actor: Uploader, services: ServicesDep, team_id: TeamQuery = None
) -> _UploadPage | None:
    """Return the page to show if the form is refused, even before a field of it is read; None without a team."""
    if lacks_team(actor, team_id):
        show_again_if_refused(request, lambda _refusal: ask_for_team(request, "Upload", _PURPOSE))
        return None
    page = await _find_page(request, services, actor, team_id)
    show_again_if_refused(request, lambda refusal: page.show(refusal=refusal))
    return page


PageDep = Annotated[_UploadPage | None, Depends(_show_empty_form_again)]
"""Declared before the form."""


@router.post("", openapi_extra=_UPLOAD)
async def upload(
    request: Request, actor: Uploader, services: ServicesDep, page: PageDep, form: FileFormDep, claim: StreamClaimDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Store the file like the operation, and lead back to the form."""
    metrics = request.app.state.metrics
    # Without a team, this refuses the form.
    page = page or await _find_page(request, services, actor, team_id)
    form.read_metadata = page.metadata.read
    try:
        uploaded = await repeated.receive(services, actor, page.team_id, form, claim)
    except errors.AppError as error:
        page.show_again(form)
        metrics.uploads.labels(error.code).inc()
        raise
    metrics.count_upload(uploaded.image["size_bytes"], duplicate=uploaded.duplicate)
    done = "restored" if uploaded.restored else "known" if uploaded.duplicate else "stored"
    return go_to(UPLOAD, team_id, done=done, image_id=str(uploaded.image["id"]))
