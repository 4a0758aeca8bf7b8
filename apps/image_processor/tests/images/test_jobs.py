import asyncio
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from sqlalchemy import func, select, update

from image_core import errors, testing
from image_core.capture.place_cells import cell_of
from image_core.events import Message, Topic
from image_core.images.presets import BUILT_IN
from image_core.images.removal.lost_originals import KEPT_FOR
from image_core.models import derivative, discarded_object, event, image
from image_core.states import Failure
from image_engine.contract.rejections import PictureRejected
from image_engine.testing.results import PROCESSED
from image_processor import parts
from image_processor.images import job, pending, queries
from image_processor.parts import Outcome

from ..conftest import Processor

PAST = datetime(2020, 1, 1, tzinfo=UTC)


class TestTheWay:
    async def test_a_stored_image_becomes_ready_with_facts_and_derivatives(self, processor: Processor) -> None:
        row, stored = await processor.image(body=b"the bytes")
        assert await processor.push(processor.message(stored.name, stored.generation)) == 204
        done = await processor.row(row["id"])
        assert (done["status"], done["width"], done["height"], done["frames"]) == ("ready", 40, 30, 1)
        assert (done["claim_token"], done["lease_expires_at"], done["first_claimed_at"]) == (None, None, None)
        assert done["ready_at"] is not None
        assert "blurhash" in done["facts"]
        assert processor.pool.seen == [b"the bytes"]
        names = await processor.derivatives_of(row["id"])
        assert set(names) == {"thumb", "preview", "large"}
        for preset, name in names.items():
            found = await processor.parts.derivatives.stat(name)
            assert found is not None
            assert found.size_bytes == len(f"{preset} bytes")
        hashes = select(derivative.c.preset, derivative.c.spec_hash).where(derivative.c.image_id == row["id"])
        assert {each["preset"]: each["spec_hash"] for each in await processor.rows.fetch(hashes)} == {
            name: BUILT_IN[name].recipe.hash() for name in names
        }
        assert await processor.events(row["id"]) == [("image.ready", True)]
        assert await processor.discarded() == []

    async def test_the_event_is_published_after_the_commit(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row, stored = await processor.image()
        seen: list[str] = []

        async def publish(topic: Topic, messages: list[Message], timeout_seconds: float) -> None:
            # Another connection sees what is committed, and nothing else.
            seen.append((await processor.row(row["id"]))["status"])

        monkeypatch.setattr(processor.parts.publisher, "publish", publish)
        await job.handle(processor.parts, processor.finalized(stored))
        assert seen == ["ready"]

    async def test_an_event_that_cannot_be_published_is_left_for_the_sweep(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row, stored = await processor.image()

        async def publish(*_: Any) -> None:
            raise errors.MessagingUnavailable("away")

        monkeypatch.setattr(processor.parts.publisher, "publish", publish)
        assert await job.handle(processor.parts, processor.finalized(stored)) is Outcome.DONE
        assert (await processor.row(row["id"]))["status"] == "ready"
        assert await processor.events(row["id"]) == [("image.ready", False)]

    async def test_a_picture_that_is_refused_fails_for_good(self, processor: Processor) -> None:
        row, stored = await processor.image()

        async def refuse() -> None:
            raise PictureRejected("image-truncated")

        processor.pool.before = refuse
        assert await processor.push(processor.message(stored.name, stored.generation)) == 204
        failed = await processor.row(row["id"])
        assert (failed["status"], failed["failure_code"], failed["claim_token"]) == ("failed", "image-truncated", None)
        assert failed["failure_message"]
        assert await processor.events(row["id"]) == [("image.failed", True)]
        assert await processor.push(processor.message(stored.name, stored.generation)) == 204
        assert (await processor.row(row["id"]))["attempts"] == 1

    async def test_a_team_can_keep_places_out_of_its_facts(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[bool] = []
        for keep in (True, False):
            team_id = await testing.add_team(processor.rows, keep_location=keep)
            _, stored = await processor.image(team_id=team_id)

            async def process(picture: Any, request: Any) -> Any:
                asked.append(request.keep_location)
                return PROCESSED

            monkeypatch.setattr(processor.pool, "process", process)
            await job.handle(processor.parts, processor.finalized(stored))
        assert asked == [True, False]

    async def test_time_and_place_of_the_photograph_have_columns(self, processor: Processor) -> None:
        row, stored = await processor.image()
        facts = replace(
            PROCESSED.facts,
            exif={"taken_at": "2021-07-15T10:20:30+02:00"},
            location={"latitude": 59.9, "longitude": 10.7},
        )
        processor.pool.processed = replace(PROCESSED, facts=facts)
        await job.handle(processor.parts, processor.finalized(stored))
        done = await processor.row(row["id"])
        assert done["taken_at"] == datetime(2021, 7, 15, 8, 20, 30, tzinfo=UTC)
        assert (done["taken_at_source"], done["taken_local"].isoformat()) == ("exif", "2021-07-15T10:20:30")
        assert done["location_cell"] == cell_of(59.9, 10.7)
        # Processed again without them, it keeps neither.
        processor.pool.processed = PROCESSED
        await processor.set_row(row["id"], status="stored", attempts=0)
        await job.handle(processor.parts, processor.finalized(stored))
        done = await processor.row(row["id"])
        assert (done["taken_at"], done["taken_at_source"], done["location_cell"]) == (None, "unknown", None)

    async def test_a_second_run_replaces_the_derivatives_of_the_first(self, processor: Processor) -> None:
        row, stored = await processor.image()
        await job.handle(processor.parts, processor.finalized(stored))
        first = await processor.derivatives_of(row["id"])
        await processor.set_row(row["id"], status="stored", attempts=0)
        await job.handle(processor.parts, processor.finalized(stored))
        second = await processor.derivatives_of(row["id"])
        assert set(first.values()).isdisjoint(second.values())
        assert {name for name, _ in await processor.discarded()} == set(first.values())


class TestClaims:
    """The paragraph "Claim" of state.md, sentence by sentence."""

    async def claim(self, processor: Processor, row: Any, generation: int | None = None) -> queries.ImageClaim | None:
        async with processor.parts.database.transaction() as transaction:
            generation = row["generation"] if generation is None else generation
            return await queries.claim(transaction, row["id"], generation, 3, timedelta(seconds=60))

    async def test_a_claim_takes_a_stored_image_with_token_lease_and_attempt(self, processor: Processor) -> None:
        row, _ = await processor.image()
        claimed = await self.claim(processor, row)
        assert claimed is not None
        taken = await processor.row(row["id"])
        assert (taken["status"], taken["claim_token"], taken["attempts"]) == ("processing", claimed.token, 1)
        assert timedelta(seconds=50) < taken["lease_expires_at"] - datetime.now(UTC) <= timedelta(seconds=60)
        # What this claim will write is promised to the sweep until the claim is made good.
        assert await processor.discarded() == [(claimed.folder, None)]

    async def test_a_lease_that_ran_out_is_taken_over(self, processor: Processor) -> None:
        row, _ = await processor.image("processing", lease_expires_at=PAST)
        claimed = await self.claim(processor, row)
        assert claimed is not None
        assert claimed.token != row["claim_token"]
        assert (await processor.row(row["id"]))["attempts"] == 2

    @pytest.mark.parametrize("status", ["pending", "processing", "ready", "failed", "expired"])
    async def test_nothing_else_is_claimed(self, processor: Processor, status: str) -> None:
        row, stored = await processor.image(status)
        assert await self.claim(processor, row, stored.generation) is None
        assert (await processor.row(row["id"]))["revision"] == 1

    async def test_only_the_messages_own_generation_is_claimed(self, processor: Processor) -> None:
        row, _ = await processor.image()
        for other in (-1, 1):
            assert await self.claim(processor, row, row["generation"] + other) is None

    async def test_what_is_in_the_trash_or_out_of_attempts_is_not_claimed(self, processor: Processor) -> None:
        for columns in ({"deleted_at": PAST}, {"attempts": 3}):
            row, _ = await processor.image(**columns)
            assert await self.claim(processor, row) is None

    async def test_of_five_claims_at_once_one_wins(self, processor: Processor) -> None:
        row, _ = await processor.image()
        claims = await asyncio.gather(*(self.claim(processor, row) for _ in range(5)))
        assert len([claimed for claimed in claims if claimed is not None]) == 1

    @pytest.mark.parametrize(
        ("status", "expected"),
        [("ready", 204), ("failed", 204), ("processing", 503), ("expired", 204)],
    )
    async def test_what_cannot_be_claimed_is_acknowledged_or_comes_again(
        self, processor: Processor, status: str, expected: int
    ) -> None:
        row, stored = await processor.image(status)
        assert await processor.push(processor.message(stored.name, stored.generation)) == expected
        assert processor.pool.seen == []
        assert (await processor.row(row["id"]))["status"] == status

    async def test_a_live_lease_says_when_to_come_again(self, processor: Processor) -> None:
        _, stored = await processor.image("processing")
        body = {"message": processor.message(stored.name, stored.generation)}
        headers = {"authorization": f"Bearer {processor.token()}"}
        answer = await processor.client.post("/push/uploads", json=body, headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")

    async def test_an_older_generation_is_acknowledged(self, processor: Processor) -> None:
        row, stored = await processor.image()
        assert await processor.push(processor.message(stored.name, stored.generation - 1)) == 204
        assert (await processor.row(row["id"]))["status"] == "stored"
        assert await processor.discarded() == []

    async def test_a_newer_generation_changes_nothing_and_is_given_to_the_sweep(self, processor: Processor) -> None:
        row, stored = await processor.image("ready")
        assert await processor.push(processor.message(stored.name, stored.generation + 1)) == 204
        assert await processor.discarded() == [(stored.name, stored.generation + 1)]
        assert (await processor.row(row["id"]))["generation"] == stored.generation

    async def test_after_the_last_attempt_an_image_fails(self, processor: Processor) -> None:
        row, stored = await processor.image(attempts=3)
        assert await processor.push(processor.message(stored.name, stored.generation)) == 204
        failed = await processor.row(row["id"])
        assert (failed["status"], failed["failure_code"]) == ("failed", "processing-attempts-exhausted")
        assert await processor.events(row["id"]) == [("image.failed", True)]

    async def test_a_write_without_the_claim_is_no_write(self, processor: Processor) -> None:
        row, _ = await processor.image()
        claimed = await self.claim(processor, row)
        assert claimed is not None
        stale = claimed._replace(token=uuid4())
        async with processor.parts.database.transaction() as transaction:
            assert not await queries.fail(transaction, stale, Failure("image-truncated", "x"))
            assert not await queries.release(transaction, stale, counted=False)
        with pytest.raises(queries.ClaimLost):
            async with processor.parts.database.transaction() as transaction:
                await queries.finish(transaction, stale, {})
        assert (await processor.row(row["id"]))["claim_token"] == claimed.token


class TestDeliveredAgain:
    async def test_the_same_event_twice_works_once(self, processor: Processor) -> None:
        row, stored = await processor.image()
        message = processor.message(stored.name, stored.generation)
        assert [await processor.push(message) for _ in range(2)] == [204, 204]
        assert len(processor.pool.seen) == 1
        assert len(await processor.events(row["id"])) == 1

    async def test_the_same_event_five_times_at_once_works_once(self, processor: Processor) -> None:
        row, stored = await processor.image()

        async def take_long() -> None:
            await asyncio.sleep(0.1)

        processor.pool.before = take_long
        message = processor.message(stored.name, stored.generation)
        statuses = await asyncio.gather(*(processor.push(message) for _ in range(5)))
        assert set(statuses) <= {204, 503}
        assert statuses.count(204) >= 1
        assert len(processor.pool.seen) == 1
        assert await processor.events(row["id"]) == [("image.ready", True)]
        assert len(await processor.derivative_objects(row["team_id"])) == 3

    async def test_an_event_a_day_late_finds_its_work_done(self, processor: Processor) -> None:
        _, stored = await processor.image("ready", created_at=PAST)
        message = processor.message(stored.name, stored.generation) | {"publishTime": "2020-01-01T00:00:00Z"}
        assert await processor.push(message) == 204
        assert processor.pool.seen == []


class TestNoImage:
    async def test_an_unknown_object_is_acknowledged_counted_and_given_to_the_sweep(self, processor: Processor) -> None:
        counter = processor.parts.metrics.unknown_objects.labels("unknown")._value
        before = counter.get()
        names = [f"originals/{uuid4()}/{uuid4()}", "cat.jpg", "originals/"]
        for number, name in enumerate(names, 1):
            assert await processor.push(processor.message(name, number)) == 204
        assert counter.get() == before + 3
        assert await processor.discarded() == [(name, number) for number, name in enumerate(names, 1)]

    async def test_another_buckets_object_is_left_alone(self, processor: Processor) -> None:
        _, stored = await processor.image()
        assert await processor.push(processor.message(stored.name, stored.generation, "another-bucket")) == 204
        assert await processor.discarded() == []
        assert processor.pool.seen == []

    async def test_another_teams_folder_does_not_reach_the_image(self, processor: Processor) -> None:
        row, stored = await processor.image()
        name = f"originals/{uuid4()}/{row['id']}"
        assert await processor.push(processor.message(name, stored.generation)) == 204
        assert (await processor.row(row["id"]))["status"] == "stored"
        assert await processor.discarded() == [(name, stored.generation)]

    async def test_an_expired_rows_object_is_given_to_the_sweep(self, processor: Processor) -> None:
        row, stored = await processor.image("expired")
        assert await processor.push(processor.message(stored.name, stored.generation)) == 204
        assert (await processor.row(row["id"]))["status"] == "expired"
        assert await processor.discarded() == [(stored.name, stored.generation)]

    @pytest.mark.parametrize("status", ["pending", "stored", "ready"])
    async def test_an_image_in_the_trash_is_left_alone(self, processor: Processor, status: str) -> None:
        row, stored = await processor.image(status, deleted_at=PAST)
        assert await processor.push(processor.message(stored.name, stored.generation)) == 204
        assert (await processor.row(row["id"]))["status"] == status
        assert await processor.discarded() == []


class TestBeforeTheApi:
    async def test_an_event_before_the_completion_takes_size_and_hash_from_the_bytes(
        self, processor: Processor
    ) -> None:
        row, stored = await processor.image("pending", body=b"early bytes", attempts=2)
        assert await processor.push(processor.message(stored.name, stored.generation)) == 204
        done = await processor.row(row["id"])
        assert (done["status"], done["size_bytes"], done["generation"]) == ("ready", 11, stored.generation)
        assert done["sha256"] == hashlib.sha256(b"early bytes").digest()
        assert done["attempts"] == 1
        assert processor.pool.seen == [b"early bytes"]
        assert await processor.events(row["id"]) == [("image.created", True), ("image.ready", True)]

    async def test_a_duplicate_that_only_the_processor_finds_expires_the_row(self, processor: Processor) -> None:
        twin, _ = await processor.image("ready", body=b"same")
        row, stored = await processor.image("pending", body=b"same", team_id=twin["team_id"])
        assert await processor.push(processor.message(stored.name, stored.generation)) == 204
        expired = await processor.row(row["id"])
        assert (expired["status"], expired["failure_code"]) == ("expired", "duplicate")
        assert expired["duplicate_of"] == twin["id"]
        assert await processor.events(row["id"]) == [("image.duplicate", True)]
        payload = orjson.loads(await processor.rows.fetch_value(select(event.c.payload)))
        assert payload == {"revision": expired["revision"], "duplicate_of": str(twin["id"])}
        assert await processor.discarded() == [(stored.name, None)]
        assert processor.pool.seen == []

    @pytest.mark.parametrize(("code", "is_kept"), [("original-missing", True), ("image-truncated", False)])
    async def test_the_object_of_a_duplicate_is_kept_for_an_image_that_lost_its_original(
        self, processor: Processor, code: str, is_kept: bool
    ) -> None:
        lost, _ = await processor.image("failed", body=b"same", failure_code=code)
        row, stored = await processor.image("pending", body=b"same", team_id=lost["team_id"])
        assert await processor.push(processor.message(stored.name, stored.generation)) == 204
        assert (await processor.row(row["id"]))["duplicate_of"] == lost["id"]
        kept = discarded_object.c.remove_after > func.now() + KEPT_FOR / 2
        found = await processor.rows.fetch(select(discarded_object.c.object_name).where(kept))
        assert [each["object_name"] for each in found] == ([stored.name] if is_kept else [])

    @pytest.mark.parametrize(
        ("body", "code", "trashed"),
        [(b"same", "duplicate", {}), (b"else", "storage-quota-exceeded", {}),
         (b"same", "storage-quota-exceeded", {"deleted_at": PAST})],
        ids=["same", "other", "trashed"],
    )  # fmt: skip
    async def test_what_has_room_only_as_a_lost_original_never_becomes_an_image(
        self, processor: Processor, body: bytes, code: str, trashed: dict[str, Any]
    ) -> None:
        lost, _ = await processor.image("failed", body=b"same", failure_code="original-missing", **trashed)
        row, stored = await processor.image("pending", body=body, team_id=lost["team_id"], duplicate_of=lost["id"])
        assert await processor.push(processor.message(stored.name, stored.generation)) == 204
        ended = await processor.row(row["id"])
        assert (ended["status"], ended["failure_code"]) == ("expired", code)
        assert ended["duplicate_of"] == (lost["id"] if code == "duplicate" else None)
        assert await processor.discarded() == [(stored.name, None)]

    async def test_another_teams_bytes_are_no_duplicate(self, processor: Processor) -> None:
        await processor.image("ready", body=b"same")
        row, stored = await processor.image("pending", body=b"same")
        await processor.push(processor.message(stored.name, stored.generation))
        assert (await processor.row(row["id"]))["status"] == "ready"

    async def test_an_object_that_is_too_large_expires_the_row(self, processor: Processor) -> None:
        row, stored = await processor.image("pending", body=b"x" * 101)
        parts = processor.with_settings(original_max_bytes=100)
        assert await job.handle(parts, processor.finalized(stored)) is Outcome.DONE
        expired = await processor.row(row["id"])
        assert (expired["status"], expired["failure_code"]) == ("expired", "picture-too-large")
        assert await processor.events(row["id"]) == []
        assert await processor.discarded() == [(stored.name, None)]

    async def test_an_object_that_is_not_there_yet_comes_again(self, processor: Processor) -> None:
        row, stored = await processor.image("pending")
        await processor.parts.originals.delete(stored.name)
        assert await processor.push(processor.message(stored.name, stored.generation)) == 503
        assert (await processor.row(row["id"]))["status"] == "pending"

    async def test_an_api_that_completes_meanwhile_is_not_overtaken(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row, stored = await processor.image("pending", body=b"bytes")
        really = parts.fetch

        async def fetch(*arguments: Any) -> parts.Digests:
            digests = await really(*arguments)
            await processor.set_row(
                row["id"], status="stored", size_bytes=5, sha256=digests.sha256, generation=stored.generation,
                filename="a.png",
            )  # fmt: skip
            return digests

        monkeypatch.setattr(pending, "fetch", fetch)
        await job.handle(processor.parts, processor.finalized(stored))
        done = await processor.row(row["id"])
        assert (done["status"], done["filename"]) == ("ready", "a.png")


async def test_the_trace_of_the_upload_goes_on(processor: Processor) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    row, stored = await processor.image(trace_parent=trace)
    await job.handle(processor.parts, processor.finalized(stored))
    told = await processor.rows.fetch_one(select(event).where(event.c.image_id == row["id"]))
    assert told is not None
    assert told["trace_parent"] == trace


async def test_processing_may_not_touch_what_the_api_owns(processor: Processor) -> None:
    row, _ = await processor.image()
    for column, value in (("filename", "x"), ("tags", ["x"]), ("metadata", "{}"), ("created_at", PAST)):
        with pytest.raises(Exception, match="permission denied"):
            await processor.parts.database.execute(update(image).where(image.c.id == row["id"]).values({column: value}))


@pytest.mark.parametrize(
    ("facts", "size_bytes", "is_asked_for"),
    [
        ({"width_px": 6000, "height_px": 4000}, 1000, False),
        ({"width_px": 6000, "height_px": 4001}, 1000, True),
        ({"width_px": 6000, "height_px": 4001, "content_type": "image/jpeg"}, 1000, False),
        ({}, 64 * 1024 * 1024 + 1, True),
    ],
    ids=["few-pixels", "many-pixels", "shrunk-on-load", "many-bytes"],
)
async def test_of_a_large_original_a_source_is_asked_for(
    processor: Processor, facts: dict[str, Any], size_bytes: int, is_asked_for: bool
) -> None:
    row, stored = await processor.image()
    # Of the row, because the bytes are none of the job's business but for their hash.
    await processor.set_row(row["id"], size_bytes=size_bytes)
    facts = {"content_type": "image/png"} | facts
    processor.pool.processed = replace(PROCESSED, facts=replace(PROCESSED.facts, **facts))
    assert await processor.push(processor.message(stored.name, stored.generation)) == 204
    found = await processor.rows.fetch(select(event).where(event.c.topic == "renditions"))
    asked = [orjson.loads(each["payload"]) for each in found if "source" in each["payload"]]
    expected = {"generation": str(stored.generation), "spec": "source", "format": "webp"}
    assert asked == ([expected] if is_asked_for else [])
