"""HTTP of collections."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.collections import cursor as cursors
from image_api.collections import schemas, service
from image_api.dependencies import CursorQuery, IfMatch, LimitQuery, ServicesDep, TeamQuery, TransactionDep
from image_api.guarded_route import LARGE_BODY_BYTES, body_limit
from image_api.http.entity_tags import entity_tag
from image_api.http.pagination import DEFAULT_LIMIT, page_of
from image_api.http.paths import API_PREFIX
from image_api.idempotency.route import CreationDep, IdempotentRoute
from image_api.images.body import json_response, thumbnail_url
from image_api.images.inclusion import INCLUDE_PARAMETER, parse_include
from image_api.links import service as links
from image_api.listing.included import page_bodies
from image_api.services import Services
from image_core.db import Record, Transaction

router = APIRouter(prefix="/collections", tags=["collections"], route_class=IdempotentRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
Writer = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE))]
ImageQuery = Annotated[UUID | None, Query(description="Only collections that contain this image.")]
_CHANGED: dict[int | str, dict[str, Any]] = {
    404: {"description": "The collection does not exist, or one of the images does not, or belongs to another team."},
    412: {"description": "The ETag in `If-Match` is not the current one."},
}
_GROWN = _CHANGED | {409: {"description": "The collection would have more images than the maximum."}}


def _body(row: Record, base_url: str) -> dict[str, Any]:
    image_id = row["shown_image_id"]
    cover = None if image_id is None else {
        "image_id": image_id,
        "thumbnail_url": thumbnail_url(base_url, image_id) if row["has_thumbnail"] else None,
        "placeholder": row["placeholder"],
    }  # fmt: skip
    return {
        "id": row["id"],
        "team_id": row["team_id"],
        "name": row["name"],
        "cover_image_id": row["cover_image_id"],
        "cover": cover,
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


async def _shown(
    services: Services, transaction: Transaction, actor: Actor, collection_id: UUID, response: Response
) -> dict[str, Any]:
    return _whole(services, await service.get_collection(transaction, actor, collection_id), response)


def _whole(services: Services, row: Record, response: Response) -> dict[str, Any]:
    response.headers["ETag"] = entity_tag(row["revision"])
    return {**_body(row, services.settings.base_url), "image_count": row["image_count"]}


@router.post(
    "",
    status_code=201,
    response_model=schemas.Collection,
    responses={
        404: {"description": "The team does not exist, or you may not see it."},
        409: {"description": "The team has the maximum number of collections, or it is being removed."},
    },
)
async def create_collection(
    body: schemas.NewCollection,
    actor: Writer,
    services: ServicesDep,
    transaction: CreationDep,
    response: Response,
    team_id: TeamQuery = None,
) -> Any:
    """Create an empty collection."""
    most = services.settings.collections_per_team
    created = await service.create_collection(transaction, actor, team_id, body.name, most)
    response.headers["Location"] = f"{API_PREFIX}/collections/{created['id']}"
    return _whole(services, created, response)


@router.get(
    "",
    response_model=schemas.CollectionPage,
    responses={404: {"description": "The team does not exist, or you may not see it."}},
)
async def list_collections(
    actor: Reader,
    services: ServicesDep,
    team_id: TeamQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
    cursor: CursorQuery = None,
    image_id: ImageQuery = None,
) -> Any:
    """List the collections of a team, newest first, with their covers."""
    rows = await service.list_collections(services.database, actor, team_id, cursor, limit + 1, image_id)
    return page_of(rows, limit, lambda row: _body(row, services.settings.base_url))


@router.get("/{collection_id}", response_model=schemas.Collection)
async def get_collection(collection_id: UUID, actor: Reader, services: ServicesDep, response: Response) -> Any:
    """Get a collection with its cover and the number of its images."""
    return _whole(services, await service.get_collection(services.database, actor, collection_id), response)


@router.patch("/{collection_id}", response_model=schemas.Collection, responses=_CHANGED)
async def change_collection(
    collection_id: UUID,
    body: schemas.CollectionPatch,
    actor: Writer,
    services: ServicesDep,
    transaction: TransactionDep,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Change the name or the cover of a collection (JSON merge patch, RFC 7396)."""
    patch = body.model_dump(exclude_unset=True)
    changed = await service.change_collection(transaction, actor, collection_id, patch, if_match)
    return _whole(services, changed, response)


@router.delete("/{collection_id}", status_code=204, responses={412: _CHANGED[412]})
async def remove_collection(
    collection_id: UUID, actor: Writer, transaction: TransactionDep, if_match: IfMatch = None
) -> None:
    """Remove a collection. Its images stay; share links that show it are deleted."""
    await service.remove_collection(transaction, actor, collection_id, if_match)


@router.get(
    "/{collection_id}/images",
    response_model=schemas.CollectionImages,
    openapi_extra={"parameters": [INCLUDE_PARAMETER]},
)
async def list_collection_images(
    collection_id: UUID,
    request: Request,
    actor: Reader,
    services: ServicesDep,
    limit: LimitQuery = DEFAULT_LIMIT,
    cursor: Annotated[str | None, Query(max_length=100, description="`next_cursor` of the previous page.")] = None,
) -> Response:
    """List the images of a collection in its order, without those in the trash.

    An item has what an item of `GET /api/v1/images` has; `include` adds the rest.
    """
    included = parse_include(request.query_params)
    begin = cursors.START if cursor is None else cursors.decode(cursor)
    rows = await service.page_images(services.database, actor, collection_id, begin, limit + 1, included)
    items, storable = await page_bodies(services, actor.visible_team_id, rows[:limit], included)
    body = {"items": items, "next_cursor": cursors.next_cursor(rows, limit)}
    return json_response(body, headers=None if storable else {"cache-control": "no-store"})


@router.post(
    "/{collection_id}/images",
    response_model=schemas.GrownCollection,
    responses=_GROWN,
    openapi_extra=body_limit(LARGE_BODY_BYTES),
)
async def add_collection_images(
    collection_id: UUID,
    body: schemas.AddedIds,
    actor: Writer,
    services: ServicesDep,
    transaction: TransactionDep,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Add up to 1,000 images to a collection, last or after one of its images, or move them there.

    If one of the images does not exist or belongs to another team, nothing is added. A repetition changes nothing.
    Share links to the collection show what it holds: `open_links` counts them.
    """
    place = service.Place(body.after) if "after" in body.model_fields_set else None
    most = services.settings.images_per_collection
    added = await service.add_images(transaction, actor, collection_id, body.image_ids, place, most, if_match)
    shown = await _shown(services, transaction, actor, collection_id, response)
    open_links = await links.count_open_of_collection(transaction, shown["team_id"], collection_id)
    return {**shown, "added": added, "open_links": open_links}


@router.delete(
    "/{collection_id}/images",
    response_model=schemas.ShrunkCollection,
    responses={412: _CHANGED[412]},
    openapi_extra=body_limit(LARGE_BODY_BYTES),
)
async def remove_collection_images(
    collection_id: UUID,
    body: schemas.RemovedIds,
    actor: Writer,
    services: ServicesDep,
    transaction: TransactionDep,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Remove up to 1,000 images from a collection. The images themselves stay."""
    removed = await service.remove_images(transaction, actor, collection_id, body.image_ids, if_match)
    return {**await _shown(services, transaction, actor, collection_id, response), "removed": removed}


@router.put(
    "/{collection_id}/order",
    response_model=schemas.Collection,
    responses=_CHANGED,
    openapi_extra=body_limit(LARGE_BODY_BYTES),
)
async def order_collection_images(
    collection_id: UUID,
    body: schemas.OrderedIds,
    actor: Writer,
    services: ServicesDep,
    transaction: TransactionDep,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Sort up to 1,000 images of a collection: they share out the places that they have now, in the order given.

    If one of the images is not in the collection, nothing is changed.
    """
    await service.order_images(transaction, actor, collection_id, body.image_ids, if_match)
    return await _shown(services, transaction, actor, collection_id, response)
