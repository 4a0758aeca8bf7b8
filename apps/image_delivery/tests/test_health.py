from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from image_core import errors
from image_core.migrations import HEAD
from image_delivery.settings import DeliverySettings
from image_engine.worker.confinement import Confinement

from .conftest import MASTER, MakeDelivery

READY = "/health/ready"
NOWHERE = "postgresql://nobody@127.0.0.1:9/none"


async def test_live_needs_nothing(make_delivery: MakeDelivery) -> None:
    async with make_delivery(database_url=NOWHERE) as delivery:
        assert (await delivery.client.get("/health/live")).json() == {"status": "ok"}


async def test_ready_tells_what_was_seen_and_how_workers_are_locked_in(make_delivery: MakeDelivery) -> None:
    async with make_delivery() as delivery:
        answer = await delivery.client.get(READY)
    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True, "database": "ok", "schema_revision": HEAD, "keys": "ok", "master": "ok",
        "workers": 1,
        "confinement": {"system_calls": True, "landlock": 7},
    }  # fmt: skip


async def test_not_ready_without_the_database(make_delivery: MakeDelivery) -> None:
    async with make_delivery(database_url=NOWHERE) as delivery:
        answer = await delivery.client.get(READY)
    assert (answer.status_code, answer.json()["database"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0


async def test_stays_ready_when_the_database_goes_away(
    make_delivery: MakeDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make_delivery() as delivery:
        assert (await delivery.client.get(READY)).status_code == 200
        await delivery.parts.database.close()
        assert (await delivery.client.get(READY)).status_code == 200


async def test_a_schema_that_is_behind_is_not_ready_until_it_has_caught_up(make_delivery: MakeDelivery) -> None:
    async with make_delivery() as delivery:
        await delivery.rows.execute(text("UPDATE alembic_version SET version_num = '0000'"))
        try:
            answer = await delivery.client.get(READY)
        finally:
            await delivery.rows.execute(text(f"UPDATE alembic_version SET version_num = '{HEAD}'"))
        assert (answer.status_code, answer.json()["database"]) == (503, "schema-behind")
        assert (await delivery.client.get(READY)).status_code == 200


async def test_not_ready_while_the_secret_has_no_version(make_delivery: MakeDelivery, secret_manager: Any) -> None:
    secret = "projects/p/secrets/delivery-master"
    secret_manager.versions[secret] = []
    async with make_delivery(delivery_master=None, delivery_master_secret=secret) as delivery:
        answer = await delivery.client.get(READY)
        assert (answer.status_code, answer.json()["master"]) == (503, "unavailable")
        secret_manager.versions[secret] = [MASTER]
        delivery.parts.master.clock = lambda: float("inf")
        assert (await delivery.client.get(READY)).json()["master"] == "ok"


async def test_not_ready_without_workers(make_delivery: MakeDelivery) -> None:
    async with make_delivery() as delivery:
        delivery.pool.process_ids = []
        assert (await delivery.client.get(READY)).status_code == 503


async def test_workers_without_a_filter_are_warned_of(make_delivery: MakeDelivery) -> None:
    async with make_delivery() as delivery:
        delivery.pool.confinement = Confinement(system_calls=False, landlock=0)
        answer = await delivery.client.get(READY)
    assert (answer.status_code, answer.json()["confinement"]["system_calls"]) == (200, False)
    assert "sockets" in answer.json()["warnings"][0]


@pytest.mark.parametrize("metrics_enabled", [True, False])
async def test_metrics_are_shown_where_they_are_switched_on(make_delivery: MakeDelivery, metrics_enabled: bool) -> None:
    async with make_delivery(metrics_enabled=metrics_enabled) as delivery:
        answer = await delivery.client.get("/metrics")
    assert (answer.status_code == 200, b"delivery_answers" in answer.content) == (metrics_enabled, metrics_enabled)


async def test_nothing_else_is_served(make_delivery: MakeDelivery) -> None:
    async with make_delivery() as delivery:
        assert (await delivery.client.get("/version")).json()["service"] == "image-delivery"
        for path in ("/", "/docs", "/api/v1/images", "/openapi.json"):
            assert (await delivery.client.get(path)).status_code == 404


@pytest.mark.parametrize("masters", [{}, {"delivery_master": MASTER, "delivery_master_secret": "projects/p/secrets/s"}])
def test_the_master_comes_from_one_place(emulators: Any, masters: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="DELIVERY_MASTER") as refused:
        DeliverySettings(**emulators.settings, database_url=NOWHERE, **masters)
    assert MASTER not in str(refused.value)


async def test_not_ready_before_the_delivery_keys_were_read(
    make_delivery: MakeDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise errors.DatabaseUnavailable

    async with make_delivery() as delivery:
        with monkeypatch.context() as away:
            away.setattr(delivery.app.service.state.keys, "read", fail)
            answer = await delivery.client.get(READY)
        assert (answer.status_code, answer.json()["keys"]) == (503, "unavailable")
        assert (await delivery.client.get(READY)).status_code == 200
