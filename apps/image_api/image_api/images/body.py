"""An image as callers see it: the JSON that becomes of its columns."""

from typing import Any
from uuid import UUID

import orjson
from starlette.responses import Response

from image_api.http.entity_tags import entity_tag
from image_api.images.columns import API_PREFIX
from image_core.db import Record


def human_size(size_bytes: int) -> str:
    """Bytes as people read them, in binary units: `1.45 MiB`."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    size, unit = size_bytes / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.2f} {unit}"


def image_body(row: Record) -> dict[str, Any]:
    """The body of one image. JSON columns are passed through as PostgreSQL wrote them."""
    size_bytes, sha256, duplicate_of, uploaded_by = (
        row["size_bytes"], row["sha256"], row["duplicate_of"], row["uploaded_by"],
    )  # fmt: skip
    failure_code = row["failure_code"]
    return {
        "id": str(row["id"]),
        "team_id": str(row["team_id"]),
        "uploaded_by": None if uploaded_by is None else str(uploaded_by),
        "status": row["status"],
        "failure": None if failure_code is None else {"code": failure_code, "message": row["failure_message"]},
        "duplicate_of": None if duplicate_of is None else str(duplicate_of),
        "filename": row["filename"],
        "content_type": row["content_type"],
        "format": row["format"],
        "size_bytes": size_bytes,
        "size": None if size_bytes is None else human_size(size_bytes),
        "sha256": None if sha256 is None else sha256.hex(),
        "width": row["width"],
        "height": row["height"],
        "frames": row["frames"],
        "facts": orjson.Fragment(row["facts"]),
        "tags": row["tags"],
        "metadata": orjson.Fragment(row["metadata"]),
        # Those of an image in the trash are not served.
        "derivatives": orjson.Fragment("[]" if row["deleted_at"] else row["derivatives"] or "[]"),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "ready_at": row["ready_at"],
        "deleted_at": row["deleted_at"],
    }


def analysis_body(row: Record, image_id: UUID | None) -> dict[str, Any]:
    """The body of one analysis. A result's keys are in the order in which analyzers write them down."""
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
    """A JSON answer, without a model's detour: these bodies are built field by field above."""
    return Response(orjson.dumps(body, option=orjson.OPT_UTC_Z), status, headers, "application/json")


def image_response(row: Record, status: int = 200, **extra: Any) -> Response:
    """One image, with its ETag."""
    headers = {"etag": entity_tag(row["revision"])}
    if status == 201:
        headers["location"] = f"{API_PREFIX}/images/{row['id']}"
    return json_response({**image_body(row), **extra}, status, headers)
