"""Build the bodies of images from their rows. URLs are added here; queries and services do not know them."""

from typing import Any
from uuid import UUID

import orjson
from starlette.responses import Response

from image_api.http.entity_tags import entity_tag
from image_api.http.paths import API_PREFIX
from image_api.images.columns import tag_of
from image_core.db import Record
from image_core.delivery.spec import THOUSANDTHS
from image_core.storage.sizes import format_size

_URL_KEY = '"url" : "'
"""How `json_build_object` writes the key `url` and the quote that opens its value."""


def listed_body(row: Record) -> dict[str, Any]:
    """Build the body of an image within a list, without what callers can have included."""
    uploaded_by, size_bytes, failure_code = row["uploaded_by"], row["size_bytes"], row["failure_code"]
    return {
        "id": str(row["id"]),
        "team_id": str(row["team_id"]),
        "uploaded_by": None if uploaded_by is None else str(uploaded_by),
        "status": row["status"],
        "failure": None if failure_code is None else {"code": failure_code, "message": row["failure_message"]},
        "filename": row["filename"],
        "content_type": row["content_type"],
        "size_bytes": size_bytes,
        "size": None if size_bytes is None else format_size(size_bytes),
        "width": row["width"],
        "height": row["height"],
        "frames": row["frames"],
        "tags": row["tags"],
        "description": row["description"],
        "alt_text": _alt_text(row),
        "rating": row["rating"],
        "focal_point": _focal_point(row),
        "visibility": row["visibility"],
        "placeholder": row["placeholder"],
        "taken_at": row["taken_at"],
        "taken_at_source": row["taken_at_source"] if row["taken_at"] else None,
        "taken_local": row["taken_local"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "deleted_at": row["deleted_at"],
    }


def _alt_text(row: Record) -> dict[str, str] | None:
    text = row["alt_text"]
    return None if text is None else {"text": text, "language": row["alt_text_language"]}


def _focal_point(row: Record) -> dict[str, float] | None:
    x, y = row["focal_x"], row["focal_y"]
    return None if x is None else {"x": x / THOUSANDTHS, "y": y / THOUSANDTHS}


def file_body(row: Record) -> dict[str, Any]:
    """Build the part of an image's body that describes its file. Facts are passed through as PostgreSQL wrote them."""
    sha256, duplicate_of = row["sha256"], row["duplicate_of"]
    return {
        "format": row["format"],
        "sha256": None if sha256 is None else sha256.hex(),
        "duplicate_of": None if duplicate_of is None else str(duplicate_of),
        "ready_at": row["ready_at"],
        "facts": orjson.Fragment(row["facts"]),
    }


def metadata_body(row: Record) -> dict[str, Any]:
    """Build the part of an image's body with its metadata, as PostgreSQL wrote them."""
    return {"metadata": orjson.Fragment(row["metadata"])}


def derivative_body(row: Record, base_url: str) -> dict[str, Any]:
    """Build the body of one derivative from a row."""
    spec_hash = row["spec_hash"]
    return {
        "preset": row["preset"],
        "url": f"{base_url}{API_PREFIX}/images/{row['image_id']}/derivatives/{row['preset']}",
        "width": row["width"],
        "height": row["height"],
        "size_bytes": row["size_bytes"],
        "content_type": row["content_type"],
        "spec_hash": None if spec_hash is None else spec_hash.hex(),
    }


def image_body(row: Record, base_url: str) -> dict[str, Any]:
    """Build the whole body of one image."""
    # URLs are inserted into PostgreSQL's JSON without parsing it.
    url = f"{_URL_KEY}{base_url}{API_PREFIX}/images/{row['id']}/derivatives/"
    # The derivatives of an image in the trash are not served.
    derivatives = None if row["deleted_at"] else row["derivatives"]
    return {
        **listed_body(row),
        **file_body(row),
        **metadata_body(row),
        "derivatives": orjson.Fragment((derivatives or "[]").replace(_URL_KEY, url)),
        "delivery_tag": tag_of(row),
    }


def thumbnail_url(base_url: str, image_id: UUID) -> str:
    """Return the URL of an image's smallest derivative."""
    return f"{base_url}{API_PREFIX}/images/{image_id}/derivatives/thumb"


def summary_body(row: Record, base_url: str) -> dict[str, Any]:
    """Build the short body of an image within a list."""
    return {
        "id": row["id"],
        "filename": row["filename"],
        "content_type": row["content_type"],
        "size_bytes": row["size_bytes"],
        "width": row["width"],
        "height": row["height"],
        "created_at": row["created_at"],
        "thumbnail_url": thumbnail_url(base_url, row["id"]) if row["has_thumbnail"] else None,
    }


def analysis_body(row: Record, image_id: UUID | None) -> dict[str, Any]:
    """Build the body of one analysis. A result's keys keep the order in which analyzers write them."""
    failure = {"code": row["failure_code"], "message": row["failure_message"]}
    return {
        "analysis_id": str(row["id"]),
        "status": row["status"],
        "image_id": None if image_id is None else str(image_id),
        "analyzer": row["analyzer"],
        "version": row["version"],
        "parameters": orjson.loads(row["parameters"]),
        "sha256": row["sha256"].hex(),
        "requested_at": row["created_at"],
        "analyzed_at": row["analyzed_at"],
        "failure": None if row["failure_code"] is None else failure,
        "result": None if row["result"] is None else orjson.loads(row["result"]),
    }


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response without a pydantic model: these bodies are built field by field above."""
    return Response(orjson.dumps(body, option=orjson.OPT_UTC_Z), status, headers, "application/json")


def image_response(row: Record, base_url: str, status: int = 200, *, storable: bool = True, **extra: Any) -> Response:
    """Return a response with one image and its ETag. `storable` is false if it contains signed addresses."""
    headers = {"etag": entity_tag(row["revision"])} | ({} if storable else {"cache-control": "no-store"})
    if status == 201:
        headers["location"] = f"{API_PREFIX}/images/{row['id']}"
    return json_response({**image_body(row, base_url), **extra}, status, headers)
