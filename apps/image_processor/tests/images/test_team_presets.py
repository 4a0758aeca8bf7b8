"""Processing makes the eager presets of the image's team, as they are at the claim."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import delete, insert, select, update

from image_core import testing
from image_core.delivery.spec import Recipe
from image_core.events import EventType
from image_core.ids import new_id
from image_core.images.presets import BUILT_IN, lock_presets
from image_core.models import derivative, event, preset, rendition
from image_engine.contract.answers import Derivative
from image_engine.contract.presets import DEFAULT_PRESETS, Preset
from image_engine.testing.results import PROCESSED
from image_processor.images import job

from ..conftest import Processor

CARD = {"width": 640, "height": 480, "fit": "cover", "gravity": "fo", "eager": True}
CENTERED = Recipe(640, 480, "cover", "ce")


async def put(processor: Processor, team_id: UUID, name: str, **columns: Any) -> None:
    await processor.rows.execute(insert(preset).values(team_id=team_id, name=name, **columns))


async def add_rendition(processor: Processor, team_id: UUID, image_id: UUID) -> str:
    name = f"derivatives/{team_id}/{image_id}/1-{new_id()}/a.avif"
    values = {
        "id": new_id(), "team_id": team_id, "image_id": image_id, "generation": 1, "spec_hash": bytes(16),
        "format": "avif", "object_name": name, "width": 1, "height": 1, "frames": 1, "size_bytes": 9,
        "sha256": bytes(32),
    }  # fmt: skip
    await processor.rows.execute(insert(rendition).values(values))
    return name


def makes(processor: Processor, *names: str) -> None:
    made = tuple(Derivative(name, 40, 30, 1, name.encode()) for name in names)
    processor.pool.processed = replace(PROCESSED, derivatives=made)


async def test_a_teams_own_eager_presets_are_made_and_recorded_with_their_hash(processor: Processor) -> None:
    team_id = await testing.add_team(processor.rows)
    await put(processor, team_id, "card", **CARD)
    await put(processor, team_id, "banner", width=800)
    await put(processor, team_id, "thumb", width=100, height=100, eager=True)
    await put(processor, team_id, "large", width=2048, height=2048, animated=False, eager=False)
    await put(processor, await testing.add_team(processor.rows), "foreign", width=10, eager=True)
    row, stored = await processor.image(team_id=team_id)
    makes(processor, "preview", "card", "thumb")
    await job.handle(processor.parts, processor.finalized(stored))
    (request,) = processor.pool.requests
    assert request.presets == (DEFAULT_PRESETS[1],)
    # What a team chose may be too much for a worker, and must not cost the image.
    thumb = Recipe(100, 100)
    assert request.optional_presets == (Preset("thumb", thumb), Preset("card", CENTERED))
    rows = await processor.rows.fetch(select(derivative).where(derivative.c.image_id == row["id"]))
    assert {each["preset"]: each["spec_hash"] for each in rows} == {
        "preview": BUILT_IN["preview"].recipe.hash(), "card": CENTERED.hash(), "thumb": thumb.hash(),
    }  # fmt: skip


async def test_a_team_without_presets_of_its_own_gets_the_built_in_ones(processor: Processor) -> None:
    _, stored = await processor.image()
    await job.handle(processor.parts, processor.finalized(stored))
    (request,) = processor.pool.requests
    assert (request.presets, request.optional_presets) == (DEFAULT_PRESETS, ())


async def test_the_last_attempt_makes_only_what_every_worker_can_make(processor: Processor) -> None:
    team_id = await testing.add_team(processor.rows)
    await put(processor, team_id, "card", **CARD)
    _, stored = await processor.image(team_id=team_id, attempts=2)
    await job.handle(processor.parts, processor.finalized(stored))
    (request,) = processor.pool.requests
    assert (request.presets, request.optional_presets) == (DEFAULT_PRESETS, ())


async def test_reprocessing_discards_the_renditions_of_the_image(processor: Processor) -> None:
    row, stored = await processor.image()
    other, _ = await processor.image("ready", team_id=row["team_id"])
    await job.handle(processor.parts, processor.finalized(stored))
    first = await processor.derivatives_of(row["id"])
    name = await add_rendition(processor, row["team_id"], row["id"])
    kept = await add_rendition(processor, row["team_id"], other["id"])
    await processor.set_row(row["id"], status="stored", attempts=0)
    await job.handle(processor.parts, processor.finalized(stored))
    assert [each["object_name"] for each in await processor.rows.fetch(select(rendition))] == [kept]
    assert {each for each, _ in await processor.discarded()} == {*first.values(), name}


async def requested(processor: Processor, image_id: UUID) -> list[tuple[str, str]]:
    statement = select(event).where(event.c.type == EventType.RENDER, event.c.image_id == image_id)
    rows = await processor.rows.fetch(statement.order_by(event.c.id))
    assert {row["topic"] for row in rows} <= {"renditions"}
    payloads = [orjson.loads(row["payload"]) for row in rows]
    return [(payload["spec"], payload["format"]) for payload in payloads]


async def test_further_formats_of_eager_presets_are_requested_with_ready(processor: Processor) -> None:
    team_id = await testing.add_team(processor.rows)
    await put(processor, team_id, "card", **CARD, formats=["avif", "webp", "jpeg"])
    await put(processor, team_id, "banner", width=800, formats=["avif"])
    row, stored = await processor.image(team_id=team_id)
    makes(processor, "thumb", "preview", "large", "card")
    await job.handle(processor.parts, processor.finalized(stored))
    assert await requested(processor, row["id"]) == [("card", "avif"), ("card", "jpeg")]
    assert (await processor.events(row["id"]))[0] == ("image.ready", True)


async def test_what_a_worker_left_out_is_requested(processor: Processor) -> None:
    team_id = await testing.add_team(processor.rows)
    await put(processor, team_id, "card", **CARD)
    row, stored = await processor.image(team_id=team_id)
    await job.handle(processor.parts, processor.finalized(stored))
    assert set(await processor.derivatives_of(row["id"])) == {"thumb", "preview", "large"}
    assert await requested(processor, row["id"]) == [("card", "webp")]


async def test_a_preset_that_is_replaced_during_processing_is_made_again(processor: Processor) -> None:
    team_id = await testing.add_team(processor.rows)
    await put(processor, team_id, "card", **CARD)
    row, stored = await processor.image(team_id=team_id)
    makes(processor, "thumb", "preview", "large", "card")

    async def replace_preset() -> None:
        await processor.rows.execute(update(preset).values(width=320))
        await put(processor, team_id, "late", width=100, eager=True)

    processor.pool.before = replace_preset
    await job.handle(processor.parts, processor.finalized(stored))
    made = await processor.rows.fetch_value(select(derivative.c.spec_hash).where(derivative.c.preset == "card"))
    assert made == CENTERED.hash()
    assert await requested(processor, row["id"]) == [("card", "webp"), ("late", "webp")]


async def test_a_focal_point_is_kept_and_one_that_is_moved_during_processing_is_noticed(processor: Processor) -> None:
    team_id = await testing.add_team(processor.rows)
    await put(processor, team_id, "card", **CARD)
    row, stored = await processor.image(team_id=team_id, focal_x=250, focal_y=1000)
    makes(processor, "thumb", "preview", "large", "card")

    async def move() -> None:
        await processor.set_row(row["id"], focal_x=0)

    processor.pool.before = move
    await job.handle(processor.parts, processor.finalized(stored))
    (request,) = processor.pool.requests
    focused = Recipe(640, 480, "cover", "x250y1000")
    assert request.optional_presets == (Preset("card", focused),)
    made = await processor.rows.fetch_value(select(derivative.c.spec_hash).where(derivative.c.preset == "card"))
    assert made == focused.hash()
    assert await requested(processor, row["id"]) == [("card", "webp")]


async def test_a_change_that_is_under_way_when_an_image_becomes_ready_is_not_lost(processor: Processor) -> None:
    team_id = await testing.add_team(processor.rows)
    await put(processor, team_id, "card", **CARD)
    row, stored = await processor.image(team_id=team_id)
    makes(processor, "thumb", "preview", "large", "card")
    async with processor.rows.transaction() as transaction:
        await lock_presets(transaction, team_id)
        finishing = asyncio.create_task(job.handle(processor.parts, processor.finalized(stored)))
        await testing.until_advisory_lock_is_awaited(processor.rows)
        await transaction.execute(update(preset).values(width=320))
    await finishing
    assert await requested(processor, row["id"]) == [("card", "webp")]


async def test_what_was_made_of_a_removed_preset_is_discarded(processor: Processor) -> None:
    team_id = await testing.add_team(processor.rows)
    await put(processor, team_id, "card", **CARD)
    row, stored = await processor.image(team_id=team_id)
    makes(processor, "thumb", "preview", "large", "card")

    async def remove_preset() -> None:
        await processor.rows.execute(delete(preset))

    processor.pool.before = remove_preset
    await job.handle(processor.parts, processor.finalized(stored))
    assert set(await processor.derivatives_of(row["id"])) == {"thumb", "preview", "large"}
    ((discarded, _),) = await processor.discarded()
    assert discarded.endswith("/card.webp")
    assert await requested(processor, row["id"]) == []
