"""Rotation of the master secret, from which webhooks' secrets are derived: nobody's signature becomes invalid by it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from image_api.webhooks import signing
from image_core import admin
from image_core.admin import AdminSettings
from image_core.keys import master_secrets, rotations, webhook_secrets

from .conftest import Hooks

SECRET = "projects/p/secrets/webhook-master"


@pytest.fixture
def settings(urls: Any, secret_manager: Any, hooks: Hooks) -> AdminSettings:
    secret_manager.versions[SECRET] = []
    settings = AdminSettings(database_url=urls.owner, webhook_master_secret=SECRET)
    admin.bootstrap(settings, as_json=True)
    return settings


async def rotate(hooks: Hooks, settings: AdminSettings, *, force: bool = False) -> None:
    """Rotate the master, and have the services read it."""
    await asyncio.to_thread(rotations.rotate_webhook_master, settings.engine(), SECRET, force=force)
    read_anew(hooks)


def read_anew(hooks: Hooks) -> None:
    for services in (hooks.api.services, hooks.tasks.parts):
        object.__setattr__(services, "webhook_master", master_secrets.from_secret(SECRET))


async def secrets_that_sign(hooks: Hooks, hook: dict[str, Any]) -> list[str]:
    masters = await signing.masters_of(hooks.tasks.parts.webhook_master)
    found = signing.secrets_of(masters, await hooks.row(hook), datetime.now(UTC))
    return [webhook_secrets.to_text(secret) for secret in found]


async def test_secrets_stay_valid_until_each_is_rotated_and_then_the_old_master_goes(
    hooks: Hooks, settings: AdminSettings, secret_manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotations, "_UNTIL_EVERYWHERE", timedelta(0))
    read_anew(hooks)
    hook = await hooks.create()
    leaked = master_secrets.masters_from_text(secret_manager.versions[SECRET][-1]).current
    await rotate(hooks, settings)
    assert await secrets_that_sign(hooks, hook) == [hook["secret"]]
    with pytest.raises(SystemExit, match="1 webhooks sign with a secret that comes from the master secret before"):
        await rotate(hooks, settings)

    path = f"webhooks/{hook['id']}/rotate-secret"
    rotated = (await hooks.call("POST", path, json={"grace_period_seconds": 60})).json()
    assert await secrets_that_sign(hooks, hook) == [rotated["secret"], hook["secret"]]
    # The old secret, which comes from the old master, still has to sign.
    with pytest.raises(SystemExit, match="grace periods"):
        await rotate(hooks, settings)
    await hooks.tasks.rows.execute(text("UPDATE webhook SET previous_secret_until = now()"))
    await rotate(hooks, settings)
    assert await secrets_that_sign(hooks, hook) == [rotated["secret"]]
    assert leaked not in master_secrets.masters_from_text(secret_manager.versions[SECRET][-1])


async def test_it_waits_for_instances_that_may_not_know_the_last_one(hooks: Hooks, settings: AdminSettings) -> None:
    # The bootstrap has just added the first one.
    with pytest.raises(SystemExit, match="less than ten minutes ago"):
        await rotate(hooks, settings)
    await rotate(hooks, settings, force=True)


async def test_what_force_leaves_behind_is_not_sent_unsigned(hooks: Hooks, settings: AdminSettings) -> None:
    read_anew(hooks)
    hook = await hooks.create("http://127.0.0.1:9/")
    for _ in range(2):
        await rotate(hooks, settings, force=True)
    await hooks.push(await hooks.event())
    assert await hooks.attempts() == []
    rotated = (await hooks.call("POST", f"webhooks/{hook['id']}/rotate-secret")).json()
    assert await secrets_that_sign(hooks, hook) == [rotated["secret"]]
