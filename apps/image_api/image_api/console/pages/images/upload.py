"""`/console/images/upload`: the form that uploads a file, and what became of it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.console.file_forms import FileFormDep
from image_api.console.frame import go_to, render, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.images.page import IMAGES, upload_limits
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


@router.get("", openapi_extra=_UPLOAD)
async def show(
    request: Request, actor: Writer, services: ServicesDep, team_id: TeamQuery = None,
    done: Annotated[Literal["stored", "known", "restored"] | None, Query()] = None,
    image_id: Annotated[UUID | None, Query()] = None,
) -> Response:  # fmt: skip
    """Show the form, after an upload with what became of the file."""
    if lacks_team(actor, team_id):
        return ask_for_team(request, "Upload", _PURPOSE)
    owner_id = await teams.receiving_team(services.database, actor, team_id)
    declared = await metadata_schemas.declared_fields(services.database, owner_id)
    required = {name: field.enum for name, field in declared.items() if field.required}
    metadata = orjson.dumps(dict.fromkeys(required, ""), option=orjson.OPT_INDENT_2).decode() if required else ""
    values = {
        "done": done, "image_id": image_id, "refusal": None, "tags": "", "metadata": metadata, "required": required,
    }  # fmt: skip
    return _page(request, services, team_id, values)


def _page(request: Request, services: Services, team_id: UUID | None, values: dict[str, Any]) -> Response:
    settings, refusal = services.settings, values["refusal"]
    shown = {"required": {}, "formats": settings.image_formats, "limits": upload_limits(settings), "team_id": team_id}
    status = refusal.status if refusal else 200
    return render(request, "upload.html", shown | values, team_id=team_id, status=status)


def _show_form_again(request: Request, services: Services, team_id: UUID | None, sent: Mapping[str, Any]) -> None:
    """Show the form again if it is refused, with the fields that had arrived; no page can fill in a file."""
    values = {
        "done": None, "image_id": None, "tags": ", ".join(map(str, sent.get("tags", ()))),
        "metadata": orjson.dumps(sent["metadata"]).decode() if sent.get("metadata") else "",
    }  # fmt: skip
    show_again_if_refused(request, lambda refusal: _page(request, services, team_id, {**values, "refusal": refusal}))


def _show_empty_form_again(request: Request, actor: Uploader, services: ServicesDep, team_id: TeamQuery = None) -> None:
    if lacks_team(actor, team_id):
        show_again_if_refused(request, lambda _refusal: ask_for_team(request, "Upload", _PURPOSE))
    else:
        _show_form_again(request, services, team_id, {})


@router.post("", dependencies=[Depends(_show_empty_form_again)], openapi_extra=_UPLOAD)
async def upload(
    request: Request, actor: Uploader, services: ServicesDep, form: FileFormDep, claim: StreamClaimDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Store the file like the operation, and lead back to the form."""
    metrics = request.app.state.metrics
    try:
        owner_id = await teams.receiving_team(services.database, actor, team_id)
        uploaded = await repeated.receive(services, actor, owner_id, form, claim)
    except errors.AppError as error:
        if not lacks_team(actor, team_id):
            _show_form_again(request, services, team_id, form.raw_fields)
        metrics.uploads.labels(error.code).inc()
        raise
    metrics.count_upload(uploaded.image["size_bytes"], duplicate=uploaded.duplicate)
    done = "restored" if uploaded.restored else "known" if uploaded.duplicate else "stored"
    return go_to(UPLOAD, team_id, done=done, image_id=str(uploaded.image["id"]))
