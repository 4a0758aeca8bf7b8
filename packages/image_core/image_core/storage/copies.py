"""Copies of objects that storage makes by itself, and listings of what there is to copy."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import orjson

from image_core.storage.connection import (
    FIELDS,
    GcsConnection,
    MalformedResponse,
    UnexpectedStatus,
    parse_json_object,
    parse_stored_object,
    query,
    split_into_pieces,
)
from image_core.storage.protocol import BucketNotReadable, ListedObject, ObjectChanged, StoredObject

_LISTED_FIELDS = f"items({FIELDS},timeCreated,contentEncoding,metadata),nextPageToken"
_REWRITE_FIELDS = f"done,rewriteToken,resource({FIELDS})"
_PAGE = 1000


async def live_objects(gcs: GcsConnection, objects_url: str, prefix: str, after: str, limit: int) -> list[ListedObject]:
    """List live objects whose names follow `after`. A name is a better position than a page's token, which ends."""
    found: list[ListedObject] = []
    token: str | None = None
    while True:
        # The listing begins at a name, which may still exist.
        most = min(limit - len(found) + 1, _PAGE)
        parameters = query(
            prefix=prefix, startOffset=after or None, maxResults=most, pageToken=token, fields=_LISTED_FIELDS
        )
        page, token = await gcs.run(lambda url=f"{objects_url}?{parameters}": _page(gcs, url))  # type: ignore[misc]
        found += [listed for listed in page if listed.stored.name > after]
        if len(found) >= limit or not token:
            return found[:limit]


async def _page(gcs: GcsConnection, url: str) -> tuple[list[ListedObject], str | None]:
    try:
        _, _, answer = await gcs.read_whole("GET", url)
    except UnexpectedStatus as error:
        if error.status in (403, 404):
            raise BucketNotReadable(str(error)) from error
        raise
    document = parse_json_object(answer)
    return [_listed(item) for item in document.get("items", [])], document.get("nextPageToken")


def _listed(item: Mapping[str, Any]) -> ListedObject:
    try:
        created_at = datetime.fromisoformat(item["timeCreated"])
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedResponse("no time of creation") from error
    return ListedObject(
        parse_stored_object(item), created_at, item.get("contentEncoding") or None, item.get("metadata") or {}
    )


def rewrite_url(gcs: GcsConnection, source: tuple[str, str], generation: int, target: tuple[str, str]) -> str:
    """Return the address that copies a generation of one object to a name that must not exist."""
    path = "/rewriteTo/".join(
        f"b/{quote(bucket, safe='')}/o/{quote(name, safe='')}" for bucket, name in (source, target)
    )
    conditions = query(ifSourceGenerationMatch=generation, ifGenerationMatch=0, fields=_REWRITE_FIELDS)
    return f"{gcs.base_url}/storage/v1/{path}?{conditions}"


def bring_back_url(gcs: GcsConnection, target: tuple[str, str], generation: int) -> str:
    """Return the address that copies an older generation of an object to its own name, which has no live object."""
    bucket, name = (quote(part, safe="") for part in target)
    path = f"b/{bucket}/o/{name}/rewriteTo/b/{bucket}/o/{name}"
    conditions = query(sourceGeneration=generation, ifGenerationMatch=0, fields=_REWRITE_FIELDS)
    return f"{gcs.base_url}/storage/v1/{path}?{conditions}"


async def rewrite(
    gcs: GcsConnection, url: str, content_type: str | None, stat: Callable[[], Awaitable[StoredObject]]
) -> StoredObject:
    """Have storage copy an object; a large one takes several requests. Without a type, its metadata are copied too.

    Raises:
        ObjectChanged: A precondition does not hold, and it is not because of an earlier attempt of our own.
    """
    # Only the type is given to the copy: what the source says about itself is not ours to serve.
    body = b"{}" if content_type is None else orjson.dumps({"contentType": content_type})
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    pieces = split_into_pieces(body)
    token: str | None = None
    while True:
        part = url if token is None else f"{url}&{query(rewriteToken=token)}"
        try:
            _, _, answer = await gcs.read_whole("POST", part, headers=headers, pieces=pieces)
        except UnexpectedStatus as error:
            if error.status != 412:
                raise
            return await _own_copy(stat)
        document = parse_json_object(answer)
        if document.get("done"):
            return parse_stored_object(document.get("resource") or {})
        token = document.get("rewriteToken")
        if not token:
            raise MalformedResponse("a copy that is not done names how to continue")


async def restore(gcs: GcsConnection, url: str, stat: Callable[[], Awaitable[StoredObject]]) -> StoredObject:
    """Have storage restore a soft-deleted generation.

    Source: https://cloud.google.com/storage/docs/json_api/v1/objects/restore

    Raises:
        ObjectChanged: A precondition does not hold, and it is not because of an earlier attempt of our own.
    """
    try:
        _, _, answer = await gcs.read_whole("POST", url)
    except UnexpectedStatus as error:
        if error.status != 412:
            raise
        return await _own_copy(stat)
    return parse_stored_object(parse_json_object(answer))


async def _own_copy(stat: Callable[[], Awaitable[StoredObject]]) -> StoredObject:
    """Return the copy that an earlier attempt made, as the name of a copy belongs to one source.

    Raises:
        ObjectChanged: There is none, so it was the source that changed.
    """
    try:
        return await stat()
    except UnexpectedStatus as error:
        if error.status == 404:
            raise ObjectChanged from error
        raise
