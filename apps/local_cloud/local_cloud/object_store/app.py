"""The object store as an ASGI application."""

import sqlite3

from image_core.telemetry import log_unexpected
from local_cloud.object_store.api.cors import CrossOrigin, is_session
from local_cloud.object_store.api.http import Receive, Request, Response, Scope, Send
from local_cloud.object_store.api.json_api import JsonApi
from local_cloud.object_store.api.xml_api import XmlApi
from local_cloud.object_store.errors import ClientGoneError, StoreError
from local_cloud.object_store.resumable import ResumableUploads
from local_cloud.object_store.signing import Signer, is_signed, verify
from local_cloud.object_store.store import ObjectStore

_JSON_PREFIXES = ("/storage/v1/", "/upload/storage/v1/", "/download/storage/v1/")


class ObjectStoreApp:
    """Serves the JSON API without credentials, like other emulators, and the XML API with a valid signature only."""

    def __init__(
        self, store: ObjectStore, signer: Signer | None = None, cross_origin: CrossOrigin | None = None
    ) -> None:
        self._uploads = uploads = ResumableUploads(store)
        self._cross_origin = cross_origin or CrossOrigin()
        self._signer = signer
        self._json = JsonApi(store, uploads)
        self._xml = XmlApi(store, uploads, signer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        session_origin = self._uploads.origin(request.query["upload_id"]) if is_session(request) else None
        try:
            response = await self._answer(request, session_origin)
        except ClientGoneError:
            return
        response = self._cross_origin.allow(request, response, session_origin)
        await response.send(send, head=request.method == "HEAD")

    async def _answer(self, request: Request, session_origin: str | None) -> Response:
        speaks_json = request.path.startswith(_JSON_PREFIXES)
        if request.method == "OPTIONS":
            return self._cross_origin.preflight(request, session_origin)
        try:
            if is_session(request):
                self._cross_origin.check_session(request, session_origin)
            if speaks_json:
                if is_signed(request):
                    verify(request, self._signer)
                return await self._json.answer(request)
            return await self._xml.answer(request)
        except StoreError as error:
            return _refusal(error, speaks_json=speaks_json)
        except (OSError, sqlite3.Error) as error:
            # A full disk, for example: the client may retry, and nothing of this upload is left.
            log_unexpected(error)
            message = f"The disk does not take it: {error}"
            return _refusal(StoreError(503, "backendError", "ServiceUnavailable", message), speaks_json=speaks_json)


def _refusal(error: StoreError, *, speaks_json: bool) -> Response:
    if error.status == 304:
        return Response(304)
    if speaks_json:
        return Response(error.status, error.as_json())
    return Response(error.status, error.as_xml(), content_type="application/xml; charset=UTF-8")
