"""The events of failed images, shared by everything that can end one."""

from typing import Any

from image_core import events
from image_core.db import Record, Transaction
from image_core.events import EventType
from image_core.images.transitions import EXHAUSTED
from image_core.models import image
from image_core.states import ImageStatus
from image_core.telemetry import log

COLUMNS = (image.c.id, image.c.team_id, image.c.status, image.c.revision, image.c.trace_parent)
"""The columns that `record_failure` needs."""


async def record_exhausted(transaction: Transaction, row: Record) -> None:
    """Record the failure of an image that has no attempts left."""
    await record_failure(transaction, row, EXHAUSTED.code)


async def record_failure(transaction: Transaction, row: Record, code: str) -> None:
    """Record the failure of an image; one that is ready from an earlier run has only changed its status."""
    about: dict[str, Any] = {"image_id": str(row["id"]), "team_id": str(row["team_id"]), "code": code}
    payload: dict[str, Any]
    if row["status"] == ImageStatus.READY:
        log("reprocessing_failed", severity="WARNING", **about)
        kind, payload = EventType.IMAGE_CHANGED, {"changed": ["status"], "status": ImageStatus.READY}
    else:
        log("image_failed", **about)
        kind, payload = EventType.FAILED, {"code": code}
    event = events.image_event(kind, row["id"], row["team_id"], row["revision"], payload, row["trace_parent"])
    await events.record(transaction, event)
