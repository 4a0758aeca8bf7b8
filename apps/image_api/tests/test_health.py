from typing import Any

import asyncpg
import pytest
from sqlalchemy import func, text, update

from image_core.keys import api_keys
from image_core.migrations import HEAD
from image_core.models import credential, feed_epoch

from .conftest import Api, MakeApi
from .housekeeping import Tasks

READY = "/health/ready"


async def at_revision(api: Api, revision: str) -> Any:
    await api.rows.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))
    try:
        return await api.client.get(READY)
    finally:
        await api.rows.execute(text(f"UPDATE alembic_version SET version_num = '{HEAD}'"))


async def test_live_needs_nothing(make_api: MakeApi) -> None:
    async with make_api(database_url="postgresql://nobody@127.0.0.1:9/none") as api:
        assert (await api.client.get("/health/live")).json() == {"status": "ok"}


async def test_ready_when_the_database_answers_at_the_codes_revision(api: Api) -> None:
    answer = await api.client.get(READY)
    body = answer.json()
    assert (answer.status_code, body["ready"], body["schema_revision"]) == (200, True, HEAD)


async def test_a_schema_that_is_behind_is_not_ready(api: Api) -> None:
    answer = await at_revision(api, "0000")
    assert (answer.status_code, answer.json()["database"]) == (503, "schema-behind")
    assert int(answer.headers["retry-after"]) > 0


async def test_an_unknown_newer_schema_is_fine(api: Api) -> None:
    assert (await at_revision(api, "9999")).status_code == 200


async def test_a_database_that_is_not_migrated_is_not_ready(make_api: MakeApi, template_urls: Any) -> None:
    empty = template_urls.of("empty_database")
    connection = await asyncpg.connect(template_urls.superuser)
    await connection.execute("DROP DATABASE IF EXISTS empty_database WITH (FORCE)")
    await connection.execute("CREATE DATABASE empty_database TEMPLATE template0")
    await connection.close()
    async with make_api(database_url=empty.api) as api:
        answer = await api.client.get(READY)
    assert (answer.status_code, answer.json()["database"]) == (503, "schema-missing")


async def test_without_a_database_the_service_is_not_ready(make_api: MakeApi) -> None:
    async with make_api(database_url="postgresql://nobody@127.0.0.1:9/none") as api:
        answer = await api.client.get(READY)
    assert (answer.status_code, answer.json()["database"]) == (503, "unavailable")


async def test_a_feed_ahead_of_its_server_is_not_ready(api: Api, tasks: Tasks) -> None:
    """As after a restore from a dump, until `image-manager-admin new-epoch`."""
    await api.rows.execute(update(feed_epoch).values(removed_xact=2**62))
    for client in (api.client, tasks.client):
        answer = await client.get(READY)
        assert (answer.status_code, answer.json()["database"]) == (503, "feed-epoch-needed")


async def test_storage_is_shown_but_does_not_decide(make_api: MakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    async with make_api(storage_emulator_host="http://127.0.0.1:9") as api:
        await api.services.storage_probe.ask()
        answer = await api.client.get(READY)
    assert (answer.status_code, answer.json()["storage"]) == (200, "unavailable")


async def test_storage_that_answers_is_said_to(api: Api) -> None:
    await api.services.storage_probe.ask()
    assert (await api.client.get(READY)).json()["storage"] == "ok"


async def test_a_living_default_key_is_warned_of(api: Api) -> None:
    assert (await api.client.get(READY)).json()["warnings"] == []
    await api.rows.execute(
        update(credential).where(credential.c.public_id == api_keys.DEFAULT_PUBLIC_ID).values(is_default=True)
    )
    assert "default" in (await api.client.get(READY)).json()["warnings"][0]
    await api.rows.execute(update(credential).where(credential.c.is_default).values(revoked_at=func.now()))
    assert (await api.client.get(READY)).json()["warnings"] == []


async def test_an_instance_that_is_stopping_is_not_ready(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.services.shutdown, "_stop_at", 0.0)
    answer = await api.client.get(READY)
    assert (answer.status_code, answer.json()["ready"]) == (503, False)


async def test_the_version_is_told(make_api: MakeApi) -> None:
    async with make_api(service_version="1.2.3") as api:
        answer = await api.client.get("/version")
    assert answer.json() == {"service": "image-api", "version": "1.2.3", "schema_revision": HEAD}
