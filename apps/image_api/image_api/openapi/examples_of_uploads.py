"""Examples of bodies about files that are uploaded, by the name of the schema."""

from typing import Any

_IMAGE_ID = "0199c0de-0000-7000-8000-000000000004"
_TIME = "2026-03-01T09:30:00Z"

UPLOADS: dict[str, dict[str, Any]] = {
    "OpenedUpload": {
        "upload_id": _IMAGE_ID,
        "image_id": _IMAGE_ID,
        "state": "open",
        "expires_at": _TIME,
        "url": "https://storage.googleapis.com/upload/storage/v1/b/originals/o?uploadType=resumable&upload_id=…",
        "method": "PUT",
        "headers": {"Content-Type": "image/tiff"},
        "chunk_multiple": 262144,
        "curl": "curl -X PUT -H 'Content-Type: image/tiff' --upload-file fjord.tif 'https://storage.googleapis.com/…'",
    },
    "Upload": {
        "upload_id": _IMAGE_ID,
        "image_id": _IMAGE_ID,
        "state": "open",
        "status": "pending",
        "size_bytes": 94371840,
        "received_bytes": 16777216,
        "expires_at": _TIME,
        "failure": None,
    },
    "CreatedUploadToken": {
        "upload_token_id": _IMAGE_ID,
        "token": "<the token, shown this once>",
        "expires_at": _TIME,
        "max_uploads": 10,
        "max_bytes": 209715200,
    },
    "CheckedHashes": {
        "items": [
            {"sha256": "9f86d081" * 8, "state": "present", "image_id": _IMAGE_ID, "status": "ready", "purged_at": None}
        ]
    },
}
