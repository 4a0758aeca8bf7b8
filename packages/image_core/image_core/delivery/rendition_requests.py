"""Requests to make a picture in the background: messages on the topic `renditions` that hold ids and names only.

The processor looks up everything else, so that a message that comes late or twice makes nothing outdated.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from image_core.delivery.spec import Format, Recipe
from image_core.events import EventType, OutboxEvent, Topic
from image_core.images.presets import NEWEST_ID, Preset

FULL = "full"
"""Name of the whole picture without metadata."""
FULL_HASH = hashlib.sha256(b"full/1").digest()[:16]
"""In the place of a recipe's hash."""
SOURCE = "source"
"""Name of the internal derivative of which others are made where the original is too large for that."""
SOURCE_HASH = hashlib.sha256(b"source/1").digest()[:16]
"""Another one than its recipe's, so that no address with the same transforms shows it."""
SOURCE_RECIPE = Recipe(width_px=4096, height_px=4096, quality=90)
PROCESSED_FORMAT: Format = "webp"
"""The format in which processing makes eager presets, and the only one of `source`."""

MOST_SOURCE_BYTES = 64 * 1024 * 1024
"""image-delivery reads no larger original."""
_MOST_SOURCE_PIXELS = 24_000_000
# What can be decoded at a reduced size costs little however large it is.
_SHRUNK_ON_LOAD = frozenset({"image/jpeg", "image/webp"})


def needs_source(content_type: str, size_bytes: int, width_px: int, height_px: int) -> bool:
    """Tell whether pictures of an original take so long to make that they are made of a smaller one."""
    has_many_pixels = width_px * height_px > _MOST_SOURCE_PIXELS and content_type not in _SHRUNK_ON_LOAD
    return has_many_pixels or size_bytes > MOST_SOURCE_BYTES


def rendition_request(
    image_id: UUID, team_id: UUID, generation: int, spec: str, extension: Format, trace_parent: str | None = None
) -> OutboxEvent:
    """Build a request to make one picture of an image that is ready.

    Args:
        image_id: the image.
        team_id: its team.
        generation: of its original; a request for any other one is ignored.
        spec: the name of a preset of the team, without hash: the recipe is the one that it has when it is made. Or
            `full` or `source`.
        extension: the format.
        trace_parent: of the trace to continue.
    """
    payload = {"generation": str(generation), "spec": spec, "format": extension}
    return OutboxEvent(Topic.RENDITIONS, EventType.RENDER, payload, team_id, image_id, trace_parent)


def discard_request(team_id: UUID, preset: str, removed_at: datetime, before: UUID = NEWEST_ID) -> OutboxEvent:
    """Build the request to discard what was made of a preset that was removed, beginning with the newest images.

    Args:
        team_id: the preset's team.
        preset: its name.
        removed_at: what was made later belongs to another preset of this name.
        before: images with smaller ids remain.
    """
    payload = {"preset": preset, "removed_at": removed_at.isoformat(), "before": str(before)}
    return OutboxEvent(Topic.RENDITIONS, EventType.DISCARD_PRESET, payload, team_id)


def eager_requests(
    image_id: UUID, team_id: UUID, generation: int, presets: Iterable[Preset], trace_parent: str | None = None
) -> list[OutboxEvent]:
    """Build the requests for what eager presets list beside WebP, which processing makes.

    They are to be recorded in the transaction that makes the image ready, or that changes the presets.
    """
    return [
        rendition_request(image_id, team_id, generation, preset.name, extension, trace_parent)
        for preset in presets
        if preset.is_eager
        for extension in preset.formats
        if extension != PROCESSED_FORMAT
    ]
