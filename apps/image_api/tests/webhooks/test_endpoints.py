"""Webhooks and their deliveries as callers see them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, text

from image_api.actor import Scope
from image_api.limits.rate_limits import RateLimits
from image_api.webhooks import deliveries, queries
from image_api.webhooks.sending import queries as sending
from image_core import testing
from image_core.events import EventType
from image_core.models import audit_event

from ..conftest import MakeApi
from .conftest import URL, Hooks
from .receiver import receiving


class TestEndpoints:
    async def test_a_secret_is_shown_once_and_never_stored(self, hooks: Hooks) -> None:
        key = {"Idempotency-Key": "once"}
        first = await hooks.call("POST", "webhooks", json={"url": URL}, headers=key)
        again = await hooks.call("POST", "webhooks", json={"url": URL}, headers=key)
        assert first.json()["secret"].startswith("whsec_")
        assert (again.json()["secret"], again.headers["idempotency-replayed"]) == (None, "true")
        assert first.headers["cache-control"] == "no-store"
        found = await hooks.call("GET", first.headers["location"].removeprefix("/api/v1/"))
        assert "secret" not in found.json()
        dump = str([dict(row) for row in await hooks.tasks.rows.fetch(select(audit_event))])
        assert "hooks.example.com" in dump
        assert "token=secret" not in dump

    @pytest.mark.parametrize(
        "url",
        [
            "http://hooks.example.com/in", "https://hooks.example.com:8443/in", "https://ada:pw@hooks.example.com/in",
            "ftp://hooks.example.com", "hooks.example.com", "https://hooks.example.com/\\in", "https://0x7f.1/in",
            "https://127.0.0.1/in", "https://169.254.169.254/in", "https://[::ffff:10.0.0.1]/in", "https://a.localhost/in",
        ],
    )  # fmt: skip
    async def test_urls_that_nothing_is_sent_to(self, hooks: Hooks, url: str) -> None:
        answer = await hooks.call("POST", "webhooks", json={"url": url})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "url")
        assert "pw@" not in answer.text

    async def test_the_scope_is_in_no_default_and_types_of_keys_need_another(self, hooks: Hooks) -> None:
        member = await hooks.api.user()
        assert (await hooks.call("GET", "webhooks", by=member)).json()["missing_scopes"] == ["webhooks:manage"]
        bare = await hooks.api.user(scopes=("webhooks:manage",))
        answer = await hooks.call("POST", "webhooks", by=bare, json={"url": URL, "types": ["credential.leaked"]})
        assert answer.json()["missing_scopes"] == ["keys:self"]
        for types in (["webhook.test"], ["operation.progressed"], ["image.eaten"], []):
            assert (await hooks.call("POST", "webhooks", json={"url": URL, "types": types})).status_code == 422

    async def test_who_moves_a_webhook_gets_no_more_than_they_may_see(self, hooks: Hooks) -> None:
        manager = await hooks.api.user(scopes=(Scope.WEBHOOKS_MANAGE,), team_id=hooks.member.team_id)
        every, named = await hooks.create(), await hooks.create(types=["credential.leaked", "image.ready"])
        for kind in (EventType.KEY_REVOKED, EventType.TRASHED):
            await sending.add_deliveries(hooks.tasks.rows, [await hooks.event(kind=kind)], datetime.now(UTC))  # type: ignore[arg-type]
        moved = {"url": "https://elsewhere.example"}
        refused = await hooks.call("PATCH", f"webhooks/{named['id']}", by=manager, json=moved)
        assert (refused.status_code, refused.json()["code"]) == (403, "scope-missing")
        chosen = {**moved, "types": ["image.ready"]}
        assert (await hooks.call("PATCH", f"webhooks/{named['id']}", by=manager, json=chosen)).status_code == 200
        assert (await hooks.call("PATCH", f"webhooks/{every['id']}", by=manager, json=moved)).status_code == 200
        assert [row["status"] for row in await hooks.deliveries()] == ["ended", "pending"]
        (ended, _) = await hooks.deliveries()
        replay = await hooks.call("POST", f"webhook-deliveries/{ended['id']}/replay", by=manager)
        assert (replay.status_code, replay.json()["missing_scopes"]) == (403, ["keys:self"])
        # Nor does it get more when somebody else moves it.
        back = await hooks.call("PATCH", f"webhooks/{every['id']}", json={"url": URL})
        assert back.status_code == 200
        assert [(await hooks.row(hook))["with_credentials"] for hook in (every, named)] == [False, False]

    async def test_a_team_has_twenty(self, hooks: Hooks) -> None:
        assert hooks.member.team_id is not None
        for _ in range(20):
            await testing.add_webhook(hooks.tasks.rows, hooks.member.team_id)
        assert (await hooks.call("POST", "webhooks", json={"url": URL})).json()["code"] == "too-many-webhooks"

    async def test_lists_are_of_one_team_and_an_admin_names_it(self, hooks: Hooks) -> None:
        hook = await hooks.create()
        stranger = await hooks.api.user(scopes=("webhooks:manage",))
        assert (await hooks.call("GET", "webhooks", by=stranger)).json()["items"] == []
        named = {"team_id": str(hooks.member.team_id)}
        found = await hooks.call("GET", "webhooks", by=hooks.api.admin, params=named)
        assert [each["id"] for each in found.json()["items"]] == [hook["id"]]

    async def test_changes_keep_to_the_version_and_disabling_ends_what_is_due(self, hooks: Hooks) -> None:
        hook = await hooks.create()
        path, etag = f"webhooks/{hook['id']}", {"If-Match": '"1"'}
        tested = await hooks.call("POST", f"{path}/test")
        assert (tested.status_code, tested.json()["status"]) == (202, "pending")
        changed = await hooks.call("PATCH", path, json={"disabled": True, "types": ["image.ready"]}, headers=etag)
        assert (changed.json()["disabled_reason"], changed.json()["types"]) == ("manual", ["image.ready"])
        assert (await hooks.call("PATCH", path, json={"disabled": False}, headers=etag)).status_code == 412
        ended = await hooks.call("GET", f"webhook-deliveries/{tested.json()['id']}")
        assert (ended.json()["status"], ended.json()["next_attempt_at"]) == ("ended", None)
        for call in ("test", "replay"):
            body = {"since": "2026-01-01T00:00:00Z"} if call == "replay" else None
            assert (await hooks.call("POST", f"{path}/{call}", json=body)).json()["code"] == "webhook-disabled"
        assert (await hooks.call("PATCH", path, json={"url": None})).status_code == 422
        assert (await hooks.call("DELETE", path)).status_code == 204
        assert (await hooks.call("GET", path)).status_code == 404

    async def test_enabling_again_sends_nothing_of_the_meantime(self, hooks: Hooks) -> None:
        async with receiving() as receiver:
            hook = await hooks.create(receiver.url)
            await hooks.call("PATCH", f"webhooks/{hook['id']}", json={"disabled": True})
            await hooks.event()
            await hooks.call("PATCH", f"webhooks/{hook['id']}", json={"disabled": False})
            later = await hooks.event()
            await hooks.send()
        assert [each.message_id for each in receiver.received] == [str(later)]

    async def test_rotation_within_grace_needs_force(self, hooks: Hooks) -> None:
        hook = await hooks.create()
        path = f"webhooks/{hook['id']}/rotate-secret"
        first = await hooks.call("POST", path)
        assert first.json()["previous_secret_expires_at"] is not None
        assert (await hooks.call("POST", path)).json()["code"] == "rotation-in-grace"
        forced = await hooks.call("POST", path, json={"force": True, "grace_period_seconds": 0})
        assert forced.json()["previous_secret_expires_at"] is None
        assert len({hook["secret"], first.json()["secret"], forced.json()["secret"]}) == 3

    async def test_without_a_master_there_are_none(self, make_api: MakeApi) -> None:
        async with make_api(webhook_master=None) as api:
            user = await api.user(scopes=("webhooks:manage",))
            answer = await api.client.post("/api/v1/webhooks", json={"url": URL}, headers=user.headers)
            assert answer.json()["code"] == "webhooks-not-configured"


class TestDeliveries:
    async def test_attempts_can_be_looked_at_and_sent_again_under_the_same_id(self, hooks: Hooks) -> None:
        async with receiving(status=400, headers={"webhook-delivery": "abort-message"}, body=b"no \x00") as receiver:
            hook = await hooks.create(receiver.url)
            await hooks.push(await hooks.event())
            path = f"webhooks/{hook['id']}/deliveries"
            (listed,) = (await hooks.call("GET", path)).json()["items"]
            assert (await hooks.call("GET", path, params={"status": "pending"})).json()["items"] == []
            detail = (await hooks.call("GET", f"webhook-deliveries/{listed['id']}")).json()
            (attempt,) = detail["attempts"]
            assert (attempt["status"], attempt["response"], detail["status"]) == (400, "no \ufffd", "failed")
            again = await hooks.call("POST", f"webhook-deliveries/{listed['id']}/replay")
            assert (again.json()["replay"], again.json()["event_id"]) == (1, listed["event_id"])
            receiver.status = 200
            await hooks.send()
        assert [each.message_id for each in receiver.received] == [listed["event_id"]] * 2

    async def test_a_test_goes_to_its_endpoint_alone_and_not_into_the_feed(self, hooks: Hooks) -> None:
        async with receiving() as receiver, receiving() as other:
            hook = await hooks.create(receiver.url)
            await hooks.create(other.url)
            tested = await hooks.call("POST", f"webhooks/{hook['id']}/test")
            await hooks.send()
        assert [(each.type, each.message_id) for each in receiver.received] == [
            ("webhook.test", tested.json()["event_id"])
        ]
        assert other.received == []
        assert [kind for kind, _ in await hooks.tasks.events()] == ["task.nudged"]

    async def test_a_period_is_replayed_since_the_webhook_exists(
        self, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deliveries, "MOST_REPLAYED", 3)
        await hooks.event()
        async with receiving() as receiver:
            hook = await hooks.create(receiver.url)
            sent = [str(await hooks.event()) for _ in range(5)]
            await hooks.send()
            since = {"since": (datetime.now(UTC) - timedelta(days=1)).isoformat()}
            path = f"webhooks/{hook['id']}/replay"
            first = (await hooks.call("POST", path, json=since)).json()
            assert first["count"] == 3
            rest = (await hooks.call("POST", path, json={"since": first["next_since"]})).json()
            assert rest == {"count": 2, "next_since": None}
            assert (await hooks.call("POST", path, json={**since, "only_failed": True})).json()["count"] == 0
            assert (await hooks.call("POST", path, json={**since, "types": ["image.ready"]})).json()["count"] == 0
            await hooks.send()
        assert sorted(each.message_id for each in receiver.received) == sorted(sent * 2)

    async def test_one_replay_at_a_time(self, hooks: Hooks) -> None:
        hook = await hooks.create()
        async with hooks.tasks.rows.transaction() as other:
            assert await queries.try_to_replay(other, hook["id"])
            body: dict[str, Any] = {"since": "2026-01-01"}
            answer = await hooks.call("POST", f"webhooks/{hook['id']}/replay", json=body)
            assert answer.json()["code"] == "replay-in-progress"

    async def test_a_replay_meets_the_fan_out_of_the_same_event(self, hooks: Hooks) -> None:
        hook = await hooks.create()
        event_id = await hooks.event()
        body = {"since": (datetime.now(UTC) - timedelta(days=1)).isoformat()}
        async with hooks.tasks.rows.transaction() as fan_out:
            assert await sending.add_deliveries(fan_out, [event_id], datetime.now(UTC)) == 1
            replay = asyncio.create_task(hooks.call("POST", f"webhooks/{hook['id']}/replay", json=body))
            await testing.wait_for_lock_waiter(hooks.tasks.rows)
        assert (await replay).status_code == 202
        assert [(row["event_id"], row["replay"]) for row in await hooks.deliveries()] == [(event_id, 0)]

    async def test_ten_calls_a_minute(self, hooks: Hooks) -> None:
        object.__setattr__(hooks.api.services, "rate_limits", RateLimits(hooks.api.services.settings))
        answers = [await hooks.call("POST", f"webhooks/{uuid4()}/test") for _ in range(11)]
        assert [answer.status_code for answer in answers] == [404] * 10 + [429]
        assert answers[-1].json()["code"] == "too-many-webhook-calls"

    async def test_pages(self, hooks: Hooks) -> None:
        hook = await hooks.create()
        for _ in range(3):
            await testing.add_webhook_delivery(hooks.tasks.rows, hooks.member.team_id, hook["id"])  # type: ignore[arg-type]
        path = f"webhooks/{hook['id']}/deliveries"
        page = (await hooks.call("GET", path, params={"limit": 2})).json()
        rest = (await hooks.call("GET", path, params={"limit": 2, "cursor": page["next_cursor"]})).json()
        assert (len(page["items"]), len(rest["items"]), rest["next_cursor"]) == (2, 1, None)
        await hooks.tasks.rows.execute(text("DELETE FROM webhook"))
        assert await hooks.deliveries() == []
