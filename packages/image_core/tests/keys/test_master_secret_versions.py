"""The versions of the master secret of delivery addresses, over the wire and with the commands."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select

from image_core import admin, secrets
from image_core.admin import AdminSettings
from image_core.db import Database
from image_core.keys import master_secrets, rotations
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


async def test_a_rotation_puts_a_new_master_before_the_current_one(
    rows: Database,
    settings: AdminSettings,
    urls: Any,
    secret_manager: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    admin.bootstrap(settings, as_json=True)
    monkeypatch.setenv("DATABASE_URL", urls.owner)
    monkeypatch.setenv("DELIVERY_MASTER_SECRET", SECRET)
    admin.main(["rotate-delivery-master", "--force"])
    first, second = map(master_secrets.masters_from_text, secret_manager.versions[SECRET])
    assert second.previous == first.current
    assert second.current != first.current
    assert not any(line in capsys.readouterr().out for line in secret_manager.versions[SECRET][1].splitlines())
    count = select(func.count()).select_from(audit_event).where(audit_event.c.action == "master_secret.added")
    assert await rows.fetch_value(count) == 2


async def test_a_rotation_has_to_be_meant(settings: AdminSettings, secret_manager: Any) -> None:
    admin.bootstrap(settings, as_json=True)
    with pytest.raises(SystemExit, match="Every delivery address of every team would end"):
        rotations.rotate_delivery_master(settings.engine(), settings.delivery_master_secret, force=False)
    assert len(secret_manager.versions[SECRET]) == 1


async def test_concurrent_rotations_follow_one_another(settings: AdminSettings, secret_manager: Any) -> None:
    admin.bootstrap(settings, as_json=True)
    await asyncio.gather(
        *(
            asyncio.to_thread(
                rotations.rotate_delivery_master, settings.engine(), settings.delivery_master_secret, force=True
            )
            for _ in range(2)
        )
    )
    first, second, third = map(master_secrets.masters_from_text, secret_manager.versions[SECRET])
    assert (second.previous, third.previous) == (first.current, second.current)


async def test_a_secret_without_a_version_gets_its_first(settings: AdminSettings, secret_manager: Any) -> None:
    rotations.rotate_delivery_master(settings.engine(), settings.delivery_master_secret, force=True)
    (text,) = secret_manager.versions[SECRET]
    assert master_secrets.masters_from_text(text).previous is None


def test_a_rotation_needs_a_secret(urls: Any) -> None:
    with pytest.raises(SystemExit, match="DELIVERY_MASTER_SECRET"):
        rotations.rotate_delivery_master(AdminSettings(database_url=urls.owner).engine(), None, force=True)
