"""Who may start a sweep or push: the account of each, for this service, and nobody else; and what a push does."""

import time
from typing import Any
from uuid import UUID

import pytest
from joserfc.jwk import RSAKey
from sqlalchemy import text

from image_api import tasks_app
from image_api.tasks import runner
from image_api.tasks.locks import StepLocks
from image_core import errors, events
from image_core.ids import new_id
from image_core.intake.nudges import nudge

from ..housekeeping import PAST, PUSH_EMAIL, SCHEDULER_EMAIL, Tasks


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "push@test.iam.gserviceaccount.com"},
        {"email_verified": False},
        {"aud": "https://processor.test"},
        {"iss": "https://issuer.example"},
        {"exp": int(time.time()) - 3600},
    ],
)
async def test_a_token_of_somebody_else_is_refused_and_nothing_is_done(tasks: Tasks, claims: dict[str, Any]) -> None:
    row, _ = await tasks.image("stored", queued_at=PAST)
    answer = await tasks.client.post("/tasks/sweep", headers=tasks.headers(**claims))
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert (await tasks.row(row["id"]))["revision"] == 1


async def test_without_a_token_or_with_a_signature_of_somebody_else_nobody_gets_in(tasks: Tasks) -> None:
    other = RSAKey.generate_key(2048, {"kid": tasks.key.kid})
    for headers in ({}, {"authorization": "Bearer x"}, tasks.headers(key=other)):
        assert (await tasks.client.post("/tasks/sweep", headers=headers)).status_code == 401


async def test_while_the_issuer_is_away_the_scheduler_comes_again(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.parts.issuer_keys, "_keys", {})
    monkeypatch.setattr(tasks.parts.issuer_keys, "_tried_at", float("-inf"))
    monkeypatch.setattr(tasks.parts.issuer_keys, "_jwks_url", "http://127.0.0.1:9/certs")
    answer = await tasks.client.post("/tasks/sweep", headers=tasks.headers())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_it_serves_no_route_of_the_api(tasks: Tasks) -> None:
    for path in ("/api/v1/images", "/docs", "/openapi.json"):
        assert (await tasks.client.get(path, headers=tasks.headers())).status_code == 404


async def test_it_is_ready_with_its_schema_and_says_what_runs(tasks: Tasks) -> None:
    assert (await tasks.client.get("/health/live")).json() == {"status": "ok"}
    ready = await tasks.client.get("/health/ready")
    assert (ready.status_code, ready.json()["database"]) == (200, "ok")
    assert (await tasks.client.get("/version")).json()["service"] == "image-tasks"


async def test_without_a_database_it_is_not_ready(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise OSError("away")

    monkeypatch.setattr(tasks.parts.database, "fetch_value", away)
    answer = await tasks.client.get("/health/ready")
    assert (answer.status_code, answer.json()["database"]) == (503, "unavailable")


class TestPushes:
    @pytest.mark.parametrize("topic", ["events", "tasks"])
    async def test_only_the_push_account_may_push(self, tasks: Tasks, topic: str) -> None:
        message = {"attributes": {"event_id": str(new_id())}}
        assert await tasks.push(topic, message) == 204
        for claims in ({"email": SCHEDULER_EMAIL}, {"aud": "https://processor.test"}, {"email_verified": False}):
            assert await tasks.push(topic, message, **claims) == 401

    async def test_a_nudge_runs_its_step_and_no_other(self, tasks: Tasks) -> None:
        row, _ = await tasks.image("stored", queued_at=PAST)
        assert await tasks.nudge("audit_seals") == 204
        assert (await tasks.row(row["id"]))["revision"] == 1
        assert await tasks.nudge("asked_again") == 204
        assert (await tasks.row(row["id"]))["revision"] == 2

    async def test_a_recorded_nudge_is_published_as_it_is_read(self, tasks: Tasks) -> None:
        async with events.committing(tasks.parts.database, tasks.parts.publisher) as transaction:
            await nudge(transaction, "asked_again")
        assert await tasks.events() == [("task.nudged", True)]

    async def test_what_nobody_sends_or_nobody_knows_is_acknowledged(self, tasks: Tasks) -> None:
        assert await tasks.nudge("a_step_of_another_release") == 204
        assert await tasks.push("tasks", {"data": "x"}) == 204
        assert await tasks.push("events", {"attributes": {"event_id": "7"}}) == 204
        answer = await tasks.client.post("/push/tasks", content=b"{", headers=tasks.headers(email=PUSH_EMAIL))
        assert answer.status_code == 400

    async def test_an_event_is_told_until_every_handler_is_done(
        self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[UUID] = []

        async def handler(_: Any, event_id: UUID) -> bool:
            told.append(event_id)
            if len(told) == 1:
                raise errors.DatabaseUnavailable("Away.")
            return len(told) > 2

        # `setattr` would not bring back what was there: the state keeps its attributes elsewhere.
        monkeypatch.setitem(tasks.app.state._state, "event_handlers", [handler])
        event_id = new_id()
        message = {"attributes": {"event_id": str(event_id)}}
        assert [await tasks.push("events", message) for _ in range(3)] == [503, 503, 204]
        assert set(told) == {event_id}


class TestAtOnce:
    async def test_a_step_that_runs_elsewhere_is_left_to_that_run(
        self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runs: list[dict[str, int]] = []
        step = tasks_app.STEPS["asked_again"]

        async def meanwhile(parts: Any, budget: Any) -> int:
            elsewhere = StepLocks(parts.database)
            monkeypatch.setitem(tasks_app.STEPS, "asked_again", step)
            # In this instance, and in another.
            runs.append(await runner.run_steps(parts, {"asked_again": step}))
            async with elsewhere.hold("asked_again") as is_ours:
                assert not is_ours
            async with elsewhere.hold("purged") as is_ours:
                assert is_ours
            return await step(parts, budget)

        await tasks.image("stored", queued_at=PAST)
        monkeypatch.setitem(tasks_app.STEPS, "asked_again", meanwhile)
        assert (await tasks.sweep())["asked_again"] == 1
        assert runs == [{"asked_again": 0}]

    async def test_a_lock_ends_with_its_step_or_its_connection(self, tasks: Tasks) -> None:
        locks, elsewhere = tasks.parts.locks, StepLocks(tasks.parts.database)
        with pytest.raises(RuntimeError):
            async with locks.hold("purged"):
                raise RuntimeError
        async with locks.hold("purged"), locks.hold("old_events"):
            assert locks._connection is not None
            await tasks.rows.execute(text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"))
        async with elsewhere.hold("purged") as is_ours:
            assert is_ours
