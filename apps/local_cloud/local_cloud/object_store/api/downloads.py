"""Responses with an object's bytes, shared by both APIs."""

import json
from datetime import datetime
from email.utils import format_datetime

from local_cloud.object_store.api.http import Request, Response
from local_cloud.object_store.api.ranges import requested_span
from local_cloud.object_store.records import StoredObject
from local_cloud.object_store.store import ObjectStore

_PASSED_ON = {
    "cacheControl": "cache-control",
    "contentDisposition": "content-disposition",
    "contentEncoding": "content-encoding",
    "contentLanguage": "content-language",
}


def object_headers(found: StoredObject) -> dict[str, str]:
    """Return the headers of every response about an object's bytes."""
    headers = {
        "etag": f'"{found.etag}"',
        "last-modified": format_datetime(datetime.fromisoformat(found.updated_at), usegmt=True),
        "accept-ranges": "bytes",
        "x-goog-generation": str(found.generation),
        "x-goog-metageneration": str(found.metageneration),
        "x-goog-hash": f"crc32c={found.content.crc32c},md5={found.content.md5}",
        "x-goog-stored-content-length": str(found.content.size_bytes),
        "x-goog-stored-content-encoding": str(found.attributes.get("contentEncoding") or "identity"),
        "x-goog-storage-class": "STANDARD",
    }
    for attribute, header in _PASSED_ON.items():
        if found.attributes.get(attribute):
            headers[header] = str(found.attributes[attribute])
    for name, value in (found.attributes.get("metadata") or {}).items():
        # Header values are Latin-1; other characters are escaped.
        headers[f"x-goog-meta-{name}".lower()] = value if value.isascii() else json.dumps(value)
    return headers


def media_response(store: ObjectStore, request: Request, found: StoredObject) -> Response:
    """Return a response with the bytes, or with the requested range of them.

    Raises:
        StoreError: 416, the range is outside; 404, the object was removed in the meantime.
    """
    size = found.content.size_bytes
    span = requested_span(request.headers.get("range"), size)
    start, length = span or (0, size)
    headers = object_headers(found)
    if span is not None:
        headers["content-range"] = f"bytes {start}-{start + length - 1}/{size}"
    stream = None if request.method == "HEAD" else store.open(found, start, length)
    return Response(200 if span is None else 206, b"", headers, found.content_type, stream, length)
