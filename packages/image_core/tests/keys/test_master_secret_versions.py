"""The first version of the master secret of delivery addresses, over the wire and with the command."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from image_core import admin, secrets
from image_core.admin import AdminSettings
from image_core.db import Database
from image_core.keys import master_secrets
from image_core.models import audit_event

SECRET = "projects/p/secrets/delivery-master"


@pytest.fixture
def settings(urls: Any, secret_manager: Any) -> AdminSettings:
    secret_manager.versions[SECRET] = []
    return AdminSettings(database_url=urls.owner, delivery_master_secret=SECRET)


async def test_concurrent_and_repeated_bootstraps_add_one_master_secret(
    rows: Database, settings: AdminSettings, secret_manager: Any
) -> None:
    await asyncio.gather(*(asyncio.to_thread(admin.bootstrap, settings, as_json=True) for _ in range(3)))
    admin.bootstrap(settings, as_json=True)
    (text,) = secret_manager.versions[SECRET]
    assert len(master_secrets.from_text(text)) == 32
    actions = select(audit_event.c.after).where(audit_event.c.action == "master_secret.added")
    assert [row["after"] for row in await rows.fetch(actions)] == ['{"secret": "delivery-master"}']


async def test_a_secret_that_cannot_be_read_gets_no_version(settings: AdminSettings, secret_manager: Any) -> None:
    secret_manager.refuses_with = "FAILED_PRECONDITION"
    with pytest.raises(secrets.SecretNotRead):
        admin.bootstrap(settings, as_json=True)
    assert secret_manager.versions[SECRET] == []


async def test_services_read_what_the_bootstrap_wrote(settings: AdminSettings) -> None:
    admin.bootstrap(settings, as_json=True)
    master = master_secrets.from_secret(SECRET)
    assert len(await master.get()) == 32
