from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, insert, select, update

from image_core import errors, models, testing
from image_core.billing import credits
from image_core.events import EventType, image_event, record
from image_core.ids import new_id
from image_core.models import (
    audit_event,
    credit_account,
    credit_reservation,
    discarded_object,
    event,
    idempotency_key,
    image,
    storage_usage,
)
from image_processor.housekeeping import runner as sweep_runner
from image_processor.housekeeping import sweep as sweep_steps

from ..conftest import SWEEP_EMAIL, Processor

PAST = datetime(2020, 1, 1, tzinfo=UTC)


async def discard(processor: Processor, bucket: str, name: str, generation: int | None = None) -> None:
    await processor.rows.execute(
        insert(discarded_object).values(
            id=new_id(), bucket=bucket, object_name=name, generation=generation, remove_after=PAST
        )
    )


async def originals_of(processor: Processor, team_id: Any) -> list[str]:
    return [found.name for found in await processor.parts.originals.list(f"originals/{team_id}/")]


class TestOverdueUploads:
    async def test_without_an_object_the_row_expires(self, processor: Processor) -> None:
        row, stored = await processor.image("pending", deadline_at=PAST)
        await processor.parts.originals.delete(stored.name)
        assert (await processor.sweep())["overdue_uploads"] == 1
        expired = await processor.row(row["id"])
        assert (expired["status"], expired["failure_code"]) == ("expired", "upload-expired")
        # A PUT that still lands is removed later.
        assert await processor.discarded() == [(stored.name, None)]

    async def test_with_an_object_the_lost_event_is_published_again(self, processor: Processor) -> None:
        row, _ = await processor.image("pending", deadline_at=PAST)
        assert (await processor.sweep())["overdue_uploads"] == 1
        assert await processor.events(row["id"]) == [("image.process", True)]
        asked = await processor.row(row["id"])
        assert asked["status"] == "pending"
        assert asked["deadline_at"] > datetime.now(UTC)

    async def test_what_the_sweep_published_leads_to_ready(self, processor: Processor) -> None:
        row, stored = await processor.image("pending", deadline_at=PAST)
        await processor.sweep()
        payload = await processor.rows.fetch_value(select(event.c.payload))
        assert str(stored.generation) in payload
        assert await processor.push(processor.message(stored.name, stored.generation)) == 204
        assert (await processor.row(row["id"]))["status"] == "ready"

    async def test_an_upload_that_was_asked_for_too_often_expires_with_its_object(self, processor: Processor) -> None:
        row, stored = await processor.image("pending", deadline_at=PAST, attempts=3)
        await processor.sweep()
        # An outage of less than a day costs no upload.
        assert (await processor.row(row["id"]))["status"] == "pending"
        await processor.set_row(row["id"], deadline_at=PAST, created_at=datetime.now(UTC) - timedelta(hours=25))
        await processor.sweep()
        assert (await processor.row(row["id"]))["status"] == "expired"
        assert await processor.discarded() == [(stored.name, None)]

    async def test_an_upload_within_its_deadline_is_left_alone(self, processor: Processor) -> None:
        await processor.image("pending")
        assert (await processor.sweep())["overdue_uploads"] == 0


class TestWaitingTooLong:
    @pytest.mark.parametrize(
        ("status", "columns"),
        [("stored", {"queued_at": PAST}), ("processing", {"lease_expires_at": PAST})],
    )
    async def test_what_waits_is_asked_for_again(
        self, processor: Processor, status: str, columns: dict[str, Any]
    ) -> None:
        row, _ = await processor.image(status, **columns)
        assert (await processor.sweep())["asked_again"] == 1
        again = await processor.row(row["id"])
        assert (again["status"], again["claim_token"], again["lease_expires_at"]) == ("stored", None, None)
        assert again["queued_at"] > PAST
        assert await processor.events(row["id"]) == [("image.process", True)]
        assert (await processor.sweep())["asked_again"] == 0

    @pytest.mark.parametrize(
        ("status", "columns"),
        [
            ("stored", {}),
            ("processing", {}),
            ("stored", {"queued_at": PAST, "deleted_at": PAST}),
            ("ready", {"queued_at": PAST}),
            ("failed", {"queued_at": PAST}),
        ],
    )
    async def test_what_is_under_way_done_or_in_the_trash_is_not(
        self, processor: Processor, status: str, columns: dict[str, Any]
    ) -> None:
        # Within the retention, or the purge would take it.
        if "deleted_at" in columns:
            columns["deleted_at"] = datetime.now(UTC)
        row, _ = await processor.image(status, **columns)
        assert (await processor.sweep())["asked_again"] == 0
        assert (await processor.row(row["id"]))["revision"] == 1

    @pytest.mark.parametrize(
        ("status", "columns"),
        [("stored", {"queued_at": PAST}), ("processing", {"lease_expires_at": PAST})],
    )
    async def test_without_an_attempt_left_it_fails(
        self, processor: Processor, status: str, columns: dict[str, Any]
    ) -> None:
        row, _ = await processor.image(status, attempts=3, **columns)
        counts = await processor.sweep()
        assert (counts["exhausted"], counts["asked_again"]) == (1, 0)
        failed = await processor.row(row["id"])
        assert (failed["status"], failed["failure_code"]) == ("failed", "processing-attempts-exhausted")
        assert await processor.events(row["id"]) == [("image.failed", True)]

    async def test_without_an_attempt_left_what_was_ready_is_ready_again(self, processor: Processor) -> None:
        row, _ = await processor.image("ready")
        await processor.set_row(row["id"], status="stored", attempts=3, queued_at=PAST)
        assert (await processor.sweep())["exhausted"] == 1
        again = await processor.row(row["id"])
        assert (again["status"], again["failure_code"]) == ("ready", None)
        assert await processor.events(row["id"]) == []


class TestPurge:
    async def test_beyond_the_retention_objects_and_row_go_and_the_event_stays(self, processor: Processor) -> None:
        row, stored = await processor.image("ready", deleted_at=PAST)
        name = f"derivatives/{row['team_id']}/{row['id']}/1-x/thumb.webp"
        await processor.parts.derivatives.put(name, b"x", "image/webp")
        await testing.add_derivative(processor.rows, row["id"], name)
        neighbour = f"derivatives/{row['team_id']}/{row['id']}0/thumb.webp"
        await processor.parts.derivatives.put(neighbour, b"x", "image/webp")
        assert (await processor.sweep())["purged"] == 1
        assert await processor.rows.fetch(select(image)) == []
        assert await processor.parts.originals.stat(stored.name) is None
        assert await processor.derivative_objects(row["team_id"]) == [neighbour]
        assert await processor.events(row["id"]) == [("image.purged", True)]
        (written,) = await processor.rows.fetch(select(audit_event))
        assert (written["action"], written["target_id"], written["actor_user_id"]) == ("image.purged", row["id"], None)

    async def test_within_the_retention_nothing_is_purged(self, processor: Processor) -> None:
        await processor.image("ready", deleted_at=datetime.now(UTC) - timedelta(days=6))
        assert (await processor.sweep())["purged"] == 0

    @pytest.mark.parametrize("status", ["pending", "processing"])
    async def test_work_under_way_is_waited_for(self, processor: Processor, status: str) -> None:
        row, _ = await processor.image(status, deleted_at=PAST)
        assert (await processor.sweep())["purged"] == 0
        assert (await processor.row(row["id"]))["purge_marked_at"] is None

    async def test_a_purge_that_broke_off_is_finished(self, processor: Processor) -> None:
        row, stored = await processor.image("ready", deleted_at=PAST, purge_marked_at=PAST, deadline_at=PAST)
        await processor.parts.originals.delete(stored.name)
        assert (await processor.sweep())["purged"] == 1
        assert await processor.events(row["id"]) == [("image.purged", True)]

    async def test_while_storage_is_away_the_mark_stays_and_nobody_restores(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row, _ = await processor.image("ready", deleted_at=PAST)

        async def away(*_: Any) -> None:
            raise errors.StorageUnavailable("away")

        monkeypatch.setattr(processor.parts.originals, "delete", away)
        assert (await processor.sweep())["purged"] == -1
        assert (await processor.row(row["id"]))["purge_marked_at"] is not None
        monkeypatch.undo()
        # Not at once, and once its time has come.
        assert (await processor.sweep())["purged"] == 0
        await processor.set_row(row["id"], deadline_at=PAST)
        assert (await processor.sweep())["purged"] == 1

    async def test_a_duplicate_of_what_is_purged_stays(self, processor: Processor) -> None:
        row, _ = await processor.image("ready", deleted_at=PAST)
        duplicate, _ = await processor.image("expired", team_id=row["team_id"], duplicate_of=row["id"])
        await processor.sweep()
        assert (await processor.row(duplicate["id"]))["duplicate_of"] is None


class TestDiscardedObjects:
    async def test_a_generation_goes_and_others_stay(self, processor: Processor) -> None:
        row, stored = await processor.image("expired")
        await discard(processor, "originals", stored.name, stored.generation + 1)
        assert (await processor.sweep())["objects_removed"] == 1
        assert await originals_of(processor, row["team_id"]) == [stored.name]
        await discard(processor, "originals", stored.name, stored.generation)
        await processor.sweep()
        assert await originals_of(processor, row["team_id"]) == []
        assert await processor.discarded() == []

    async def test_a_living_original_is_never_taken(self, processor: Processor) -> None:
        for status in ("stored", "processing", "ready", "failed"):
            row, stored = await processor.image(status)
            await discard(processor, "originals", stored.name)
            await discard(processor, "originals", stored.name, stored.generation)
            await processor.sweep()
            assert await originals_of(processor, row["team_id"]) == [stored.name]

    async def test_neighbours_of_a_name_stay(self, processor: Processor) -> None:
        row, stored = await processor.image("expired")
        await processor.parts.originals.put(stored.name + "0", b"x", "image/png")
        await discard(processor, "originals", stored.name)
        await processor.sweep()
        assert await originals_of(processor, row["team_id"]) == [stored.name + "0"]

    async def test_neighbours_of_a_folder_stay(self, processor: Processor) -> None:
        team_id = uuid4()
        for name in ("a/1-x/thumb.webp", "a/1-xy/thumb.webp"):
            await processor.parts.derivatives.put(f"derivatives/{team_id}/{name}", b"x", "image/webp")
        await discard(processor, "derivatives", f"derivatives/{team_id}/a/1-x/")
        await processor.sweep()
        assert await processor.derivative_objects(team_id) == [f"derivatives/{team_id}/a/1-xy/thumb.webp"]

    async def test_an_original_that_is_called_like_a_folder_takes_nothing_with_it(self, processor: Processor) -> None:
        """The console makes such an object when somebody creates a folder."""
        row, stored = await processor.image("ready")
        folder = f"originals/{row['team_id']}/"
        made = await processor.parts.originals.put(folder, b"x", "text/plain")
        assert await processor.push(processor.message(folder, made.generation)) == 204
        await processor.let_time_pass()
        assert (await processor.sweep())["objects_removed"] == 1
        assert await originals_of(processor, row["team_id"]) == [stored.name]

    async def test_before_its_time_nothing_is_removed(self, processor: Processor) -> None:
        row, stored = await processor.image("expired")
        await processor.push(processor.message(stored.name, stored.generation))
        assert (await processor.sweep())["objects_removed"] == 0
        assert await originals_of(processor, row["team_id"]) == [stored.name]

    async def test_a_removal_that_fails_is_tried_again_later(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, stored = await processor.image("expired")
        await discard(processor, "originals", stored.name)

        async def away(*_: Any) -> None:
            raise errors.StorageUnavailable("away")

        monkeypatch.setattr(processor.parts.originals, "delete", away)
        assert (await processor.sweep())["objects_removed"] == -1
        monkeypatch.undo()
        assert (await processor.sweep())["objects_removed"] == 0
        await processor.let_time_pass()
        assert (await processor.sweep())["objects_removed"] == 1


class TestOutbox:
    async def test_what_was_left_behind_is_published_under_its_id(self, processor: Processor) -> None:
        row, _ = await processor.image("ready")
        happened = image_event(EventType.READY, row["id"], row["team_id"])
        async with processor.rows.transaction() as transaction:
            await record(transaction, happened)
        assert (await processor.sweep())["events_published"] == 0
        await processor.let_time_pass(event, "created_at")
        assert (await processor.sweep())["events_published"] == 1
        assert await processor.rows.fetch_value(select(event.c.id)) == happened.event_id
        assert await processor.events() == [("image.ready", True)]
        assert (await processor.sweep())["events_published"] == 0


class TestOldRows:
    async def test_answers_go_once_nobody_may_ask_for_them_again(self, processor: Processor) -> None:
        owner = await testing.add_user(processor.rows, await testing.add_team(processor.rows))
        for key, expires_at in (("old", PAST), ("young", datetime.now(UTC) + timedelta(hours=1))):
            answer = {"fingerprint": b"x", "status": 201, "headers": "{}", "body": b"{}", "expires_at": expires_at}
            await processor.rows.execute(insert(idempotency_key).values(user_id=owner.user_id, key=key, **answer))
        assert (await processor.sweep())["old_rows"] == 1
        assert await processor.rows.fetch_value(select(idempotency_key.c.key)) == "young"

    async def test_published_events_and_expired_uploads_go_after_their_time(self, processor: Processor) -> None:
        old, _ = await processor.image("expired", updated_at=PAST)
        young, _ = await processor.image("expired")
        for published_at in (PAST, None, datetime.now(UTC)):
            await processor.rows.execute(
                insert(event).values(
                    id=new_id(), topic="events", type="image.ready", payload="{}", published_at=published_at
                )
            )
        assert (await processor.sweep())["old_rows"] == 2
        left = await processor.rows.fetch(select(image.c.id))
        assert [row[0] for row in left] == [young["id"]]
        assert old["id"] != young["id"]
        assert await processor.rows.fetch_value(select(func.count()).select_from(event)) == 2


class TestWhole:
    async def test_a_step_that_fails_does_not_hold_the_others(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def broken(*_: Any) -> int:
            raise RuntimeError("broken")

        monkeypatch.setitem(sweep_steps.STEPS, "overdue_uploads", broken)
        await processor.image("stored", queued_at=PAST)
        counts = await processor.sweep()
        assert (counts["overdue_uploads"], counts["asked_again"]) == (-1, 1)

    async def test_more_than_a_batch_is_done_in_rounds(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (sweep_steps, sweep_runner):
            monkeypatch.setattr(module, "BATCH", 2)
        team_id = await testing.add_team(processor.rows)
        for _ in range(5):
            await testing.add_image(processor.rows, team_id, "stored", queued_at=PAST)
        assert (await processor.sweep())["asked_again"] == 5

    async def test_the_sweep_shows_what_waits(self, processor: Processor) -> None:
        await processor.sweep()
        shown = (await processor.client.get("/metrics")).text
        assert "orphan_objects 0.0" in shown
        assert "outbox_age_seconds 0.0" in shown

    async def test_without_a_database_the_sweep_comes_again(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away(*_: Any, **__: Any) -> Any:
            raise errors.DatabaseUnavailable("away")

        for verb in ("fetch", "fetch_one", "execute"):
            monkeypatch.setattr(processor.parts.database, verb, away)
        headers = {"authorization": f"Bearer {processor.token(SWEEP_EMAIL)}"}
        answer = await processor.client.post("/tasks/sweep", headers=headers)
        assert answer.status_code == 503


class TestCredits:
    async def test_a_reservation_that_a_crash_left_open_lapses_and_the_credits_are_back(
        self, processor: Processor
    ) -> None:
        team_id = await testing.add_team(processor.rows)
        async with processor.rows.transaction() as transaction:
            await credits.reserve(transaction, team_id, 5, "analyze skin")
        assert (await processor.sweep())["reservations_lapsed"] == 0
        await processor.let_time_pass(credit_reservation, "expires_at")
        assert (await processor.sweep())["reservations_lapsed"] == 1
        account = await credits.find_account(processor.rows, team_id)
        assert account is not None
        assert (account["balance"], account["reserved"]) == (testing.STARTING_CREDITS, 0)
        assert (await processor.sweep())["reservations_lapsed"] == 0

    async def test_a_balance_is_refilled_when_its_time_has_come(self, processor: Processor) -> None:
        team_id = await testing.add_team(processor.rows)
        schedule = {"refill_amount": 7, "refill_mode": "add", "refill_period": "day", "next_refill_at": PAST}
        await processor.rows.execute(update(credit_account).values(schedule))
        assert (await processor.sweep())["accounts_refilled"] == 1
        assert (await processor.sweep())["accounts_refilled"] == 0
        account = await credits.find_account(processor.rows, team_id)
        assert account is not None
        assert account["balance"] == testing.STARTING_CREDITS + 7


async def test_what_the_sweep_ends_or_purges_is_not_counted_any_more(processor: Processor) -> None:
    team_id = await testing.add_team(processor.rows)
    ready, _ = await processor.image("ready", b"a picture", team_id)
    _, overdue = await processor.image("pending", None, team_id, deadline_at=PAST, expected_bytes=500)
    await processor.parts.originals.delete(overdue.name)
    usage = await processor.rows.fetch_one(select(storage_usage))
    assert usage is not None
    assert (usage["bytes"], usage["images"]) == (9 + 500, 2)
    await processor.set_row(ready["id"], deleted_at=PAST)
    await processor.sweep()
    usage = await processor.rows.fetch_one(select(storage_usage))
    assert usage is not None
    assert (usage["bytes"], usage["images"]) == (0, 0)


async def test_what_is_left_of_signing_in_goes_after_its_time(processor: Processor) -> None:
    person = await testing.add_user(processor.rows, await testing.add_team(processor.rows))
    now = datetime.now(UTC)
    tables = (models.invitation, models.password_reset, models.session, models.sign_in_delay)
    for seed, moment in enumerate((now - timedelta(days=31), now + timedelta(days=1))):
        token_hash, subject = testing.a_sha256(seed), testing.a_sha256(("delay", seed))
        of_user = {"user_id": person.user_id, "token_hash": token_hash, "expires_at": moment}
        invited = {"team_id": person.team_id, "email": "ada@example.org", "role": "member", "token_hash": token_hash}
        failed = {"subject": subject, "failures": 1, "blocked_until": now, "last_failed_at": moment}
        rows = (
            {"id": new_id(), **invited, "expires_at": moment},
            {"id": new_id(), **of_user},
            {"id": new_id(), **of_user},
        )
        for table, row in zip(tables, (*rows, failed), strict=True):
            await processor.rows.execute(insert(table).values(**row))
    assert (await processor.sweep())["old_rows"] == 4
    counts = [await processor.rows.fetch_value(select(func.count()).select_from(table)) for table in tables]
    assert counts == [1, 1, 1, 1]
