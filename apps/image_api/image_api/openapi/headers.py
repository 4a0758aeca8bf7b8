"""Response headers, as the OpenAPI document declares them."""

from typing import Any

_TEXT = {"type": "string"}


def _header(description: str, schema: dict[str, Any] = _TEXT, *, always: bool = False) -> dict[str, Any]:
    """Return the declaration of a header; `always` means that every response that declares it has it."""
    return {"description": description, "schema": schema} | ({"required": True} if always else {})


HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": _header(
        "ID of this request in the service's logs. Quote it when you report a problem.", always=True
    ),
    "RateLimit-Policy": _header(
        'Rate limit that applies to this request: `"requests";q=100;w=2` allows 100 requests in 2 seconds.'
    ),
    "RateLimit": _header(
        'Remaining quota: `"requests";r=99;t=1` leaves 99 requests now, and all of them again in 1 second.'
    ),
    "Retry-After": _header(
        "Number of seconds to wait before the request is sent again.", {"type": "integer", "minimum": 0}
    ),
    "WWW-Authenticate": _header("Authentication schemes that the service accepts.", always=True),
    "ETag": _header("Revision of the returned resource, for `If-Match` or `If-None-Match`.", always=True),
    "Location": _header(
        "URL of the result, also while it is not ready yet.", _TEXT | {"format": "uri-reference"}, always=True
    ),
    "Accept-Ranges": _header("`bytes`: range requests are supported.", always=True),
    "Content-Range": _header(
        "Range of the returned bytes and total size. In a 416 response, only the total size.", always=True
    ),
    "Content-Disposition": _header("Filename for downloads, as `filename` and `filename*` (RFC 6266).", always=True),
    "Set-Cookie": _header("Session cookie. Signing out sets an empty one, which removes it."),
    "Idempotency-Replayed": _header(
        "`true` if this is the stored response of an earlier request with the same `Idempotency-Key`."
    ),
}
_WITH_ETAG = {
    "changeSavedSearch", "getSavedSearch", "createSavedSearch",
    "changeWebhook", "createWebhook", "getWebhook", "rotateWebhookSecret",
    "changeShareLink", "createShareLink", "getShareLink", "rotateShareLink",
    "addCollectionImages", "changeCollection", "createCollection", "getCollection", "orderCollectionImages",
    "removeCollectionImages",
    "changeCredential", "changeImage", "changeTeam", "changeUser", "createTeam", "getCredential", "getImage",
    "getMetadataSchema", "getPreset", "getTeam", "getUser", "importImage", "putMetadataSchema",
    "putPreset", "reprocessImage", "restoreImage",
    "revokeAddresses", "uploadImage", "uploadImageShort",
}  # fmt: skip
_BYTES = {"getImageContent", "getDerivative"}
_OF_BYTES = {
    "200": ("Accept-Ranges", "Content-Disposition", "ETag"),
    "206": ("Accept-Ranges", "Content-Disposition", "Content-Range", "ETag"),
    "304": ("Accept-Ranges", "Content-Disposition", "ETag"),
    "416": ("Content-Range",),
}
_OF_STATUS = {"401": ("WWW-Authenticate",), "429": ("Retry-After",), "503": ("Retry-After",)}
_OTHERS = {
    ("changeImages", "202"): ("Location",),
    ("createSavedSearch", "201"): ("Location",),
    ("createShareLink", "201"): ("Location",),
    ("createWebhook", "201"): ("Location",),
    ("createCollection", "201"): ("Location",),
    ("importImage", "201"): ("Location",),
    ("uploadImage", "201"): ("Location",),
    ("uploadImageShort", "201"): ("Location",),
    ("analyzeImage", "202"): ("Location", "Retry-After"),
    ("classifyImage", "202"): ("Location", "Retry-After"),
    ("openUpload", "200"): ("ETag",),
    ("openUpload", "201"): ("Location",),
    ("signIn", "200"): ("Set-Cookie",),
    ("signOut", "204"): ("Set-Cookie",),
}
# Platform probes are not counted.
_UNCOUNTED = {"getLiveness", "getReadiness"}


def declare_headers(operation: dict[str, Any]) -> None:
    """Declare the headers of each response of an operation."""
    for status, response in operation["responses"].items():
        declared = response.setdefault("headers", {})
        for name in _names(operation["operationId"], status):
            declared.setdefault(name, {"$ref": f"#/components/headers/{name}"})


def _names(operation_id: str, status: str) -> list[str]:
    names = ["X-Request-ID", *_OF_STATUS.get(status, ()), *_OTHERS.get((operation_id, status), ())]
    if operation_id not in _UNCOUNTED:
        names += ["RateLimit-Policy", "RateLimit"]
    if operation_id in _BYTES:
        names += _OF_BYTES.get(status, ())
    if operation_id in _WITH_ETAG and status in ("200", "201"):
        names.append("ETag")
    return names
