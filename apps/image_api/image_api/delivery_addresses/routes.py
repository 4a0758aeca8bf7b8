"""HTTP of delivery addresses."""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.delivery_addresses import resigning, schemas, service
from image_api.dependencies import ServicesDep, TransactionDep
from image_api.guarded_route import LARGE_BODY_BYTES, GuardedRoute, body_limit
from image_api.images import service as images
from image_api.images.body import image_response, json_response
from image_api.images.schemas import Image
from image_core import errors

router = APIRouter(tags=["delivery"], route_class=GuardedRoute)
Manager = Annotated[Actor, Depends(RequireScope(Scope.DELIVERY_MANAGE))]
NDJSON = "application/x-ndjson"
MOST_URL_LENGTH = 1024
_MAX_LINES_BYTES = 4 * 1024 * 1024
_NOT_CONFIGURED: dict[int | str, dict[str, Any]] = {
    404: {"description": "This deployment issues no delivery addresses."},
    503: {"description": "The database or the master secret cannot be read. Wait for `Retry-After`."},
}
_LINES: dict[int | str, dict[str, Any]] = _NOT_CONFIGURED | {
    200: {
        "description": "One line for each line of the request, in order: `{url, new_url}` or `{url, error}`.",
        "content": {NDJSON: {"schema": {"type": "string"}}},
    }
}


@router.post(
    "/delivery/sign",
    response_model=schemas.SignedAddresses,
    responses=_NOT_CONFIGURED,
    openapi_extra=body_limit(LARGE_BODY_BYTES),
)
async def sign_addresses(body: schemas.AddressOrder, actor: Manager, services: ServicesDep) -> Response:
    """Sign delivery addresses of up to 1,000 images.

    Expiry times are rounded up, so that callers share addresses for a while and caches can keep the pictures.
    """
    items = [service.Item(item.image_id, item.spec, item.format) for item in body.items]
    signed = await service.sign(services, actor, items, body.expires_in)
    shown = [{"error": each.body()} if isinstance(each, service.Refused) else each._asdict() for each in signed]
    return json_response({"items": shown}, headers={"cache-control": "no-store"})


@router.post(
    "/delivery/resign",
    response_class=StreamingResponse,
    responses=_LINES,
    openapi_extra={
        **body_limit(_MAX_LINES_BYTES),
        "requestBody": {
            "required": True,
            "description": "One JSON object per line, `{url}`, at most 10,000 lines.",
            "content": {NDJSON: {"schema": {"type": "string"}}},
        },
    },
)
async def resign_addresses(request: Request, actor: Manager, services: ServicesDep) -> StreamingResponse:
    """Renew stored delivery addresses, as lines of JSON (NDJSON): `{url}` becomes `{url, new_url}` or `{url, error}`.

    Expired addresses, those of retired keys and those of the master secret before the current one are renewed. Revoked
    ones are not, and forged ones are refused.
    """
    renewed = await resigning.resign(services, actor, urls_of(await request.body()))
    return StreamingResponse(_lines(renewed), media_type=NDJSON, headers={"cache-control": "no-store"})


async def _lines(items: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    async for item in items:
        yield orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE)


def urls_of(body: bytes) -> list[str]:
    """Return the addresses in lines of JSON.

    Raises:
        errors.RequestInvalid: A line is not an object with a `url`, or there are too many lines or none.
    """
    lines = body.splitlines()
    if not 1 <= len(lines) <= schemas.MOST_LINES:
        raise _invalid("body", f"Send 1 to {schemas.MOST_LINES} lines.")
    urls = []
    for number, line in enumerate(lines, 1):
        try:
            item = orjson.loads(line)
        except ValueError:
            item = None
        if not isinstance(item, dict) or item.keys() != {"url"} or not isinstance(item["url"], str):
            raise _invalid(f"line {number}", 'Send an object with one member, for example {"url": "https://…"}.')
        if len(item["url"]) > MOST_URL_LENGTH:
            raise _invalid(f"line {number}", f"Address too long: the limit is {MOST_URL_LENGTH} characters.")
        urls.append(item["url"])
    return urls


def _invalid(field: str, message: str) -> errors.RequestInvalid:
    return errors.invalid_fields([{"field": field, "code": "ndjson-invalid", "message": message}])


@router.post("/delivery/preview", response_model=schemas.Preview, responses=_NOT_CONFIGURED)
async def preview_transforms(body: schemas.NewPreview, actor: Manager, services: ServicesDep) -> Response:
    """Check transforms, and sign an address of their result in each format for an hour. Nothing is stored for it."""
    found = await service.preview(services, actor, body.image_id, body.spec)
    width, height = found.size or (None, None)
    shown = {"spec": found.spec, "width": width, "height": height, "urls": found.urls, "expires_at": found.expires_at}
    return json_response(shown, headers={"cache-control": "no-store"})


@router.post("/images/{image_id}/revoke-addresses", response_model=Image)
async def revoke_addresses(
    image_id: UUID, actor: Manager, services: ServicesDep, transaction: TransactionDep
) -> Response:
    """Revoke all delivery addresses of an image that were signed so far. The image gets a new `delivery_tag`.

    image-delivery refuses them within 5 seconds. A content delivery network may serve pictures from its cache for 10
    more minutes, and browsers until the addresses' `max-age`, at most a day by default. Addresses of a public image
    without a tag are not revoked; make the image private instead.
    """
    row = await images.revoke_addresses(transaction, actor, image_id)
    return image_response(row, services.settings.base_url)
