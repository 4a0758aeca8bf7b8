"""Pictures made in the background: once, of what is there now, and never for what is gone."""

import asyncio
import base64
import hashlib
import io
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from PIL import Image
from sqlalchemy import delete, func, insert, select, update

from image_core import errors, testing
from image_core.db import Record
from image_core.delivery.rendition_requests import (
    FULL_HASH,
    SOURCE,
    SOURCE_HASH,
    SOURCE_RECIPE,
    eager_requests,
    rendition_request,
)
from image_core.delivery.spec import Recipe
from image_core.ids import new_id
from image_core.images.presets import BUILT_IN, presets_of_team
from image_core.intake.envelope import PushMessage
from image_core.models import derivative, image, preset, rendition, rendition_failure, team
from image_core.storage.protocol import CHUNK_BYTES
from image_engine.contract.rejections import PictureRejected, WorkerInterrupted, WorkerUnavailable
from image_processor.messages import rendition_requested
from image_processor.parts import Outcome
from image_processor.renditions import job, storing

from ..conftest import Processor

W64 = Recipe(width_px=64)


async def shown(processor: Processor, body: bytes | None = None, **columns: Any) -> Record:
    """A ready image of a team with the preset `card`."""
    row, _ = await processor.image("ready", body, **columns)
    values = {"team_id": row["team_id"], "name": "card", "width": 64, "formats": ["webp", "avif"]}
    await processor.rows.execute(insert(preset).values(values))
    return row


def message(row: Record, spec: str = "card", extension: Any = "avif", **changes: Any) -> dict[str, Any]:
    ids = {"image_id": row["id"], "team_id": row["team_id"], "generation": row["generation"]} | changes
    sent = rendition_request(ids["image_id"], ids["team_id"], ids["generation"], spec, extension).message()
    return {"data": base64.b64encode(sent.data).decode(), "attributes": sent.attributes, "messageId": "1"}


async def push(processor: Processor, row: Record, spec: str = "card", extension: Any = "avif", **changes: Any) -> int:
    return await processor.push(message(row, spec, extension, **changes), path="renditions")


async def made_of(processor: Processor, image_id: UUID) -> list[Record]:
    return await processor.rows.fetch(select(rendition).where(rendition.c.image_id == image_id))


async def failures(processor: Processor) -> list[tuple[str, str]]:
    rows = await processor.rows.fetch(select(rendition_failure.c.format, rendition_failure.c.code))
    return [tuple(row) for row in rows]


def raising(error: Exception) -> Any:
    async def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


async def change_preset(processor: Processor, **columns: Any) -> None:
    await processor.rows.execute(update(preset).values(**columns))


# --- Made once --------------------------------------------------------------------------------------------------------


async def test_a_picture_is_made_of_the_original_and_kept_under_its_recipe(processor: Processor) -> None:
    row = await shown(processor, b"the original")
    assert await push(processor, row) == 204
    (found,) = await made_of(processor, row["id"])
    assert {name: found[name] for name in ("team_id", "generation", "spec_hash", "format", "preset", "eager")} == {
        "team_id": row["team_id"], "generation": row["generation"], "spec_hash": W64.hash(), "format": "avif",
        "preset": "card", "eager": False,
    }  # fmt: skip
    assert (found["size_bytes"], found["sha256"]) == (11, hashlib.sha256(b"a rendition").digest())
    assert await processor.parts.derivatives.read(found["object_name"], None, 0, 10) == b"a rendition"
    assert await processor.derivative_objects(row["team_id"]) == [found["object_name"]]
    assert await processor.discarded() == []
    assert processor.pool.seen == [b"the original"]
    (request,) = processor.pool.rendered
    assert (request.recipe, request.format, request.effort) == (W64, "avif", 2)
    assert request.limits == processor.parts.settings.limits


async def test_a_message_that_comes_twice_makes_one(processor: Processor) -> None:
    row = await shown(processor)
    assert [await push(processor, row) for _ in range(2)] == [204, 204]
    assert (len(await made_of(processor, row["id"])), len(processor.pool.rendered)) == (1, 1)


async def test_of_two_at_once_one_is_kept_and_the_other_one_is_removed(processor: Processor) -> None:
    row = await shown(processor)
    both = asyncio.Barrier(2)
    processor.pool.before = both.wait  # type: ignore[assignment]
    # Two instances do not know of each other.
    others = [processor.with_settings(worker_count=2) for _ in range(2)]
    request = rendition_requested(PushMessage.model_validate(message(row)))
    assert await asyncio.gather(*(job.handle(parts, request) for parts in others)) == [Outcome.DONE] * 2
    (found,) = await made_of(processor, row["id"])
    objects = await processor.derivative_objects(row["team_id"])
    assert len(objects) == 2
    assert [name for name, _ in await processor.discarded()] == [
        name for name in objects if name != found["object_name"]
    ]


async def test_webp_that_processing_has_made_is_not_made_again(processor: Processor) -> None:
    row = await shown(processor)
    values = {"generation": row["generation"]}
    await testing.add_derivative(processor.rows, row["id"], "d/1", "card", spec_hash=W64.hash(), **values)
    await testing.add_derivative(processor.rows, row["id"], "d/2", "thumb", spec_hash=None, **values)
    assert [await push(processor, row, spec, "webp") for spec in ("card", "thumb")] == [204, 204]
    assert processor.pool.rendered == []
    # That of an older recipe is another picture.
    await change_preset(processor, quality=70)
    assert await push(processor, row, extension="webp") == 204
    assert [request.recipe.quality for request in processor.pool.rendered] == [70]


async def test_what_is_eager_is_kept_although_nobody_asks_for_it(processor: Processor) -> None:
    row = await shown(processor)
    await push(processor, row)
    await change_preset(processor, eager=True, formats=["webp", "avif", "jpeg"])
    for extension in ("avif", "jpeg"):
        await push(processor, row, extension=extension)
    assert {(each["format"], each["eager"]) for each in await made_of(processor, row["id"])} == {
        ("avif", True), ("jpeg", True)
    }  # fmt: skip
    assert [request.effort for request in processor.pool.rendered] == [2, 0]


async def test_webp_of_an_eager_preset_takes_the_place_of_its_derivative(processor: Processor) -> None:
    row = await shown(processor)
    await change_preset(processor, eager=True)
    await testing.add_derivative(
        processor.rows, row["id"], "derivatives/old", "card", spec_hash=bytes(16), generation=row["generation"]
    )
    await testing.add_derivative(processor.rows, row["id"], "derivatives/thumb", "thumb", generation=row["generation"])
    assert [await push(processor, row, extension="webp") for _ in range(2)] == [204, 204]
    (found,) = await processor.rows.fetch(select(derivative).where(derivative.c.preset == "card"))
    assert (found["spec_hash"], found["object_name"] != "derivatives/old") == (W64.hash(), True)
    assert set(await processor.derivatives_of(row["id"])) == {"card", "thumb"}
    assert [name for name, _ in await processor.discarded()] == ["derivatives/old"]
    assert (len(processor.pool.rendered), await made_of(processor, row["id"])) == (1, [])


async def test_what_was_made_on_demand_is_no_derivative_yet(processor: Processor) -> None:
    row = await shown(processor)
    await push(processor, row, extension="webp")
    await change_preset(processor, eager=True)
    await push(processor, row, extension="webp")
    assert set(await processor.derivatives_of(row["id"])) == {"card"}


async def test_requests_of_eager_presets_are_answered_as_they_are_recorded(processor: Processor) -> None:
    row = await shown(processor)
    await change_preset(processor, eager=True)
    presets = await presets_of_team(processor.rows, row["team_id"])
    for asked in eager_requests(row["id"], row["team_id"], row["generation"], presets.values()):
        sent = asked.message()
        told = {"data": base64.b64encode(sent.data).decode(), "attributes": sent.attributes, "messageId": "1"}
        assert await processor.push(told, path="renditions") == 204
    assert [(each["preset"], each["format"]) for each in await made_of(processor, row["id"])] == [("card", "avif")]


async def test_pictures_of_a_large_original_are_made_of_what_stands_in_for_it(processor: Processor) -> None:
    row = await shown(processor)
    await processor.parts.derivatives.put("derivatives/a-source", b"smaller", "image/webp")
    columns = {"generation": row["generation"], "sha256": hashlib.sha256(b"smaller").digest(), "size_bytes": 7}
    await testing.add_derivative(processor.rows, row["id"], "derivatives/a-source", SOURCE, **columns)
    await push(processor, row)
    assert processor.pool.seen == [b"smaller"]


@pytest.mark.parametrize("wrong", ["another image's", "of a former original", "of another preset"])
async def test_what_does_not_stand_in_for_the_original_is_no_source(processor: Processor, wrong: str) -> None:
    row = await shown(processor, b"the original")
    other, _ = await processor.image("ready")
    await processor.parts.derivatives.put("derivatives/wrong", b"another", "image/webp")
    await testing.add_derivative(
        processor.rows, other["id"] if wrong == "another image's" else row["id"], "derivatives/wrong",
        "thumb" if wrong == "of another preset" else SOURCE,
        generation=row["generation"] - (wrong == "of a former original"),
        sha256=hashlib.sha256(b"another").digest(), size_bytes=7,
    )  # fmt: skip
    await push(processor, row)
    assert processor.pool.seen == [b"the original"]


# --- Out of order -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 1},
        {"deleted_at": func.now()},
        {"deleted_at": func.now(), "purge_marked_at": func.now()},
        {"status": "stored", "ready_at": None},
        {"status": "failed", "failure_code": "original-missing"},
    ],
    ids="-".join,
)
async def test_nothing_is_made_of_an_image_that_is_another_one_now(
    processor: Processor, change: dict[str, Any]
) -> None:
    row = await shown(processor)
    await processor.set_row(row["id"], **change)
    assert await push(processor, row) == 204
    assert (processor.pool.rendered, await made_of(processor, row["id"])) == ([], [])


async def test_an_image_that_is_processed_again_is_shown_meanwhile(processor: Processor) -> None:
    row = await shown(processor)
    await processor.set_row(row["id"], status="stored")
    assert await push(processor, row) == 204
    assert len(await made_of(processor, row["id"])) == 1


@pytest.mark.parametrize("change", ["team", "image", "generation"])
async def test_nothing_is_made_for_ids_that_do_not_belong_together(processor: Processor, change: str) -> None:
    row = await shown(processor)
    other: dict[str, Any] = {
        "team": {"team_id": await testing.add_team(processor.rows)},
        "image": {"image_id": new_id()},
        "generation": {"generation": row["generation"] + 1},
    }[change]
    assert await push(processor, row, "thumb", "webp", **other) == 204
    assert (processor.pool.rendered, await made_of(processor, row["id"])) == ([], [])


async def test_nothing_is_made_for_a_team_that_is_being_removed(processor: Processor) -> None:
    row = await shown(processor)
    await processor.rows.execute(update(team).where(team.c.id == row["team_id"]).values(deleting_at=func.now()))
    assert await push(processor, row) == 204
    assert processor.pool.rendered == []


async def test_a_preset_of_another_team_is_none(processor: Processor) -> None:
    row, other = await shown(processor), await processor.image("ready")
    assert await push(processor, other[0]) == 204
    assert processor.pool.rendered == []
    assert await push(processor, row) == 204


async def test_a_preset_that_was_changed_is_made_as_it_is_now(processor: Processor) -> None:
    row = await shown(processor)
    asked = message(row)
    await change_preset(processor, width=32)
    assert await processor.push(asked, path="renditions") == 204
    assert [each["spec_hash"] for each in await made_of(processor, row["id"])] == [Recipe(width_px=32).hash()]


async def test_a_preset_or_format_that_was_removed_is_not_made(processor: Processor) -> None:
    row = await shown(processor)
    await change_preset(processor, formats=["webp"])
    assert await push(processor, row) == 204
    await processor.rows.execute(delete(preset))
    assert await push(processor, row, extension="webp") == 204
    assert processor.pool.rendered == []


@pytest.mark.parametrize(
    "change",
    [{"generation": 1}, {"deleted_at": func.now()}, {"deleted_at": func.now(), "purge_marked_at": func.now()}],
    ids="-".join,
)
@pytest.mark.parametrize("spec", ["card", SOURCE])
async def test_what_an_image_became_while_its_picture_was_made_is_noticed(
    processor: Processor, change: dict[str, Any], spec: str
) -> None:
    row = await shown(processor)

    async def become() -> None:
        await processor.set_row(row["id"], **change)

    processor.pool.before = become
    assert await push(processor, row, spec, "webp") == 204
    assert (await made_of(processor, row["id"]), await processor.derivatives_of(row["id"])) == ([], {})
    # What was written is removed as promised.
    assert [name for name, _ in await processor.discarded()] == await processor.derivative_objects(row["team_id"])


async def test_what_the_sweep_has_begun_to_remove_gets_no_row(processor: Processor) -> None:
    from image_core.models import discarded_object

    row = await shown(processor)
    put = storing._put

    async def too_late(*arguments: Any) -> bytes:
        await processor.rows.execute(update(discarded_object).values(attempts=1))
        return await put(*arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(storing, "_put", too_late)
        assert await push(processor, row) == 204
    assert await made_of(processor, row["id"]) == []
    assert len(await processor.discarded()) == 1


# --- The source of a large original -----------------------------------------------------------------------------------


async def test_the_source_is_a_derivative_with_frames_and_a_hash_of_its_own(processor: Processor) -> None:
    row = await shown(processor)
    assert [await push(processor, row, SOURCE, "webp") for _ in range(2)] == [204, 204]
    (request,) = processor.pool.rendered
    assert (request.recipe, request.format) == (SOURCE_RECIPE, "webp")
    (found,) = await processor.rows.fetch(select(derivative).where(derivative.c.image_id == row["id"]))
    assert (found["preset"], found["generation"], found["spec_hash"]) == (SOURCE, row["generation"], SOURCE_HASH)
    assert (found["width"], found["height"], found["content_type"]) == (40, 30, "image/webp")
    assert SOURCE_RECIPE.hash() != SOURCE_HASH
    assert await made_of(processor, row["id"]) == []


# --- The whole picture ------------------------------------------------------------------------------------------------


async def test_other_formats_are_encoded_at_full_size(processor: Processor) -> None:
    row = await shown(processor, content_type="image/tiff", facts='{"has_alpha": false}')
    assert await push(processor, row, "full", "jpeg") == 204
    (request,) = processor.pool.rendered
    assert (request.recipe.width_px, request.recipe.height_px, request.recipe.quality) == (None, None, 92)
    (found,) = await made_of(processor, row["id"])
    assert (found["spec_hash"], found["format"], found["preset"]) == (FULL_HASH, "jpeg", "full")


async def test_a_format_that_the_image_does_not_become_is_not_made(processor: Processor) -> None:
    row = await shown(processor, content_type="image/tiff", facts='{"has_alpha": true}')
    assert await push(processor, row, "full", "jpeg") == 204
    assert processor.pool.rendered == []


@pytest.mark.parametrize("padding", [0, 3 * CHUNK_BYTES], ids=["small", "in-chunks"])
async def test_a_file_that_can_be_taken_apart_is_copied_without_metadata(processor: Processor, padding: int) -> None:
    made, exif = io.BytesIO(), Image.Exif()
    exif[0x013B] = "somebody with a name"
    Image.effect_noise((64, 48), 90).convert("RGB").save(made, "JPEG", exif=exif)
    # What follows the end of the scan is copied with it.
    body = made.getvalue()[:-2] + bytes(padding) + b"\xff\xd9"
    row = await shown(processor, body, content_type="image/jpeg")
    assert await push(processor, row, "full", "jpeg") == 204
    assert processor.pool.rendered == []
    (found,) = await made_of(processor, row["id"])
    copied = await processor.parts.derivatives.read(found["object_name"], None, 0, found["size_bytes"] - 1)
    assert found["sha256"] == hashlib.sha256(copied).digest()
    assert b"somebody" not in copied
    with Image.open(io.BytesIO(copied)) as after, Image.open(io.BytesIO(body)) as before:
        assert after.tobytes() == before.tobytes()


async def test_a_file_that_cannot_be_taken_apart_is_encoded(processor: Processor) -> None:
    row = await shown(processor, b"no JPEG", content_type="image/jpeg")
    assert await push(processor, row, "full", "jpeg") == 204
    assert [request.format for request in processor.pool.rendered] == ["jpeg"]


# --- Failures ---------------------------------------------------------------------------------------------------------


async def test_what_can_never_be_made_is_remembered_for_an_hour(processor: Processor) -> None:
    row = await shown(processor)
    processor.pool.before = raising(PictureRejected("picture-too-much-memory"))
    assert [await push(processor, row) for _ in range(2)] == [204, 204]
    assert await failures(processor) == [("avif", "picture-too-much-memory")]
    assert len(processor.pool.rendered) == 1
    await processor.rows.execute(update(rendition_failure).values(failed_at=func.now() - timedelta(minutes=61)))
    processor.pool.before = raising(PictureRejected("processing-timeout"))
    assert await push(processor, row) == 204
    assert await failures(processor) == [("avif", "processing-timeout")]
    await processor.rows.execute(update(rendition_failure).values(failed_at=func.now() - timedelta(minutes=61)))
    processor.pool.before = None
    assert await push(processor, row) == 204
    assert await failures(processor) == []
    assert len(await made_of(processor, row["id"])) == 1


async def test_a_failure_is_one_of_a_picture_and_not_of_the_image(processor: Processor) -> None:
    row = await shown(processor)
    processor.pool.before = raising(PictureRejected("processing-crashed"))
    await push(processor, row)
    processor.pool.before = None
    for spec, extension in (("card", "webp"), ("thumb", "webp")):
        await push(processor, row, spec, extension)
    assert [each["preset"] for each in await made_of(processor, row["id"])] == ["card"]
    assert set(await processor.derivatives_of(row["id"])) == {"thumb"}
    assert (await processor.row(row["id"]))["status"] == "ready"


@pytest.mark.parametrize("error", [WorkerUnavailable("no worker"), WorkerInterrupted("killed"), TimeoutError()])
async def test_what_may_pass_comes_again(processor: Processor, error: Exception) -> None:
    row = await shown(processor)
    processor.pool.before = raising(error)
    assert await push(processor, row) == 503
    processor.pool.before = None
    assert await push(processor, row) == 204
    assert (len(await made_of(processor, row["id"])), await failures(processor)) == (1, [])


async def test_an_error_that_would_come_again_is_remembered(processor: Processor) -> None:
    row = await shown(processor)
    processor.pool.before = raising(KeyError("x"))
    assert await push(processor, row) == 204
    assert await failures(processor) == [("avif", "processing-crashed")]


async def test_bytes_that_differ_from_what_was_stored_are_not_shown(processor: Processor) -> None:
    row = await shown(processor)
    await processor.rows.execute(update(image).values(sha256=hashlib.sha256(b"other").digest()))
    assert await push(processor, row) == 503
    assert processor.pool.rendered == []


async def test_storage_that_is_away_leaves_a_promise_and_no_row(
    processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = await shown(processor)
    monkeypatch.setattr(processor.parts.derivatives, "put", raising(errors.StorageUnavailable("away")))
    assert await push(processor, row) == 503
    assert await made_of(processor, row["id"]) == []
    assert len(await processor.discarded()) == 1


# --- Behind everything else -------------------------------------------------------------------------------------------


async def test_one_worker_is_left_for_uploads(processor: Processor) -> None:
    row = await shown(processor)
    parts = processor.with_settings(worker_count=3)
    held, running = asyncio.Event(), 0

    async def hold() -> None:
        nonlocal running
        running += 1
        await held.wait()

    processor.pool.before = hold
    asked = [
        rendition_requested(PushMessage.model_validate(message(row, spec, "webp"))) for spec in ("card", *BUILT_IN)
    ]
    tasks = [asyncio.create_task(job.handle(parts, each)) for each in asked]
    done, _ = await asyncio.wait(tasks, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    # Two are made, a third one waits, and the fourth one comes again.
    assert [each.result() for each in done] == [Outcome.LATER]
    async with asyncio.timeout(10):
        while running < 2:
            await asyncio.sleep(0.01)
    assert running == 2
    held.set()
    await asyncio.gather(*tasks)
    assert len(await made_of(processor, row["id"])) + len(await processor.derivatives_of(row["id"])) == 3


async def test_nothing_is_begun_while_jobs_need_every_worker(processor: Processor) -> None:
    row = await shown(processor)
    parts = processor.with_settings(worker_count=2, lease_seconds=0.2)
    request = rendition_requested(PushMessage.model_validate(message(row)))
    with parts.idle_workers.without_one(), parts.idle_workers.without_one():
        assert await job.handle(parts, request) is Outcome.LATER
    assert processor.pool.rendered == []
    assert await job.handle(processor.parts, request) is Outcome.DONE


async def test_it_begins_when_a_job_ends(processor: Processor) -> None:
    row = await shown(processor)
    parts = processor.with_settings(worker_count=1)
    with parts.idle_workers.without_one():
        waiting = asyncio.create_task(job.handle(parts, rendition_requested(PushMessage.model_validate(message(row)))))
        while not parts.idle_workers.is_awaited:
            await asyncio.sleep(0.01)
    assert await waiting is Outcome.DONE
    assert len(await made_of(processor, row["id"])) == 1


# --- Who may ask ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claims", [{"aud": "https://other.test"}, {"email": "other@test.iam.gserviceaccount.com"}])
async def test_only_the_account_of_pushes_may_ask(processor: Processor, claims: dict[str, Any]) -> None:
    row = await shown(processor)
    assert await processor.push(message(row), processor.token(**claims), path="renditions") == 401
    assert processor.pool.rendered == []


async def test_what_names_no_rendition_becomes_a_dead_letter(processor: Processor) -> None:
    row = await shown(processor)
    assert await push(processor, row, "t-w64") == 400
