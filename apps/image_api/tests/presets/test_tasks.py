"""Pictures of changed eager presets are requested again for images that are there already."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import insert, select, update

from image_api.presets import tasks as presets
from image_api.tasks.runner import Budget
from image_core import events, testing
from image_core.db import Record
from image_core.delivery.spec import Recipe
from image_core.events import EventType
from image_core.ids import new_id
from image_core.images.presets import BUILT_IN, NEWEST_ID
from image_core.models import event, preset, rendition

from ..housekeeping import PAST, Tasks

CARD = Recipe(width_px=640)


async def put(tasks: Tasks, team_id: UUID, name: str = "card", **columns: Any) -> None:
    values = {"width": 640, "eager": True, "remake_before": NEWEST_ID} | columns
    await tasks.rows.execute(insert(preset).values(team_id=team_id, name=name, **values))


async def position(tasks: Tasks, name: str = "card") -> Any:
    return await tasks.rows.fetch_value(select(preset.c.remake_before).where(preset.c.name == name))


async def ready(tasks: Tasks, team_id: UUID, count: int = 1, **columns: Any) -> list[UUID]:
    """Images of a team, the newest first."""
    rows = [(await tasks.image("ready", team_id=team_id, **columns))[0] for _ in range(count)]
    return sorted((row["id"] for row in rows), reverse=True)


async def derive(tasks: Tasks, image_id: UUID, name: str = "card", **columns: Any) -> None:
    row = await tasks.row(image_id)
    values = {"generation": row["generation"], "spec_hash": CARD.hash()} | columns
    await testing.add_derivative(tasks.rows, image_id, f"x/{image_id}/{name}", name, **values)


async def requested(tasks: Tasks) -> list[tuple[UUID, str, str]]:
    """What was requested so far: image, preset and format."""
    statement = select(event).where(event.c.type == EventType.RENDER).order_by(event.c.created_at, event.c.id)
    found: list[Record] = await tasks.rows.fetch(statement)
    for row in found:
        assert row["topic"] == "renditions"
        image_row = await tasks.row(row["image_id"])
        assert row["team_id"] == image_row["team_id"]
        assert orjson.loads(row["payload"])["generation"] == str(image_row["generation"])
    payloads = [orjson.loads(row["payload"]) for row in found]
    return [(row["image_id"], payload["spec"], payload["format"]) for row, payload in zip(found, payloads, strict=True)]


async def run(tasks: Tasks, most: int = 1000) -> int:
    settings = tasks.parts.settings.model_copy(update={"remakes_per_sweep": most})
    return await presets.request_remakes(replace(tasks.parts, settings=settings), Budget("test", 20))


async def test_existing_images_are_requested_newest_first_within_a_bound(tasks: Tasks) -> None:
    team_id = await testing.add_team(tasks.rows)
    images = await ready(tasks, team_id, 5)
    await put(tasks, team_id)
    assert await run(tasks, most=2) == 2
    assert await position(tasks) == images[1]
    assert await run(tasks, most=2) == 2
    assert await run(tasks, most=2) == 1
    assert await position(tasks) is None
    assert await requested(tasks) == [(image_id, "card", "webp") for image_id in images]
    assert await run(tasks) == 0


async def test_presets_and_teams_take_turns(tasks: Tasks) -> None:
    first, second = await testing.add_team(tasks.rows), await testing.add_team(tasks.rows)
    images = {team_id: await ready(tasks, team_id, 2) for team_id in (first, second)}
    await put(tasks, first)
    await put(tasks, second, "card")
    for _ in range(4):
        await run(tasks, most=1)
    order = [image_id for image_id, _, _ in await requested(tasks)]
    assert {order[0], order[1]} == {images[first][0], images[second][0]}


async def test_only_what_is_missing_is_requested(tasks: Tasks) -> None:
    team_id = await testing.add_team(tasks.rows)
    (current,), (old,), (of_other_bytes,) = [await ready(tasks, team_id) for _ in range(3)]
    await derive(tasks, current)
    await derive(tasks, old, spec_hash=bytes(16))
    await derive(tasks, of_other_bytes, generation=1)
    for image_id, eager in ((current, True), (old, False)):
        row = await tasks.row(image_id)
        values = {
            "id": new_id(), "team_id": team_id, "image_id": image_id, "generation": row["generation"],
            "spec_hash": CARD.hash(), "format": "avif", "object_name": f"x/{image_id}", "width": 1, "height": 1,
            "frames": 1, "size_bytes": 9, "sha256": bytes(32), "eager": eager,
        }  # fmt: skip
        await tasks.rows.execute(insert(rendition).values(values))
    await put(tasks, team_id, formats=["webp", "avif", "jpeg"])
    assert await run(tasks) == 3
    found = await requested(tasks)
    assert [extension for image_id, _, extension in found if image_id == current] == ["jpeg"]
    # What was made on demand would be removed again.
    assert [extension for image_id, _, extension in found if image_id == old] == ["webp", "avif", "jpeg"]
    assert [extension for image_id, _, extension in found if image_id == of_other_bytes] == ["webp", "avif", "jpeg"]


async def test_what_is_missing_depends_on_the_focal_point(tasks: Tasks) -> None:
    team_id = await testing.add_team(tasks.rows)
    (current,) = await ready(tasks, team_id, focal_x=100, focal_y=200)
    (moved,) = await ready(tasks, team_id, focal_x=100, focal_y=201)
    for image_id in (current, moved):
        await derive(tasks, image_id, spec_hash=Recipe(640, 480, "cover", "x100y200").hash())
    await put(tasks, team_id, height=480, fit="cover", gravity="fo")
    assert await run(tasks) == 1
    assert await requested(tasks) == [(moved, "card", "webp")]


async def test_a_derivative_without_a_hash_is_the_original_built_in_one(tasks: Tasks) -> None:
    team_id = await testing.add_team(tasks.rows)
    (image_id,) = await ready(tasks, team_id)
    for name in ("thumb", "large"):
        await derive(tasks, image_id, name, spec_hash=None)
    thumb = BUILT_IN["thumb"].recipe
    await put(tasks, team_id, "thumb", width=thumb.width_px, height=thumb.height_px)
    await put(tasks, team_id, "large", width=100)
    await run(tasks)
    assert await requested(tasks) == [(image_id, "large", "webp")]


async def test_other_images_are_left_alone(tasks: Tasks) -> None:
    team_id = await testing.add_team(tasks.rows)
    foreign = await testing.add_team(tasks.rows)
    await ready(tasks, foreign)
    await tasks.image("stored", team_id=team_id)
    await tasks.image("failed", team_id=team_id)
    (trashed,) = await ready(tasks, team_id)
    await tasks.set_row(trashed, deleted_at=PAST)
    (broken,) = await ready(tasks, team_id)
    await tasks.set_row(broken, status="failed", failure_code="original-missing")
    await put(tasks, team_id)
    await put(tasks, foreign, "other", remake_before=None)
    assert await run(tasks) == 0
    # If processing it again fails, it stays as it is.
    (again,) = await ready(tasks, team_id)
    await tasks.set_row(again, status="stored")
    await tasks.rows.execute(update(preset).where(preset.c.name == "card").values(remake_before=NEWEST_ID))
    await run(tasks)
    assert await requested(tasks) == [(again, "card", "webp")]


async def test_sweeps_at_once_request_each_picture_once(tasks: Tasks) -> None:
    team_id = await testing.add_team(tasks.rows)
    images = await ready(tasks, team_id, 3)
    await put(tasks, team_id)
    await asyncio.gather(*(run(tasks) for _ in range(3)))
    assert sorted(await requested(tasks)) == sorted((image_id, "card", "webp") for image_id in images)


async def test_another_change_on_the_way_starts_anew(tasks: Tasks) -> None:
    team_id = await testing.add_team(tasks.rows)
    images = await ready(tasks, team_id, 2)
    await put(tasks, team_id)
    await run(tasks, most=1)
    await tasks.rows.execute(update(preset).values(width=320, remake_before=NEWEST_ID))
    await run(tasks)
    order = [image_id for image_id, _, _ in await requested(tasks)]
    assert order == [images[0], *images]


async def test_a_preset_that_is_eager_no_more_is_done(tasks: Tasks) -> None:
    team_id = await testing.add_team(tasks.rows)
    await ready(tasks, team_id)
    await put(tasks, team_id, eager=False)
    assert await run(tasks) == 0
    assert await position(tasks) is None


async def test_an_interrupted_sweep_leaves_no_image_out(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    team_id = await testing.add_team(tasks.rows)
    images = await ready(tasks, team_id, 2)
    await put(tasks, team_id)

    async def fail(*_: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as broken, pytest.raises(RuntimeError):
        broken.setattr(events, "record", fail)
        await run(tasks)
    assert await position(tasks) == NEWEST_ID
    assert (await tasks.sweep())["remakes_requested"] == 2
    assert [image_id for image_id, _, _ in await requested(tasks)] == images
