"""Who may start a sweep: the scheduler's account, for this service, and nobody else."""

import time
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from ..housekeeping import PAST, Tasks


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
