"""What is told of an image that failed, by whoever ended it."""

from uuid import UUID

from image_core import events
from image_core.db import Record, Transaction
from image_core.events import EventType
from image_core.images.transitions import EXHAUSTED
from image_core.models import image
from image_core.states import ImageStatus
from image_core.telemetry import log

COLUMNS = (image.c.id, image.c.team_id, image.c.status, image.c.trace_parent)
"""What `record_exhausted` reads."""


async def record_exhausted(transaction: Transaction, row: Record) -> None:
    """Record the event of an image that has no attempt left."""
    await record_failure(transaction, row["id"], row["team_id"], row["status"], EXHAUSTED.code, row["trace_parent"])


async def record_failure(
    transaction: Transaction, image_id: UUID, team_id: UUID, status: str, code: str, trace_parent: str | None
) -> None:
    """Record the event of a failure; one of an image that is ready as before is only logged."""
    if status == ImageStatus.READY:
        log("reprocessing_failed", severity="WARNING", image_id=str(image_id), team_id=str(team_id), code=code)
        return
    log("image_failed", image_id=str(image_id), team_id=str(team_id), code=code)
    event = events.image_event(EventType.FAILED, image_id, team_id, {"code": code}, trace_parent)
    await events.record(transaction, event)
