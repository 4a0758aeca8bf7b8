"""The keys for access tokens: the first one, and rotations, over the wire and with the commands."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from image_core import admin, secrets
from image_core.admin import AdminSettings
from image_core.db import Database
from image_core.keys import rotations, signing_keys
from image_core.keys.signing_keys import SigningKey
from image_core.models import audit_event

SECRET = "projects/p/secrets/token-signing-keys"


@pytest.fixture
def settings(urls: Any, secret_manager: Any) -> AdminSettings:
    secret_manager.versions[SECRET] = []
    return AdminSettings(database_url=urls.owner, token_signing_secret=SECRET)


def key_sets(secret_manager: Any) -> list[list[SigningKey]]:
    return [signing_keys.from_text(text) for text in secret_manager.versions[SECRET]]


@pytest.fixture
def old_tokens_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_core.keys.signing_key_versions._OLD_TOKENS_LIVE", timedelta(0))


async def test_bootstrap_adds_one_first_key_however_often_and_many_it_runs(
    rows: Database, settings: AdminSettings, secret_manager: Any
) -> None:
    await asyncio.gather(*(asyncio.to_thread(admin.bootstrap, settings, as_json=True) for _ in range(3)))
    admin.bootstrap(settings, as_json=True)
    ((key,),) = key_sets(secret_manager)
    actions = select(audit_event.c.after).where(audit_event.c.action == "signing_key.added")
    assert [row["after"] for row in await rows.fetch(actions)] == [f'{{"kid": "{key.kid}"}}']


async def test_bootstrap_leaves_a_secret_alone_that_it_cannot_read(
    rows: Database, settings: AdminSettings, secret_manager: Any
) -> None:
    secret_manager.refuses_with = "FAILED_PRECONDITION"
    with pytest.raises(secrets.SecretNotRead):
        admin.bootstrap(settings, as_json=True)
    assert key_sets(secret_manager) == []


async def test_a_rotation_puts_a_new_key_before_the_present_one(
    rows: Database, settings: AdminSettings, secret_manager: Any, capsys: pytest.CaptureFixture[str],
    old_tokens_have_ended: None,
) -> None:  # fmt: skip
    admin.bootstrap(settings, as_json=True)
    for _ in range(2):
        rotations.rotate_signing_key(settings.engine(), settings.token_signing_secret, force=False)
    first, second, third = key_sets(secret_manager)
    assert second[1:] == first
    assert third[1:] == second[:1]
    told = capsys.readouterr().out
    assert not any(json.loads(text)["keys"][0]["k"] in told for text in secret_manager.versions[SECRET])


async def test_of_rotations_at_once_and_again_one_is_done(
    rows: Database, settings: AdminSettings, secret_manager: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    await asyncio.gather(
        *(
            asyncio.to_thread(
                rotations.rotate_signing_key, settings.engine(), settings.token_signing_secret, force=False
            )
            for _ in range(3)
        )
    )
    rotations.rotate_signing_key(settings.engine(), settings.token_signing_secret, force=False)
    assert len(key_sets(secret_manager)) == 1
    assert capsys.readouterr().out.count("Nothing was changed") == 3


async def test_two_forced_rotations_drop_a_key_that_leaked(
    rows: Database, settings: AdminSettings, secret_manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", settings.database_url or "")
    monkeypatch.setenv("TOKEN_SIGNING_SECRET", SECRET)
    admin.main(["bootstrap"])
    for _ in range(2):
        admin.main(["rotate-signing-key", "--force"])
    (leaked,), *_, present = key_sets(secret_manager)
    assert len(present) == 2
    assert leaked not in present


async def test_a_rotation_that_cannot_be_written_is_not_remembered(
    rows: Database, settings: AdminSettings, secret_manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(secret: str, value: str) -> None:
        raise RuntimeError("no")

    with monkeypatch.context() as patch:
        patch.setattr(secrets, "add_version", refuse)
        with pytest.raises(RuntimeError):
            rotations.rotate_signing_key(settings.engine(), settings.token_signing_secret, force=False)
    rotations.rotate_signing_key(settings.engine(), settings.token_signing_secret, force=False)
    assert len(key_sets(secret_manager)) == 1


def test_without_a_secret_there_is_nothing_to_rotate(urls: Any) -> None:
    with pytest.raises(SystemExit, match="TOKEN_SIGNING_SECRET"):
        rotations.rotate_signing_key(AdminSettings(database_url=urls.owner).engine(), None, force=False)
