"""From the feed to receivers of every kind, and what a crash at each step leaves."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import func, select, text, update
from standardwebhooks import Webhook

from image_api.tasks.runner import Budget
from image_api.webhooks import tasks as webhook_tasks
from image_api.webhooks.sending import fan_out, queries, sender
from image_core import errors, events, testing
from image_core.events import EventType, OutboxEvent, Topic
from image_core.ids import new_id
from image_core.models import audit_event, event, team, webhook_delivery, webhook_position
from image_core.testing import until_feed_shows_all

from .conftest import Hooks
from .receiver import receiving

EVENT_DATA = {"image_id": str(new_id()), "revision": 1}


class TestFanOut:
    async def test_a_push_sends_its_event_once_however_often_it_comes(self, hooks: Hooks) -> None:
        async with receiving() as receiver:
            hook = await hooks.create(receiver.url)
            event_id = await hooks.event()
            assert set(await asyncio.gather(*(hooks.push(event_id) for _ in range(5)))) == {204}
            await hooks.send()
        (received,) = receiver.received
        assert received.message_id == str(event_id)
        assert Webhook(hook["secret"]).verify(received.body, received.headers)
        body = orjson.loads(received.body)
        assert set(body) == {"type", "timestamp", "data"}
        assert body["type"] == "image.trashed"
        assert [row["status"] for row in await hooks.deliveries()] == ["succeeded"]

    async def test_an_event_that_no_push_told_of_is_sent_by_the_tick(self, hooks: Hooks) -> None:
        async with receiving() as receiver:
            await hooks.create(receiver.url)
            event_id = await hooks.event()
            await hooks.tasks.sweep()
        assert [each.message_id for each in receiver.received] == [str(event_id)]

    async def test_what_commits_late_is_not_missed_and_holds_its_push(
        self, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhook_tasks, "_POLLS", 2)
        async with receiving() as receiver:
            await hooks.create(receiver.url)
            async with hooks.tasks.rows.transaction() as held:
                # A transaction that began before the event was written.
                await held.execute(text("SELECT pg_current_xact_id()"))
                event_id = await hooks.event(until_shown=False)
                assert await hooks.push(event_id) == 503
            assert receiver.received == []
            await until_feed_shows_all(hooks.tasks.rows)
            assert await hooks.push(event_id) == 204
        assert [each.message_id for each in receiver.received] == [str(event_id)]

    async def test_only_what_an_endpoint_wants_of_its_team_since_it_exists(
        self, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fan_out, "BATCH", 2)
        async with receiving() as receiver, receiving() as other:
            await hooks.event()
            await hooks.create(receiver.url, types=["image.trashed"])
            await hooks.create(other.url, disabled=True)
            stranger = await hooks.api.user()
            wanted = [await hooks.event() for _ in range(3)]
            for kind in (EventType.PURGED, EventType.OPERATION_PROGRESSED):
                await hooks.event(kind=kind)
            await hooks.event(stranger.team_id)
            await hooks.send()
        assert sorted(each.message_id for each in receiver.received) == sorted(map(str, wanted))
        assert other.received == []

    async def test_events_about_keys_need_the_scope_that_shows_them(self, hooks: Hooks) -> None:
        bare = await hooks.api.user(hooks.member.team_id, scopes=("webhooks:manage",))
        async with receiving() as receiver, receiving() as other:
            await hooks.create(receiver.url)
            await hooks.create(other.url, by=bare)
            await hooks.event(kind=EventType.KEY_REVOKED)
            await hooks.send()
        assert [each.type for each in receiver.received] == ["credential.revoked"]
        assert other.received == []

    @pytest.mark.parametrize("created", [True, False], ids=["created", "enabled"])
    async def test_what_was_committed_before_is_not_sent_though_the_feed_held_it_back(
        self, hooks: Hooks, created: bool
    ) -> None:
        async with receiving() as receiver:
            hook = None if created else await hooks.create(receiver.url, disabled=True)
            async with hooks.tasks.rows.transaction() as held:
                late = OutboxEvent(Topic.EVENTS, EventType.TRASHED, EVENT_DATA, hooks.member.team_id)
                await events.record(held, late)
                await hooks.event(until_shown=False)
                if hook is None:
                    await hooks.create(receiver.url)
                else:
                    await hooks.call("PATCH", f"webhooks/{hook['id']}", json={"disabled": False})
            newer = await hooks.event()
            await hooks.send()
        # What is committed afterwards is sent, though its transaction had begun.
        assert {each.message_id for each in receiver.received} == {str(late.event_id), str(newer)}

    async def test_nothing_is_sent_for_a_team_that_is_being_removed(self, hooks: Hooks) -> None:
        async with receiving() as receiver:
            hook = await hooks.create(receiver.url)
            await hooks.event()
            assert await fan_out.fan_out(hooks.tasks.parts, hooks.now()) == 1
            await hooks.tasks.rows.execute(update(team).values(deleting_at=func.now()))
            await hooks.event()
            await hooks.send()
        assert receiver.received == []
        assert [row["attempts"] for row in await hooks.deliveries()] == [0]
        assert not hooks.ahead, "it waited for what is due there"
        tested = await hooks.call("POST", f"webhooks/{hook['id']}/test", by=hooks.api.admin)
        assert tested.json()["code"] == "team-being-removed"

    async def test_a_second_fan_out_at_once_leaves_it_to_the_first(self, hooks: Hooks) -> None:
        await hooks.create()
        async with hooks.tasks.parts.database.transaction() as other:
            assert await queries.try_to_lead(other)
            await hooks.event()
            assert await fan_out.fan_out(hooks.tasks.parts, hooks.now()) == 0
        assert await fan_out.fan_out(hooks.tasks.parts, hooks.now()) == 1
        (row,) = await hooks.tasks.rows.fetch(select(webhook_position))
        (newest,) = await hooks.tasks.rows.fetch(select(event.c.xact).where(event.c.topic == "events"))
        assert row["xact"] >= newest["xact"]


class TestReceivers:
    async def test_the_second_attempt_is_awaited_and_the_later_ones_are_not(self, hooks: Hooks) -> None:
        async with receiving(status=500, body=b"broken\x00" * 1000) as receiver:
            await hooks.create(receiver.url)
            event_id = await hooks.event()
            assert await hooks.push(event_id) == 204
            assert len(receiver.received) == 2
            (row,) = await hooks.deliveries()
            assert timedelta(minutes=4) < row["due_at"] - hooks.now() < timedelta(minutes=6)
            receiver.status = 200
            hooks.ahead += timedelta(minutes=6)
            await hooks.send()
        assert [each.message_id for each in receiver.received] == [str(event_id)] * 3
        times = [int(each.headers["webhook-timestamp"]) for each in receiver.received]
        assert times[0] < times[1] < times[2]
        assert [(row["number"], row["status"]) for row in await hooks.attempts()] == [(1, 500), (2, 500), (3, 200)]
        assert len((await hooks.attempts())[0]["response"]) == 2048

    async def test_after_ten_attempts_a_delivery_has_failed(self, hooks: Hooks) -> None:
        async with receiving(behaviour="closes") as receiver:
            await hooks.create(receiver.url)
            await hooks.event()
            for _ in range(12):
                hooks.ahead += timedelta(hours=27)
                # Enabled for another five days each time: this is about the delivery.
                await hooks.tasks.rows.execute(text("UPDATE webhook SET failing_since = NULL"))
                await hooks.send()
            assert len(receiver.received) == 10
        (row,) = await hooks.deliveries()
        assert (row["status"], row["attempts"]) == ("failed", 10)
        assert {attempt["error"] for attempt in await hooks.attempts()} == {"source-answer-unusable"}

    @pytest.mark.parametrize(
        ("said", "status", "disabled"),
        [
            ({"status": 410}, "failed", "gone"),
            ({"status": 400, "headers": {"Webhook-Delivery": "abort-message"}}, "failed", None),
            ({"status": 302, "headers": {"Location": "http://169.254.169.254/"}}, "pending", None),
            ({"status": 200, "behaviour": "endless"}, "succeeded", None),
        ],
    )
    async def test_answers(self, hooks: Hooks, said: dict[str, Any], status: str, disabled: str | None) -> None:
        async with receiving(**said) as receiver:
            hook = await hooks.create(receiver.url)
            event_id = await hooks.event()
            await hooks.push(event_id)
            # More than the service reads stays with the receiver or on its way.
            assert receiver.sent_bytes < 16 * 1024 * 1024
        (row,) = await hooks.deliveries()
        assert (row["status"], (await hooks.row(hook))["disabled_reason"]) == (status, disabled)
        if disabled:
            actions = await hooks.tasks.rows.fetch(select(audit_event.c.action, audit_event.c.after))
            assert ("webhook.disabled", '{"reason": "gone"}') in [(each[0], each[1]) for each in actions]
            assert ("webhook.disabled", True) in await hooks.tasks.events()

    async def test_retry_after_holds_the_endpoint(self, hooks: Hooks) -> None:
        async with receiving(status=429, headers={"Retry-After": "600"}) as receiver:
            hook = await hooks.create(receiver.url)
            for _ in range(3):
                await hooks.event()
            await hooks.send()
            assert len(receiver.received) == 1
            held = (await hooks.row(hook))["held_until"] - hooks.now()
            assert timedelta(seconds=590) < held <= timedelta(seconds=600)
            receiver.status, receiver.headers = 204, {}
            hooks.ahead += timedelta(minutes=11)
            await hooks.send()
        assert len(receiver.received) == 4

    async def test_an_address_that_turns_private_is_not_called(
        self, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = iter(["127.0.0.1", "169.254.169.254"])

        async def resolve(*_: Any) -> list[str]:
            return [next(names)]

        monkeypatch.setattr(hooks.sender._fetcher, "_resolve", resolve)
        async with receiving(status=500) as receiver:
            await hooks.create(receiver.url.replace("127.0.0.1", "hooks.test"))
            await hooks.push(await hooks.event())
            assert len(receiver.received) == 1
        assert [(row["status"], row["error"]) for row in await hooks.attempts()] == [
            (500, None), (None, "source-refused"),
        ]  # fmt: skip

    async def test_five_days_of_failure_disable_an_endpoint(self, hooks: Hooks) -> None:
        async with receiving(status=500) as receiver:
            hook = await hooks.create(receiver.url)
            for days in (0, 2.5, 5.1):
                await hooks.event()
                hooks.ahead = timedelta(days=days)
                await hooks.send()
                assert (await hooks.row(hook))["disabled_reason"] == ("failing" if days == 5.1 else None)
        assert {row["status"] for row in await hooks.deliveries()} <= {"ended", "failed"}

    async def test_one_that_hangs_ends_after_its_time(self, hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sender, "ATTEMPT_SECONDS", 0.2)
        async with receiving(behaviour="hangs") as hanging, receiving() as good:
            await hooks.create(hanging.url)
            await hooks.create(good.url)
            await hooks.push(await hooks.event())
        assert len(good.received) == 1
        assert {row["error"] for row in await hooks.attempts()} == {None, "source-timeout"}


class TestCrashes:
    async def test_killed_after_the_claim_it_is_sent_when_the_lease_ends(self, hooks: Hooks) -> None:
        async with receiving() as receiver:
            await hooks.create(receiver.url)
            await hooks.event()
            await fan_out.fan_out(hooks.tasks.parts, hooks.now())
            (row,) = await hooks.deliveries()
            async with hooks.tasks.parts.database.connection() as connection:
                first = await queries.claim(connection, [row["id"]], new_id(), hooks.now())
                second = await queries.claim(connection, [row["id"]], new_id(), hooks.now())
            assert (len(first), len(second)) == (1, 0)
            await hooks.send()
            assert receiver.received == []
            hooks.ahead += timedelta(seconds=61)
            await hooks.send()
        assert len(receiver.received) == 1
        assert [row["attempts"] for row in await hooks.deliveries()] == [2]

    async def test_what_another_instance_has_tried_meanwhile_waits(self, hooks: Hooks) -> None:
        await hooks.create()
        await queries.add_deliveries(hooks.tasks.rows, [await hooks.event()], hooks.now())  # type: ignore[arg-type]
        (seen,) = await hooks.deliveries()
        await hooks.tasks.rows.execute(update(webhook_delivery).values(due_at=hooks.now() + timedelta(seconds=5)))
        async with hooks.tasks.rows.transaction() as transaction:
            assert await queries.claim(transaction, [seen["id"]], new_id(), hooks.now()) == []

    async def test_killed_before_the_outcome_is_stored_it_is_sent_again(
        self, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away(*_: Any) -> None:
            raise errors.DatabaseUnavailable("Away.")

        async with receiving() as receiver:
            await hooks.create(receiver.url)
            event_id = await hooks.event()
            with monkeypatch.context() as patched:
                patched.setattr(hooks.sender, "_record", away)
                await hooks.push(event_id)
            hooks.ahead += timedelta(seconds=61)
            await hooks.send()
        assert [each.message_id for each in receiver.received] == [str(event_id)] * 2
        assert [row["status"] for row in await hooks.deliveries()] == ["succeeded"]

    @pytest.mark.parametrize("change", ["delete", "disable"])
    async def test_an_endpoint_that_ends_during_an_attempt(self, hooks: Hooks, change: str) -> None:
        async with receiving(behaviour="hangs", status=500) as receiver:
            hook = await hooks.create(receiver.url)
            push = asyncio.create_task(hooks.push(await hooks.event()))
            await receiver.has_received.wait()
            if change == "delete":
                assert (await hooks.call("DELETE", f"webhooks/{hook['id']}")).status_code == 204
            else:
                await hooks.call("PATCH", f"webhooks/{hook['id']}", json={"disabled": True})
            receiver.may_answer.set()
            assert await push == 204
            await hooks.send()
            assert len(receiver.received) == 1
        assert [row["status"] for row in await hooks.deliveries()] == ([] if change == "delete" else ["ended"])

    @pytest.mark.parametrize("status", [410, 503])
    async def test_what_the_old_url_answers_says_nothing_about_the_new_one(self, hooks: Hooks, status: int) -> None:
        said = {"status": status, "headers": {"Retry-After": "3600"}}
        async with receiving(behaviour="hangs", **said) as old, receiving() as new:
            hook = await hooks.create(old.url)
            push = asyncio.create_task(hooks.push(await hooks.event()))
            await old.has_received.wait()
            await hooks.set(hook, url=new.url)
            old.may_answer.set()
            assert await push == 204
            assert len(new.received) == 1
        row = await hooks.row(hook)
        assert (row["disabled_at"], row["failing_since"]) == (None, None)
        assert [each["status"] for each in await hooks.deliveries()] == ["succeeded"]

    async def test_a_secret_that_is_rotated_between_attempts(self, hooks: Hooks) -> None:
        async with receiving(status=500) as receiver:
            hook = await hooks.create(receiver.url)
            await hooks.push(await hooks.event())
            rotated = await hooks.call(
                "POST", f"webhooks/{hook['id']}/rotate-secret", json={"grace_period_seconds": 600}
            )
            hooks.ahead += timedelta(minutes=6)
            await hooks.send()
            hooks.ahead += timedelta(minutes=40)
            await hooks.send()
        first, _, third, fourth = receiver.received
        assert [len(each.headers["webhook-signature"].split()) for each in (first, third, fourth)] == [1, 2, 1]
        # The package compares the time with its own clock, which has not moved.
        both = Webhook(hook["secret"]), Webhook(rotated.json()["secret"])
        for received, secrets in ((first, both[:1]), (third, both), (fourth, both[1:])):
            stamp = datetime.fromtimestamp(int(received.headers["webhook-timestamp"]), UTC)
            for secret in secrets:
                expected = secret.sign(received.message_id, stamp, received.body.decode())
                assert expected in received.headers["webhook-signature"].split()

    async def test_an_unknown_master_costs_no_attempt(self, hooks: Hooks) -> None:
        async with receiving() as receiver:
            hook = await hooks.create(receiver.url)
            known = (await hooks.row(hook))["master_id"]
            await hooks.set(hook, master_id=b"12345678")
            await hooks.push(await hooks.event())
            assert receiver.received == []
            await hooks.set(hook, master_id=known)
            hooks.ahead += timedelta(seconds=31)
            await hooks.send()
        assert [row["attempts"] for row in await hooks.deliveries()] == [1]


async def test_a_push_during_a_send_wakes_the_one_that_sends(hooks: Hooks) -> None:
    async with receiving(behaviour="hangs") as hanging, receiving() as good:
        await hooks.create(hanging.url, types=["image.purged"])
        await hooks.create(good.url, types=["image.trashed"])
        first = asyncio.create_task(hooks.push(await hooks.event(kind=EventType.PURGED)))
        await hanging.has_received.wait()
        assert await hooks.push(await hooks.event()) == 204
        await asyncio.wait_for(good.has_received.wait(), 10)
        hanging.may_answer.set()
        assert await first == 204


async def test_endpoints_that_work_and_are_sent_nothing_are_reported(
    hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    async def stuck(**columns: Any) -> int:
        if columns:
            await hooks.set(hook, **columns)
        return await webhook_tasks.report_stuck(hooks.tasks.parts, Budget("webhooks_stuck", 1))

    async def set_delivery(**columns: Any) -> None:
        await hooks.tasks.rows.execute(update(webhook_delivery).values(columns))

    hook = await hooks.create()
    await hooks.event()
    await fan_out.fan_out(hooks.tasks.parts, hooks.now())
    long_ago, now = hooks.now() - timedelta(minutes=16), hooks.now()
    assert await stuck() == 0
    await set_delivery(created_at=long_ago)
    assert (await stuck(), "webhooks_stuck" in caplog.messages) == (1, True)
    assert await stuck(last_succeeded=True) == 1
    assert await stuck(last_succeeded=False) == 0
    assert await stuck(last_succeeded=True, held_until=now - timedelta(minutes=1)) == 0
    assert await stuck(held_until=long_ago) == 1
    await set_delivery(attempts=1, created_at=long_ago, due_at=now)
    assert await stuck() == 0
    await set_delivery(due_at=long_ago)
    assert await stuck() == 1
    assert await stuck(disabled_at=now, disabled_reason="manual") == 0
    assert await stuck(disabled_at=None, disabled_reason=None) == 1
    # Others are sent meanwhile, so the endpoint is only slow.
    ended = await testing.add_webhook_delivery(
        hooks.tasks.rows,
        hooks.member.team_id,
        UUID(hook["id"]),
        status="succeeded",
        ended_at=now,  # type: ignore[arg-type]
    )
    assert await stuck() == 0
    await hooks.tasks.rows.execute(
        update(webhook_delivery).where(webhook_delivery.c.id == ended).values(ended_at=long_ago)
    )
    assert await stuck() == 1
    await hooks.tasks.rows.execute(update(team).values(deleting_at=now))
    assert await stuck() == 0


async def test_old_deliveries_are_removed(hooks: Hooks) -> None:
    async with receiving() as receiver:
        await hooks.create(receiver.url)
        await hooks.push(await hooks.event())
    await hooks.tasks.rows.execute(text("UPDATE webhook_delivery SET created_at = created_at - interval '31 days'"))
    await hooks.tasks.nudge("old_webhook_deliveries")
    assert await hooks.deliveries() == []
    assert await hooks.attempts() == []
