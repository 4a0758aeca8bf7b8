"""HTTP of presets."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import IfMatch, ServicesDep, TeamQuery, TransactionDep
from image_api.guarded_route import GuardedRoute
from image_api.http.entity_tags import entity_tag
from image_api.presets import schemas, service
from image_api.presets.service import Shown
from image_core.images.presets import BUILT_IN

router = APIRouter(prefix="/presets", tags=["delivery"], route_class=GuardedRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
Manager = Annotated[Actor, Depends(RequireScope(Scope.DELIVERY_MANAGE))]
Name = Annotated[str, Path(max_length=64, description="Name of the preset.")]
_NO_PRESET: dict[int | str, dict[str, Any]] = {404: {"description": "The team or the preset does not exist."}}
_CHANGED: dict[int | str, dict[str, Any]] = {
    404: {"description": "The team does not exist, or you may not see it."},
    409: {"description": "The team has the maximum number of presets, or it is being removed."},
    412: {"description": "The ETag in `If-Match` is not the current one."},
}
_REMOVED = _NO_PRESET | {
    409: {"description": "The preset is built in, or open share links show it."},
    412: {"description": "The ETag in `If-Match` is not the current one."},
}


def _body(shown: Shown) -> dict[str, Any]:
    preset, recipe = shown.preset, shown.preset.recipe
    return {
        "name": preset.name,
        "spec": preset.spec,
        "built_in": preset.name in BUILT_IN,
        "width": recipe.width_px,
        "height": recipe.height_px,
        "fit": recipe.fit,
        "gravity": recipe.gravity,
        "quality": recipe.quality,
        "formats": list(preset.formats),
        "background": recipe.background,
        "animated": recipe.animated,
        "metadata": recipe.metadata,
        "open": preset.is_open,
        "eager": preset.is_eager,
        "updated_at": shown.updated_at,
    }


@router.get("", response_model=schemas.PresetList, responses={404: _CHANGED[404]})
async def list_presets(actor: Reader, services: ServicesDep, team_id: TeamQuery = None) -> Any:
    """List the presets of a team, without paging: the built-in ones first."""
    found = await service.list_presets(services.database, actor, team_id)
    return {"items": [_body(shown) for shown in found]}


@router.get("/{name}", response_model=schemas.Preset, responses=_NO_PRESET)
async def get_preset(
    name: Name, actor: Reader, services: ServicesDep, response: Response, team_id: TeamQuery = None
) -> Any:
    """Get a preset."""
    shown = await service.get_preset(services.database, actor, team_id, name)
    response.headers["ETag"] = entity_tag(shown.revision)
    return _body(shown)


@router.put("/{name}", response_model=schemas.ChangedPreset, responses=_CHANGED)
async def put_preset(
    name: Name,
    body: schemas.NewPreset,
    actor: Manager,
    services: ServicesDep,
    transaction: TransactionDep,
    response: Response,
    team_id: TeamQuery = None,
    if_match: IfMatch = None,
) -> Any:
    """Create a preset, or replace it. Addresses of the preset stay valid and show the new picture.

    The next request for one of its pictures makes it. If the preset is eager, existing images get theirs in the
    background, the newest first.
    """
    most = services.settings.presets_per_team
    changed = await service.put_preset(transaction, actor, team_id, name, body.model_dump(), most, if_match)
    transaction.on_commit.append(lambda: services.team_delivery.forget(changed.team_id))
    response.headers["ETag"] = entity_tag(changed.shown.revision)
    return {**_body(changed.shown), "public_images": changed.public_images}


@router.delete("/{name}", status_code=204, responses=_REMOVED)
async def remove_preset(
    name: Name,
    actor: Manager,
    services: ServicesDep,
    transaction: TransactionDep,
    team_id: TeamQuery = None,
    if_match: IfMatch = None,
) -> None:
    """Remove a preset. Its addresses stop working within 5 seconds; its pictures are removed in the background.

    Built-in presets cannot be removed, nor those that open share links show.
    """
    owner_id = await service.remove_preset(transaction, actor, team_id, name, if_match)
    transaction.on_commit.append(lambda: services.team_delivery.forget(owner_id))
