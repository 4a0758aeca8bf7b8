"""CORS as in Cloud Storage: a page of another origin may upload to a session that was opened for it.

Source: https://cloud.google.com/storage/docs/cross-origin and
https://cloud.google.com/storage/docs/performing-resumable-uploads#initiate-session (the origin of a session).
"""

from collections.abc import Collection

from local_cloud.object_store.api.http import Request, Response
from local_cloud.object_store.errors import forbidden

SESSION_METHODS = "PUT, POST, DELETE, OPTIONS"
# The same values as in the bucket's Terraform configuration.
BUCKET_METHODS = "PUT, POST, OPTIONS"
BUCKET_HEADERS = (
    "Content-Type, Content-Range, Location, Range, X-Goog-Content-Length-Range, X-Goog-If-Generation-Match,"
    " X-Goog-Resumable"
)
SESSION_HEADERS = "Content-Length, Content-Type, Location, Range, X-Goog-Generation, X-Goog-Hash, X-GUploader-UploadID"
MAX_AGE_SECONDS = 3600
_UPLOAD_PREFIX = "/upload/storage/v1/"
_OTHER_API_PREFIXES = ("/storage/v1/", "/download/storage/v1/")


def is_foreign_page(request: Request) -> bool:
    """Return whether a page of another origin has sent this request."""
    if request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
        return True
    origin = request.headers.get("origin")
    return origin is not None and origin.partition("://")[2] != request.headers.get("host")


def is_session(request: Request) -> bool:
    """Return whether the path is that of an upload session."""
    return "upload_id" in request.query and not request.path.startswith(_OTHER_API_PREFIXES)


def starts_session(request: Request) -> bool:
    """Return whether a server opens a session; a page's own request would declare itself."""
    return (
        request.method == "POST"
        and request.path.startswith(_UPLOAD_PREFIX)
        and request.query.get("uploadType") == "resumable"
        and "sec-fetch-site" not in request.headers
    )


class CrossOrigin:
    """The CORS rules of one store."""

    def __init__(self, bucket: str | None = None, origins: Collection[str] = ()) -> None:
        """Set the bucket that accepts direct uploads by pages, and the origins of these pages."""
        self._bucket = bucket
        self._origins = frozenset(origins)

    def check_session(self, request: Request, origin: str | None) -> None:
        """Check that a page uses a session that was opened for it.

        Raises:
            StoreError: The request is a page's, and the session has another origin, or none.
        """
        if is_foreign_page(request) and (origin is None or request.headers.get("origin") != origin):
            raise forbidden("AccessDenied", "This upload session was opened for another origin.")

    def allow(self, request: Request, response: Response, session_origin: str | None) -> Response:
        """Add headers that let the page read the response, if it may."""
        origin = request.headers.get("origin")
        if origin is None:
            return response
        if origin == session_origin:
            shown = SESSION_HEADERS
        elif self._allows(request, origin):
            shown = BUCKET_HEADERS
        else:
            return response
        response.headers |= {
            "access-control-allow-origin": origin,
            "access-control-expose-headers": shown,
            "vary": "Origin",
        }
        return response

    def preflight(self, request: Request, session_origin: str | None) -> Response:
        """Answer a browser's preflight request."""
        is_session_page = request.headers.get("origin") == session_origin is not None
        headers = {
            "access-control-allow-methods": SESSION_METHODS if is_session_page else BUCKET_METHODS,
            "access-control-max-age": str(MAX_AGE_SECONDS),
        }
        wanted = request.headers.get("access-control-request-headers")
        if wanted:
            headers["access-control-allow-headers"] = wanted if is_session_page else BUCKET_HEADERS
        if request.headers.get("access-control-request-private-network") == "true":
            headers["access-control-allow-private-network"] = "true"
        answer = self.allow(request, Response(200, content_type="text/html; charset=UTF-8"), session_origin)
        if "access-control-allow-origin" in answer.headers:
            answer.headers |= headers
        return answer

    def _allows(self, request: Request, origin: str) -> bool:
        # The rules of the bucket do not apply to a session, which has an origin of its own.
        in_bucket = self._bucket is not None and request.segments[0] == self._bucket and not is_session(request)
        return in_bucket and origin in self._origins
