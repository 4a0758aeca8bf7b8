"""The subset of the XML API that signed URLs use: GET, HEAD, PUT, DELETE and the start of a resumable upload.

Source: https://cloud.google.com/storage/docs/xml-api/overview
"""

import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from local_cloud.object_store.api.downloads import media_response, object_headers
from local_cloud.object_store.api.http import Request, Response
from local_cloud.object_store.api.json_api import announced_hashes, continue_session, generation_of
from local_cloud.object_store.errors import StoreError, invalid
from local_cloud.object_store.records import Preconditions, StoredObject, UploadTarget
from local_cloud.object_store.resumable import ResumableUploads
from local_cloud.object_store.signing import Signer, is_signed, verify
from local_cloud.object_store.store import ObjectStore

_LENGTH_RANGE = re.compile(r"(\d+),(\d+)")
_HEADER_ATTRIBUTES = {
    "content-type": "contentType",
    "cache-control": "cacheControl",
    "content-disposition": "contentDisposition",
    "content-encoding": "contentEncoding",
    "content-language": "contentLanguage",
}
_META_PREFIX = "x-goog-meta-"


class XmlApi:
    """Routes requests for `/{bucket}/{object}`; except for upload sessions, each must be signed."""

    def __init__(self, store: ObjectStore, uploads: ResumableUploads, signer: Signer | None) -> None:
        self._store = store
        self._uploads = uploads
        self._signer = signer

    async def answer(self, request: Request) -> Response:
        """Handle one request.

        Raises:
            StoreError: The request is refused, for its signature or its content.
        """
        bucket, _, name = "/".join(request.segments).partition("/")
        session_id = request.query.get("upload_id")
        if session_id is not None:
            # The URL of a session is itself the permission to use it, as in the service.
            answer = await continue_session(self._uploads, request, session_id)
            return Response(answer.status, headers=answer.headers, content_type="text/html; charset=UTF-8")
        if not is_signed(request):
            raise StoreError(403, "forbidden", "AccessDenied", "Anonymous caller does not have access to this object.")
        verify(request, self._signer)
        if not name:
            raise invalid("The path names no object.")
        return await self._signed(request, bucket, name)

    async def _signed(self, request: Request, bucket: str, name: str) -> Response:
        match request.method:
            case "GET" | "HEAD":
                return self._get(request, bucket, name)
            case "PUT":
                target = _target(request, bucket, name)
                _check_declared_length(request, target)
                stored = await self._store.receive(target, request.body())
                return _stored(stored)
            case "POST" if request.headers.get("x-goog-resumable") == "start":
                return self._start_session(request, bucket, name)
            case "DELETE":
                preconditions = Preconditions.from_headers(request.headers)
                unnamed = self._store.catalog.delete(bucket, name, generation_of(request), preconditions)
                self._store.remove_files(unnamed)
                return Response(204)
        raise StoreError(405, "methodNotAllowed", "MethodNotAllowed", "Not supported here.")

    def _get(self, request: Request, bucket: str, name: str) -> Response:
        found = self._store.get(bucket, name, generation_of(request))
        Preconditions.from_headers(request.headers).check_read(found)
        response = media_response(self._store, request, found)
        response.content_type = request.query.get("response-content-type") or response.content_type
        disposition = request.query.get("response-content-disposition")
        if disposition:
            response.headers["content-disposition"] = disposition
        return response

    def _start_session(self, request: Request, bucket: str, name: str) -> Response:
        session_id = self._uploads.start(replace(_target(request, bucket, name), origin=request.headers.get("origin")))
        path = f"/{quote(bucket)}/{quote(name, safe='/~')}"
        location = f"{request.base_url}{path}?upload_id={session_id}"
        return Response(201, headers={"location": location, "x-guploader-uploadid": session_id})


def _target(request: Request, bucket: str, name: str) -> UploadTarget:
    headers = request.headers
    attributes: dict[str, Any] = {
        attribute: headers[header] for header, attribute in _HEADER_ATTRIBUTES.items() if header in headers
    }
    metadata = {key.removeprefix(_META_PREFIX): headers[key] for key in headers if key.startswith(_META_PREFIX)}
    if metadata:
        attributes["metadata"] = metadata
    announced = announced_hashes(headers.get("x-goog-hash"))
    md5 = announced.get("md5") or headers.get("content-md5")
    target = UploadTarget(bucket, name, attributes, Preconditions.from_headers(headers), md5, announced.get("crc32c"))
    bounds = headers.get("x-goog-content-length-range")
    if bounds is None:
        return target
    match = _LENGTH_RANGE.fullmatch(bounds.replace(" ", ""))
    if match is None:
        raise invalid("x-goog-content-length-range must be two numbers with a comma between.")
    return replace(target, min_bytes=int(match[1]), max_bytes=int(match[2]))


def _check_declared_length(request: Request, target: UploadTarget) -> None:
    """Check the declared length of a body before it is read."""
    declared = request.content_length
    if declared is None:
        return
    if target.max_bytes is not None and declared > target.max_bytes:
        raise invalid(f"Your proposed upload is larger than {target.max_bytes} bytes.", "EntityTooLarge")
    if declared < target.min_bytes:
        raise invalid(f"Your proposed upload is smaller than {target.min_bytes} bytes.", "EntityTooSmall")


def _stored(stored: StoredObject) -> Response:
    return Response(200, headers=object_headers(stored), content_type="text/html; charset=UTF-8")
