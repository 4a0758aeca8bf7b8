"""The endpoint to which Pub/Sub pushes what its subscriptions have given up."""

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from image_api.dead_letters import messages, queries
from image_api.tasks.intake import LATER, read_envelope
from image_api.tasks.parts import TaskParts
from image_core import errors
from image_core.ids import new_id
from image_core.telemetry import log

router = APIRouter()


@router.post("/push/dead-letters")
async def push_dead_letter(request: Request, authorization: Annotated[str | None, Header()] = None) -> Response:
    """Store a dead letter, and acknowledge it. One that is pushed again changes nothing."""
    envelope = await read_envelope(request, authorization)
    if isinstance(envelope, Response):
        return envelope
    parts: TaskParts = request.app.state.parts
    letter = messages.read(envelope.message)
    try:
        is_new = await queries.store(parts.database, {"id": new_id(), **letter})
    except errors.Unavailable:
        return Response(status_code=503, headers=LATER)
    if is_new:
        log(
            "dead_letter_stored", severity="ERROR", subscription=letter["subscription"], work_key=letter["work_key"],
            attempts=letter["attempts"], is_kept=letter["data"] is not None,
        )  # fmt: skip
    return Response(status_code=204)
