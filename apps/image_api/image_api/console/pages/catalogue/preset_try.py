"""`/console/presets/{name}/try`: what a preset makes of an image, in each of its formats, beside its transforms."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.console.frame import Refusal, render, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.catalogue.presets import PRESETS, Name
from image_api.console.team_first import ask_for_team, lacks_team
from image_api.delivery_addresses import service as addresses
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.presets import service as presets
from image_api.presets.service import Shown
from image_core.delivery.spec import spell

router = APIRouter(prefix=PRESETS, include_in_schema=False, route_class=PageRoute)
Trier = Annotated[Actor, Depends(RequireScope(Scope.DELIVERY_MANAGE, Scope.IMAGES_READ))]
_TRY = same_as("POST /api/v1/delivery/preview", "POST /api/v1/delivery/sign", "GET /api/v1/presets/{name}")


@router.get("/{name}/try", openapi_extra=_TRY)
async def show(
    name: Name, request: Request, actor: Trier, services: ServicesDep, team_id: TeamQuery = None,
    image_id: Annotated[UUID | None, Query()] = None, spec: Annotated[str | None, Query(max_length=255)] = None,
) -> Response:  # fmt: skip
    """Show the pictures of an image, by the preset or by other transforms.

    Nothing is stored for it but what image-delivery keeps of every picture.
    """
    if lacks_team(actor, team_id):
        return ask_for_team(request, "Presets")
    shown = await presets.get_preset(services.database, actor, team_id, name)
    page = _Page(request, shown, team_id, image_id, spec or spell(shown.preset.recipe))
    if image_id is None:
        return page.render(None, None)
    show_again_if_refused(request, lambda refusal: page.render(None, refusal))
    if spec in (None, spell(shown.preset.recipe)):
        preview = await addresses.preview_preset(services, actor, image_id, shown.preset)
    else:
        preview = await addresses.preview(services, actor, image_id, page.spec)
    return page.render(preview, None)


class _Page:
    """The page of one preset and image."""

    def __init__(self, request: Request, shown: Shown, team_id: UUID | None, image_id: UUID | None, spec: str) -> None:
        self._request, self._shown, self._team_id, self._image_id, self.spec = request, shown, team_id, image_id, spec

    def render(self, preview: addresses.Preview | None, refusal: Refusal | None) -> Response:
        """Return the page, with pictures or with what was refused."""
        preset = self._shown.preset
        values = {
            "preset": preset, "saved": spell(preset.recipe), "spec": self.spec, "preview": preview, "refusal": refusal,
            "image_id": self._image_id or "", "team_id": self._team_id,
        }  # fmt: skip
        return render(self._request, "preset_try.html", values, team_id=self._team_id)
