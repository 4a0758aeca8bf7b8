"""Nudges: messages that have `image-tasks` run one of its steps now instead of at its next tick.

A nudge may get lost or come twice: the tick runs every step, and two runs of a step at once are one.
"""

import base64
import binascii

import orjson

from image_core import events
from image_core.db import Transaction
from image_core.events import EventType, OutboxEvent, Topic
from image_core.intake.envelope import PushMessage


async def nudge(transaction: Transaction, kind: str) -> None:
    """Have the step of this name run once the transaction has committed."""
    await events.record(transaction, OutboxEvent(Topic.TASKS, EventType.NUDGED, {"kind": kind}))


def nudged_kind(message: PushMessage) -> str | None:
    """Return the name of the step that a message asks for; None if none of our services sends such a message."""
    try:
        kind = orjson.loads(base64.b64decode(message.data, validate=True))["data"]["kind"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None
    return kind if isinstance(kind, str) else None
