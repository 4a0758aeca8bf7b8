"""The events of failed images, shared by everything that can end one."""

from uuid import UUID

from image_core import events
from image_core.db import Record, Transaction
from image_core.events import EventType
from image_core.images.transitions import EXHAUSTED
from image_core.models import image
from image_core.states import ImageStatus
from image_core.telemetry import log

COLUMNS = (image.c.id, image.c.team_id, image.c.status, image.c.trace_parent)
"""The columns that `record_exhausted` needs."""


async def record_exhausted(transaction: Transaction, row: Record) -> None:
    """Record the failure of an image that has no attempts left."""
    await record_failure(transaction, row["id"], row["team_id"], row["status"], EXHAUSTED.code, row["trace_parent"])


async def record_failure(
    transaction: Transaction, image_id: UUID, team_id: UUID, status: str, code: str, trace_parent: str | None
) -> None:
    """Record the failure of an image; if the image is still ready from an earlier run, only log it."""
    if status == ImageStatus.READY:
        log("reprocessing_failed", severity="WARNING", image_id=str(image_id), team_id=str(team_id), code=code)
        return
    log("image_failed", image_id=str(image_id), team_id=str(team_id), code=code)
    event = events.image_event(EventType.FAILED, image_id, team_id, {"code": code}, trace_parent)
    await events.record(transaction, event)
