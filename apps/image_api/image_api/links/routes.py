"""HTTP of share links."""

from typing import Annotated, Any, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import CursorQuery, IfMatch, LimitQuery, ServicesDep, TeamQuery, TransactionDep
from image_api.guarded_route import LARGE_BODY_BYTES, body_limit
from image_api.http.entity_tags import entity_tag
from image_api.http.pagination import DEFAULT_LIMIT, page_of
from image_api.http.paths import API_PREFIX
from image_api.idempotency.route import CreationDep, IdempotentRoute, compare_by_keyed_hash
from image_api.links import schemas, service, tokens
from image_api.links.columns import columns_of_new, columns_of_patch, comparison_key
from image_api.links.service import NewAddress, ShownLink
from image_api.services import Services
from image_core.db import Record
from image_core.states import LinkDownload

router = APIRouter(prefix="/links", tags=["delivery"], route_class=IdempotentRoute)
Manager = Annotated[Actor, Depends(RequireScope(Scope.DELIVERY_MANAGE))]
ImageQuery = Annotated[UUID | None, Query(description="Only links to this image, or to a collection that contains it.")]
_ORIGINALS = "Visitors may download the files as they were uploaded: their metadata may tell where a picture was taken."
_CHANGED: dict[int | str, dict[str, Any]] = {
    404: {"description": "The link or one of the presets does not exist, or belongs to another team."},
    409: {"description": "The link has expired."},
    412: {"description": "The ETag in `If-Match` is not the current one."},
    503: {"description": "Too many passwords are being hashed. Wait for `Retry-After`."},
}


class _New(NamedTuple):
    """A body, and the columns of the link; its password is hashed before the transaction begins."""

    body: schemas.NewShareLink
    columns: dict[str, Any]


async def _new(request: Request, services: ServicesDep, body: schemas.NewShareLink) -> _New:
    compare_by_keyed_hash(request, await comparison_key(services))
    return _New(body, await columns_of_new(services, body))


async def _patch(services: ServicesDep, body: schemas.ShareLinkPatch) -> dict[str, Any]:
    return await columns_of_patch(services, body)


def _body(row: Record) -> dict[str, Any]:
    return {**dict(row), "notice": _ORIGINALS if row["download"] == LinkDownload.ORIGINAL else None}


def _whole(link: ShownLink, response: Response) -> dict[str, Any]:
    response.headers["ETag"] = entity_tag(link.row["revision"])
    return {**_body(link.row), "image_count": link.image_count}


def _addressed(services: Services, new: NewAddress, response: Response) -> dict[str, Any]:
    response.headers["Cache-Control"] = "no-store"
    url = services.settings.base_url + tokens.path_of(new.token)
    return {**_whole(new.link, response), "token": new.token, "url": url}


@router.post(
    "",
    status_code=201,
    response_model=schemas.AddressedShareLink,
    responses={
        404: {"description": "The team, an image, the collection or a preset does not exist, or this deployment issues"
              " no delivery addresses."},
        409: {"description": "The team has the maximum number of share links, or it is being removed."},
        503: _CHANGED[503],
    },
    openapi_extra=body_limit(LARGE_BODY_BYTES),
)  # fmt: skip
async def create_share_link(
    actor: Manager,
    services: ServicesDep,
    new: Annotated[_New, Depends(_new)],
    transaction: CreationDep,
    response: Response,
    team_id: TeamQuery = None,
) -> Any:
    """Create a share link: an address that shows images, or those of a collection, to whoever has it.

    The address is shown only in this response. If one of the images does not exist or belongs to another team, no link
    is created. Images in the trash are not shown until they are restored.
    """
    most = services.settings.share_links_per_team
    created = await service.create_link(transaction, actor, team_id, new.columns, new.body.image_ids or (), most)
    response.headers["Location"] = f"{API_PREFIX}/links/{created.link.row['id']}"
    return _addressed(services, created, response)


@router.get(
    "",
    response_model=schemas.ShareLinkPage,
    responses={404: {"description": "The team does not exist, or you may not see it."}},
)
async def list_share_links(
    actor: Manager,
    services: ServicesDep,
    team_id: TeamQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
    cursor: CursorQuery = None,
    image_id: ImageQuery = None,
) -> Any:
    """List the share links of a team, open or expired, newest first. Their addresses are never included."""
    rows = await service.list_links(services.database, actor, team_id, cursor, limit + 1, image_id)
    return page_of(rows, limit, _body)


@router.get("/{link_id}", response_model=schemas.ShareLink)
async def get_share_link(link_id: UUID, actor: Manager, services: ServicesDep, response: Response) -> Any:
    """Get a share link, without its address. Views do not change its ETag."""
    return _whole(await service.get_link(services.database, actor, link_id), response)


@router.patch("/{link_id}", response_model=schemas.ShareLink, responses=_CHANGED)
async def change_share_link(
    link_id: UUID,
    actor: Manager,
    patch: Annotated[dict[str, Any], Depends(_patch)],
    transaction: TransactionDep,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Change an open share link (JSON merge patch, RFC 7396). Its address stays.

    A new password, fewer presets or a smaller `download` also end the addresses of pictures that visitors already have,
    within 5 seconds.
    """
    return _whole(await service.change_link(transaction, actor, link_id, patch, if_match), response)


@router.delete("/{link_id}", status_code=204, responses={412: _CHANGED[412]})
async def remove_share_link(
    link_id: UUID, actor: Manager, transaction: TransactionDep, if_match: IfMatch = None
) -> None:
    """Delete a share link. Its address and those of its pictures end, within 5 seconds."""
    await service.remove_link(transaction, actor, link_id, if_match)


@router.post(
    "/{link_id}/rotate",
    response_model=schemas.AddressedShareLink,
    responses={409: {"description": "The link has expired."}},
)
async def rotate_share_link(
    link_id: UUID, actor: Manager, services: ServicesDep, transaction: CreationDep, response: Response
) -> Any:
    """Replace the address of an open share link. The old one, and those of its pictures, end within 5 seconds.

    The new address is shown only in this response.
    """
    return _addressed(services, await service.rotate_link(transaction, actor, link_id), response)
