"""The derivative of an eager preset that was changed is made again, and takes the place of the old one."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from image_core import testing
from image_core.db import Record
from image_core.delivery.spec import Recipe
from image_core.ids import new_id
from image_core.images.presets import BUILT_IN, lock_presets
from image_core.intake.envelope import PushMessage
from image_core.models import derivative, image, preset, rendition
from image_processor.messages import rendition_requested
from image_processor.parts import Outcome
from image_processor.renditions import job

from ..conftest import Processor
from .test_rendition_jobs import W64, change_preset, made_of, message, push, shown

OLD = "derivatives/old"
PAST = datetime(2020, 1, 1, tzinfo=UTC)


async def outdated(processor: Processor, name: str = "card", **columns: Any) -> Record:
    """A ready image with a derivative of an older version of the eager preset `card`."""
    row = await shown(processor)
    await change_preset(processor, eager=True)
    values = {"generation": row["generation"], "spec_hash": bytes(16)} | columns
    await testing.add_derivative(processor.rows, row["id"], OLD, name, **values)
    return row


async def derived(processor: Processor, row: Record, name: str = "card") -> Record:
    (found,) = await processor.rows.fetch(
        select(derivative).where(derivative.c.image_id == row["id"], derivative.c.preset == name)
    )
    return found


async def add_rendition(processor: Processor, row: Record, **columns: Any) -> None:
    values = {
        "id": new_id(), "team_id": row["team_id"], "image_id": row["id"], "generation": row["generation"],
        "preset": "card", "spec_hash": bytes(16), "format": "avif", "object_name": f"derivatives/{new_id()}",
        "width": 1, "height": 1, "frames": 1, "size_bytes": 9, "sha256": bytes(32), "eager": True,
    }  # fmt: skip
    await processor.rows.execute(insert(rendition).values(values | columns))


async def test_the_new_derivative_takes_the_place_of_the_old_one(processor: Processor) -> None:
    row = await outdated(processor)
    await testing.add_derivative(processor.rows, row["id"], "derivatives/thumb", "thumb", generation=row["generation"])
    other, _ = await processor.image("ready", team_id=row["team_id"])
    await testing.add_derivative(processor.rows, other["id"], "derivatives/other", "card")
    assert await push(processor, row, extension="webp") == 204
    found = await derived(processor, row)
    assert (found["spec_hash"], found["generation"]) == (W64.hash(), row["generation"])
    assert (found["size_bytes"], found["sha256"]) == (11, hashlib.sha256(b"a rendition").digest())
    assert found["content_type"] == "image/webp"
    assert await processor.parts.derivatives.read(found["object_name"], None, 0, 10) == b"a rendition"
    assert await processor.discarded() == [(OLD, None)]
    assert await made_of(processor, row["id"]) == []
    assert (await derived(processor, row, "thumb"))["object_name"] == "derivatives/thumb"
    assert (await derived(processor, other))["object_name"] == "derivatives/other"
    assert await processor.events(row["id"]) == [("image.changed", True)]
    # The body of the image has changed, and with it the entity tag.
    assert (await processor.row(row["id"]))["revision"] == row["revision"] + 1


async def test_a_derivative_keeps_the_focal_point_as_it_is_now(processor: Processor) -> None:
    row = await outdated(processor)
    await change_preset(processor, height=64, fit="cover", gravity="fo")
    await processor.set_row(row["id"], focal_x=1000, focal_y=0)
    assert [await push(processor, row, extension="webp") for _ in range(2)] == [204, 204]
    assert (await derived(processor, row))["spec_hash"] == Recipe(64, 64, "cover", "x1000y0").hash()
    assert len(processor.pool.rendered) == 1


async def test_an_eager_preset_without_webp_has_a_derivative_all_the_same(processor: Processor) -> None:
    row = await shown(processor)
    await change_preset(processor, formats=["avif"])
    assert await push(processor, row, extension="webp") == 204
    assert processor.pool.rendered == []
    await change_preset(processor, eager=True)
    assert await push(processor, row, extension="webp") == 204
    assert (await derived(processor, row))["spec_hash"] == W64.hash()
    assert await processor.discarded() == []


async def test_only_the_derivative_itself_counts_as_made(processor: Processor) -> None:
    row = await outdated(processor)
    await add_rendition(processor, row, spec_hash=W64.hash(), format="webp", eager=False)
    values = {"generation": row["generation"], "spec_hash": W64.hash()}
    await testing.add_derivative(processor.rows, row["id"], "derivatives/twin", "twin", **values)
    assert [await push(processor, row, extension="webp") for _ in range(2)] == [204, 204]
    assert len(processor.pool.rendered) == 1
    assert (await derived(processor, row))["spec_hash"] == W64.hash()


async def test_one_without_a_hash_is_the_original_built_in_one(processor: Processor) -> None:
    row = await outdated(processor, "thumb", spec_hash=None)
    assert await push(processor, row, "thumb", "webp") == 204
    assert processor.pool.rendered == []
    values = {"team_id": row["team_id"], "name": "thumb", "width": 100, "eager": True}
    await processor.rows.execute(insert(preset).values(values))
    assert await push(processor, row, "thumb", "webp") == 204
    assert (await derived(processor, row, "thumb"))["spec_hash"] == Recipe(width_px=100).hash()
    assert BUILT_IN["thumb"].recipe != Recipe(width_px=100)


async def replace_preset(processor: Processor, row: Record) -> None:
    await change_preset(processor, width=32)


async def stop_being_eager(processor: Processor, row: Record) -> None:
    await change_preset(processor, eager=False)


async def remove_preset(processor: Processor, row: Record) -> None:
    await processor.rows.execute(delete(preset))


async def trash(processor: Processor, row: Record) -> None:
    await processor.set_row(row["id"], deleted_at=PAST)


async def mark_for_purge(processor: Processor, row: Record) -> None:
    await processor.set_row(row["id"], deleted_at=PAST, purge_marked_at=PAST)


async def upload_again(processor: Processor, row: Record) -> None:
    await processor.set_row(row["id"], generation=row["generation"] + 1)


async def lose_original(processor: Processor, row: Record) -> None:
    await processor.set_row(row["id"], status="failed", failure_code="original-missing")


async def move_focal_point(processor: Processor, row: Record) -> None:
    await processor.set_row(row["id"], focal_x=0, focal_y=0)


@pytest.mark.parametrize(
    "change",
    [
        move_focal_point,
        replace_preset,
        stop_being_eager,
        remove_preset,
        trash,
        mark_for_purge,
        upload_again,
        lose_original,
    ],
)
async def test_what_changes_meanwhile_is_noticed(
    processor: Processor, change: Callable[[Processor, Record], Awaitable[None]]
) -> None:
    row = await outdated(processor)
    await change_preset(processor, height=64, fit="cover", gravity="fo")
    processor.pool.before = lambda: change(processor, row)
    assert await push(processor, row, extension="webp") == 204
    assert len(processor.pool.rendered) == 1
    assert (await derived(processor, row))["object_name"] == OLD
    # What was written is removed as promised.
    assert [name for name, _ in await processor.discarded()] == await processor.derivative_objects(row["team_id"])


async def test_a_purged_image_gets_no_derivative(processor: Processor) -> None:
    row = await outdated(processor)

    async def purge() -> None:
        await processor.rows.execute(delete(image).where(image.c.id == row["id"]))

    processor.pool.before = purge
    assert await push(processor, row, extension="webp") == 204
    assert await processor.rows.fetch(select(derivative)) == []
    assert [name for name, _ in await processor.discarded()] == await processor.derivative_objects(row["team_id"])


async def test_an_older_version_never_replaces_a_newer_one(processor: Processor) -> None:
    row = await outdated(processor)
    request = rendition_requested(PushMessage.model_validate(message(row, extension="webp")))
    async with processor.rows.transaction() as transaction:
        await lock_presets(transaction, row["team_id"])
        working = asyncio.create_task(job.handle(processor.parts, request))
        await testing.until_advisory_lock_is_awaited(processor.rows)
        await transaction.execute(update(preset).values(width=32))
    assert await working is Outcome.DONE
    assert (await derived(processor, row))["object_name"] == OLD


async def test_of_two_at_once_one_object_stays(processor: Processor) -> None:
    row = await outdated(processor)
    both = asyncio.Barrier(2)
    processor.pool.before = both.wait  # type: ignore[assignment]
    # Two instances do not know of each other.
    others = [processor.with_settings(worker_count=2) for _ in range(2)]
    request = rendition_requested(PushMessage.model_validate(message(row, extension="webp")))
    assert await asyncio.gather(*(job.handle(parts, request) for parts in others)) == [Outcome.DONE] * 2
    kept = (await derived(processor, row))["object_name"]
    objects = await processor.derivative_objects(row["team_id"])
    assert len(objects) == 2
    assert {name for name, _ in await processor.discarded()} == {OLD, *objects} - {kept}


@pytest.mark.parametrize("extension", ["webp", "avif"])
async def test_further_formats_of_older_versions_may_go(processor: Processor, extension: str) -> None:
    row = await outdated(processor)
    other, _ = await processor.image("ready", team_id=row["team_id"])
    await add_rendition(processor, row, format="jpeg")
    await add_rendition(processor, row, format="jpeg", spec_hash=W64.hash())
    await add_rendition(processor, row, format="jpeg", spec_hash=bytes(15) + b"x", preset="other")
    await add_rendition(processor, other, format="jpeg")
    assert await push(processor, row, extension=extension) == 204
    (released,) = await processor.rows.fetch(select(rendition).where(~rendition.c.eager))
    assert (released["image_id"], released["preset"], released["spec_hash"]) == (row["id"], "card", bytes(16))
