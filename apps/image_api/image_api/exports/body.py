"""How the lines of a manifest are shown."""

from typing import Any

from image_api.exports.images import why_not_exported
from image_api.images.body import file_body, listed_body, metadata_body
from image_api.images.columns import tag_of
from image_api.images.delivery import AddressSigner, expires_at
from image_core.db import Record

_FILE = "original.file"


def manifest_line(row: Record, signer: AddressSigner, expiry_minutes: int) -> dict[str, Any]:
    """Return the line of an image, with the address of its original, or with the reason why it has none."""
    line = {"position": row["position"], "image_id": str(row["image_id"])}
    code, detail, tag = row["code"], row["detail"], tag_of(row)
    error = why_not_exported(row) if code is None else None
    if error is not None:
        code, detail = error.code, error.detail
    if code is not None or tag is None:
        return {**line, "url": None, "expires_at": None, "image": None, "code": code, "detail": detail}
    url = signer.exact(row["id"], tag, _FILE, expiry_minutes)
    shown = {**listed_body(row), **file_body(row), **metadata_body(row)}
    return {**line, "url": url, "expires_at": expires_at(expiry_minutes), "image": shown, "code": None, "detail": None}
