"""How operations and their failures are shown."""

from typing import Any

import orjson

from image_core.db import Record
from image_core.states import OperationStatus


def operation_body(row: Record) -> dict[str, Any]:
    """Return the body of an operation."""
    is_known = row["status"] != OperationStatus.ESTIMATING
    total = row["total"] if is_known else None
    code = row["failure_code"]
    return {
        "id": row["id"],
        "team_id": row["team_id"],
        "kind": row["kind"],
        "status": row["status"],
        # Names with an underscore are the kind's own.
        "parameters": {k: v for k, v in orjson.loads(row["parameters"]).items() if not k.startswith("_")},
        "total": total,
        "done": row["done"],
        "failed": row["failed"],
        "left": None if total is None else max(0, total - row["done"] - row["failed"]),
        "estimate": {
            "items": row["total"],
            "bytes": row["size_bytes"],
            "credits": row["estimated_credits"],
            "minutes": row["estimated_minutes"],
        },
        "budget": row["budget_credits"],
        "credits_spent": row["spent_credits"],
        "failure": None if code is None else {"code": code, "detail": row["failure_message"]},
        "created_by": row["user_id"],
        "created_at": row["created_at"],
        "started_at": row["started_at"],
        "finished_at": row["finished_at"],
    }


def failure_line(row: Record) -> dict[str, Any]:
    """Return the line of a failed item."""
    image_id = None if row["image_id"] is None else str(row["image_id"])
    return {"position": row["position"], "image_id": image_id, "code": row["code"], "detail": row["detail"]}
