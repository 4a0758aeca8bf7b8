"""What was made of a preset that was removed is discarded, some images a message."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import insert, select

from image_core import testing
from image_core.delivery.rendition_requests import discard_request
from image_core.events import EventType, OutboxEvent
from image_core.ids import new_id
from image_core.models import derivative, event, rendition
from image_processor.renditions import discarding

from ..conftest import Processor

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=1)


def message(request: OutboxEvent, **changes: Any) -> dict[str, Any]:
    sent = request.message()
    body = orjson.loads(sent.data)
    body["data"] |= changes
    return {"data": base64.b64encode(orjson.dumps(body)).decode(), "attributes": sent.attributes, "messageId": "1"}


async def push(processor: Processor, request: OutboxEvent, **changes: Any) -> int:
    return await processor.push(message(request, **changes), path="renditions")


async def add(processor: Processor, image_id: UUID, team_id: UUID, name: str = "card", **columns: Any) -> set[str]:
    """A derivative and a rendition of a preset; returns the names of their objects."""
    names = {f"derivatives/{image_id}/{name}.{extension}" for extension in ("webp", "avif")}
    await testing.add_derivative(processor.rows, image_id, f"derivatives/{image_id}/{name}.webp", name, **columns)
    values = {
        "id": new_id(), "team_id": team_id, "image_id": image_id, "generation": 1, "spec_hash": new_id().bytes,
        "format": "avif", "preset": name, "object_name": f"derivatives/{image_id}/{name}.avif", "width": 1,
        "height": 1, "frames": 1, "size_bytes": 9, "sha256": bytes(32), "eager": True,
    }  # fmt: skip
    await processor.rows.execute(insert(rendition).values(values | columns))
    return names


async def left(processor: Processor) -> set[str]:
    return {
        row["object_name"] for table in (derivative, rendition) for row in await processor.rows.fetch(select(table))
    }


async def test_rows_go_and_objects_follow(processor: Processor) -> None:
    team_id, other_team_id = [await testing.add_team(processor.rows) for _ in range(2)]
    image_id = await testing.add_image(processor.rows, team_id)
    trashed = await testing.add_image(processor.rows, team_id, deleted_at=NOW)
    foreign = await testing.add_image(processor.rows, other_team_id)
    gone = await add(processor, image_id, team_id) | await add(processor, trashed, team_id)
    kept = await add(processor, image_id, team_id, "other") | await add(processor, foreign, other_team_id)
    assert await push(processor, discard_request(team_id, "card", LATER)) == 204
    assert await left(processor) == kept
    assert {name for name, _ in await processor.discarded()} == gone
    # A message that comes twice finds nothing.
    assert await push(processor, discard_request(team_id, "card", LATER)) == 204
    assert len(await processor.discarded()) == len(gone)


async def test_pictures_of_a_new_preset_of_the_same_name_stay(processor: Processor) -> None:
    team_id = await testing.add_team(processor.rows)
    old, new = [await testing.add_image(processor.rows, team_id) for _ in range(2)]
    await add(processor, old, team_id, created_at=NOW - timedelta(seconds=1))
    kept = await add(processor, new, team_id, created_at=NOW + timedelta(seconds=1))
    assert await push(processor, discard_request(team_id, "card", NOW)) == 204
    assert await left(processor) == kept


async def test_one_message_takes_some_images_and_requests_the_next(
    processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    team_id = await testing.add_team(processor.rows)
    images = sorted([await testing.add_image(processor.rows, team_id) for _ in range(3)], reverse=True)
    names = [await add(processor, image_id, team_id) for image_id in images]
    monkeypatch.setattr(discarding, "BATCH", 2)
    assert await push(processor, discard_request(team_id, "card", LATER)) == 204
    assert await left(processor) == names[2]
    (following,) = await processor.rows.fetch(select(event).where(event.c.type == EventType.DISCARD_PRESET))
    payload = orjson.loads(following["payload"])
    assert (following["team_id"], payload["preset"], payload["before"]) == (team_id, "card", str(images[1]))
    assert datetime.fromisoformat(payload["removed_at"]) == LATER
    request = discard_request(team_id, "card", LATER, UUID(payload["before"]))
    assert await push(processor, request) == 204
    assert await left(processor) == set()
    assert len(await processor.rows.fetch(select(event).where(event.c.type == EventType.DISCARD_PRESET))) == 1


@pytest.mark.parametrize(
    "changes", [{"preset": "source"}, {"preset": "t-w1"}, {"preset": 1}, {"removed_at": "2026-01-01T00:00:00"},
                {"removed_at": "soon"}, {"before": "x"}],
)  # fmt: skip
async def test_what_names_no_preset_becomes_a_dead_letter(processor: Processor, changes: dict[str, Any]) -> None:
    assert await push(processor, discard_request(new_id(), "card", LATER), **changes) == 400
