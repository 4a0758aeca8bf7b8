"""The JSON API: buckets, objects and uploads under `/storage/v1`, `/upload/storage/v1` and `/download/storage/v1`.

Source: https://cloud.google.com/storage/docs/json_api/v1
"""

import base64
import json
from dataclasses import replace
from typing import Any

from local_cloud.object_store.api.downloads import media_response, object_headers
from local_cloud.object_store.api.http import Request, Response, json_response
from local_cloud.object_store.api.multipart import RelatedBody
from local_cloud.object_store.catalog import AFTER_ALL, Listing, ListPosition
from local_cloud.object_store.errors import StoreError, invalid
from local_cloud.object_store.records import WRITABLE, Preconditions, StoredObject, UploadTarget
from local_cloud.object_store.resumable import ResumableUploads
from local_cloud.object_store.store import ObjectStore

MAX_RESULTS = 1000


class JsonApi:
    """Routes requests of the JSON API."""

    def __init__(self, store: ObjectStore, uploads: ResumableUploads) -> None:
        self._store = store
        self._uploads = uploads

    async def answer(self, request: Request) -> Response:
        """Handle one request.

        Raises:
            StoreError: The request is refused, or the path does not exist.
        """
        match request.segments:
            case ["upload", "storage", "v1", "b", bucket, "o"]:
                return await self._upload(request, bucket)
            case ["download", "storage", "v1", "b", bucket, "o", name]:
                return self._get(request, bucket, name, media=True)
            case ["storage", "v1", "b", *rest]:
                return await self._resource(request, rest)
            case ["storage", "v1", "projects", project, "serviceAccount"]:
                email = f"service-account@{project}.iam.gserviceaccount.com"
                return json_response({"kind": "storage#serviceAccount", "email_address": email})
        raise StoreError(404, "notFound", "NoSuchKey", "Not Found")

    async def _resource(self, request: Request, segments: list[str]) -> Response:
        match segments:
            case []:
                return await self._buckets(request)
            case [bucket]:
                return await self._bucket(request, bucket)
            case [bucket, "o"] if request.method == "GET":
                return self._list(request, bucket)
            case [bucket, "o", name]:
                return await self._object(request, bucket, name)
            case [bucket, "o", name, *rest] if request.method == "POST":
                return await self._copy_of(request, (bucket, name), rest)
            case [bucket, "notificationConfigs"] if request.method == "GET":
                return self._notifications(bucket)
        raise StoreError(405, "methodNotAllowed", "MethodNotAllowed", "Not supported here.")

    async def _buckets(self, request: Request) -> Response:
        catalog = self._store.catalog
        if request.method == "POST":
            fields = await request.document()
            versioning = bool((fields.get("versioning") or {}).get("enabled"))
            name = str(fields.get("name") or "")
            if not name:
                raise invalid("Required field: name")
            return json_response(catalog.create_bucket(name, versioning=versioning).resource(request.base_url))
        prefix = request.query.get("prefix", "")
        items = [found.resource(request.base_url) for found in catalog.buckets() if found.name.startswith(prefix)]
        return json_response({"kind": "storage#buckets", "items": items})

    async def _bucket(self, request: Request, name: str) -> Response:
        catalog = self._store.catalog
        found = catalog.bucket(name)
        if request.method == "DELETE":
            catalog.delete_bucket(name)
            return Response(204)
        if request.method in {"PATCH", "PUT"}:
            fields = await request.document()
            versioning, policy = fields.get("versioning") or {}, fields.get("softDeletePolicy") or {}
            found = catalog.configure_bucket(
                name,
                versioning=bool(versioning.get("enabled", found.versioning)),
                topic=found.topic,
                soft_delete_seconds=int(policy.get("retentionDurationSeconds", found.soft_delete_seconds)),
            )
        return json_response(found.resource(request.base_url))

    def _notifications(self, bucket: str) -> Response:
        topic = self._store.catalog.bucket(bucket).topic
        config = {
            "kind": "storage#notification",
            "id": "1",
            "topic": topic,
            "event_types": ["OBJECT_FINALIZE"],
            "payload_format": "JSON_API_V1",
        }
        return json_response({"kind": "storage#notifications", "items": [config] if topic else []})

    async def _object(self, request: Request, bucket: str, name: str) -> Response:
        if request.method in {"GET", "HEAD"}:
            return self._get(request, bucket, name, media=request.query.get("alt") == "media")
        preconditions = Preconditions.from_query(request.query)
        if request.method == "DELETE":
            unnamed = self._store.catalog.delete(bucket, name, generation_of(request), preconditions)
            self._store.remove_files(unnamed)
            return Response(204)
        if request.method in {"PATCH", "PUT"}:
            changes = await request.document()
            fields = {key: changes[key] for key in WRITABLE if key in changes}
            found = self._store.get(bucket, name, generation_of(request))
            changed = self._store.catalog.patch(found, fields, preconditions, replace_all=request.method == "PUT")
            return json_response(changed.resource(request.base_url))
        raise StoreError(405, "methodNotAllowed", "MethodNotAllowed", "Not supported here.")

    def _get(self, request: Request, bucket: str, name: str, *, media: bool) -> Response:
        found = self._store.get(bucket, name, generation_of(request))
        Preconditions.from_query(request.query).check_read(found)
        if media:
            return media_response(self._store, request, found)
        return json_response(found.resource(request.base_url), headers={"etag": found.etag})

    def _list(self, request: Request, bucket: str) -> Response:
        query = request.query
        prefix = query.get("prefix", "")
        listing = Listing(
            bucket,
            prefix,
            query.get("delimiter", ""),
            first=max(prefix, query.get("startOffset", "")),
            beyond=min(prefix + AFTER_ALL, query.get("endOffset") or AFTER_ALL),
            versions=query.get("versions", "").lower() == "true",
            soft_deleted=query.get("softDeleted", "").lower() == "true",
        )
        if listing.versions and listing.soft_deleted:
            raise invalid("You can't specify both versions and softDeleted.")
        limit = _max_results(query.get("maxResults"))
        objects, prefixes, following = self._store.list_page(listing, _position(query.get("pageToken")), limit)
        answer: dict[str, Any] = {"kind": "storage#objects"}
        if objects:
            answer["items"] = [found.resource(request.base_url) for found in objects]
        if prefixes:
            answer["prefixes"] = prefixes
        if following is not None:
            answer["nextPageToken"] = _page_token(following)
        return json_response(answer)

    async def _copy_of(self, request: Request, source: tuple[str, str], segments: list[str]) -> Response:
        match segments:
            case ["restore"]:
                return await self._restore(request, *source)
            case ["rewriteTo" | "copyTo" as verb, "b", bucket, "o", name]:
                return await self._copy(request, source, (bucket, name), rewrite=verb == "rewriteTo")
        raise StoreError(405, "methodNotAllowed", "MethodNotAllowed", "Not supported here.")

    async def _copy(self, request: Request, source: tuple[str, str], to: tuple[str, str], *, rewrite: bool) -> Response:
        generation = request.query.get("sourceGeneration")
        found = self._store.get(*source, int(generation) if generation else None)
        Preconditions.of_source(request.query).check_write(found)
        changes = await request.document()
        attributes = {key: changes[key] for key in WRITABLE if key in changes} or found.attributes
        target = UploadTarget(*to, attributes, Preconditions.from_query(request.query))
        resource = (await self._store.copy(found, target)).resource(request.base_url)
        if not rewrite:
            return json_response(resource)
        size = str(found.content.size_bytes)
        done = {"totalBytesRewritten": size, "objectSize": size, "done": True, "resource": resource}
        return json_response({"kind": "storage#rewriteResponse", **done})

    async def _restore(self, request: Request, bucket: str, name: str) -> Response:
        generation = generation_of(request)
        if generation is None:
            raise invalid("Required parameter: generation")
        preconditions = Preconditions.from_query(request.query)
        restored = await self._store.restore(bucket, name, generation, preconditions)
        return json_response(restored.resource(request.base_url))

    async def _upload(self, request: Request, bucket: str) -> Response:
        session_id = request.query.get("upload_id")
        if session_id is not None:
            return await continue_session(self._uploads, request, session_id)
        kind = request.query.get("uploadType", "media")
        self._store.catalog.bucket(bucket)
        if kind == "resumable":
            return await self._start_session(request, bucket)
        if kind == "multipart":
            body = RelatedBody(request.headers.get("content-type", ""), request.body())
            document = await body.read_document()
            target = _target(request, bucket, document, body.media_type)
            return self._stored(request, await self._store.receive(target, body.media()))
        target = _target(request, bucket, {}, request.headers.get("content-type"))
        return self._stored(request, await self._store.receive(target, request.body()))

    async def _start_session(self, request: Request, bucket: str) -> Response:
        document = await request.document()
        target = _target(request, bucket, document, request.headers.get("x-upload-content-type"))
        announced = request.headers.get("x-upload-content-length", "")
        max_bytes = int(announced) if announced.isdecimal() else None
        session_id = self._uploads.start(replace(target, origin=request.headers.get("origin"), max_bytes=max_bytes))
        location = f"{request.base_url}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={session_id}"
        return Response(200, headers={"location": location, "x-guploader-uploadid": session_id})

    def _stored(self, request: Request, stored: StoredObject) -> Response:
        return json_response(stored.resource(request.base_url), headers={"etag": stored.etag})


async def continue_session(uploads: ResumableUploads, request: Request, session_id: str) -> Response:
    """Handle a chunk, a status query or a cancellation of an upload session."""
    if request.method == "DELETE":
        await uploads.cancel(session_id)
        return Response(499)
    if request.method not in {"PUT", "POST"}:
        raise StoreError(405, "methodNotAllowed", "MethodNotAllowed", "A session takes PUT and DELETE.")
    result = await uploads.put(session_id, request)
    if isinstance(result, StoredObject):
        return json_response(result.resource(request.base_url), headers=object_headers(result))
    headers = {"range": f"bytes=0-{result - 1}"} if result else {}
    return Response(308, headers={**headers, "x-guploader-uploadid": session_id})


def generation_of(request: Request) -> int | None:
    """Return the generation that a request names, if any."""
    text = request.query.get("generation")
    if text is not None and not text.isdigit():
        raise invalid(f"Invalid value for generation: {text}")
    return int(text) if text else None


def announced_hashes(header: str | None) -> dict[str, str]:
    """Parse an `x-goog-hash` header: `crc32c=…,md5=…`, base64 each."""
    pairs = (part.strip().partition("=") for part in (header or "").split(","))
    return {name: value for name, _, value in pairs if name in {"crc32c", "md5"}}


def _target(request: Request, bucket: str, document: dict[str, Any], media_type: str | None) -> UploadTarget:
    name = str(document.get("name") or request.query.get("name") or "")
    if not name or len(name.encode()) > 1024:
        raise invalid("Required: a name of 1 to 1024 bytes.")
    attributes = {key: document[key] for key in WRITABLE if document.get(key) is not None}
    if media_type and "contentType" not in attributes:
        attributes["contentType"] = media_type
    announced = announced_hashes(request.headers.get("x-goog-hash"))
    target = UploadTarget(bucket, name, attributes, Preconditions.from_query(request.query))
    md5 = document.get("md5Hash") or announced.get("md5") or request.headers.get("content-md5")
    return replace(target, md5=md5, crc32c=document.get("crc32c") or announced.get("crc32c"))


def _max_results(text: str | None) -> int:
    if text is None:
        return MAX_RESULTS
    if not text.isdigit() or int(text) == 0:
        raise invalid(f"Invalid value for maxResults: {text}")
    return min(int(text), MAX_RESULTS)


def _page_token(position: ListPosition) -> str:
    return base64.urlsafe_b64encode(json.dumps([position.name, position.generation]).encode()).decode()


def _position(token: str | None) -> ListPosition:
    if not token:
        return ListPosition()
    try:
        name, generation = json.loads(base64.urlsafe_b64decode(token))
        return ListPosition(str(name), int(generation))
    except (ValueError, TypeError):
        raise invalid("Invalid value for pageToken.") from None
