import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import func, select, text

from image_core import admin, keys, secrets
from image_core.admin import AdminSettings
from image_core.db import Database
from image_core.migrations import HEAD
from image_core.models import audit_event, credential


@pytest.fixture
def settings(urls: Any) -> AdminSettings:
    return AdminSettings(database_url=urls.owner)


def bootstrapped(settings: AdminSettings, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    admin.bootstrap(settings, as_json=True)
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


async def the_key(rows: Database) -> Any:
    return await rows.fetch_one(select(credential))


class TestBootstrap:
    async def test_the_default_key_is_rotated_once(
        self, rows: Database, settings: AdminSettings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        told = bootstrapped(settings, capsys)
        assert told["rotated"] is True
        row = await the_key(rows)
        assert (row["is_default"], row["key_hash"]) == (False, keys.hash_key(told["api_key"]))
        assert row["public_id"] == keys.public_id_of(told["api_key"])
        assert bootstrapped(settings, capsys) == {"api_key": None, "rotated": False}
        assert (await the_key(rows))["key_hash"] == row["key_hash"]

    async def test_it_is_audited_without_the_key(
        self, rows: Database, settings: AdminSettings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        told = bootstrapped(settings, capsys)
        written = await rows.fetch_value(select(audit_event.c.after))
        assert "key_prefix" in written
        assert told["api_key"] not in written

    async def test_of_two_at_once_one_rotates(
        self, rows: Database, settings: AdminSettings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await asyncio.gather(*(asyncio.to_thread(admin.bootstrap, settings, as_json=True) for _ in range(3)))
        told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        (made,) = [each["api_key"] for each in told if each["rotated"]]
        assert (await the_key(rows))["key_hash"] == keys.hash_key(made)
        assert await rows.fetch_value(select(func.count()).select_from(audit_event)) == 1

    async def test_the_secret_takes_the_key_before_the_rotation_is_valid(
        self, rows: Database, urls: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = AdminSettings(database_url=urls.owner, admin_key_secret="projects/p/secrets/s")
        kept: list[tuple[str, str]] = []
        monkeypatch.setattr(secrets, "add_version", lambda secret, value: kept.append((secret, value)))
        assert bootstrapped(settings, capsys) == {"api_key": None, "rotated": True}
        ((name, value),) = kept
        assert name == "projects/p/secrets/s"
        assert (await the_key(rows))["key_hash"] == keys.hash_key(value)

    async def test_a_secret_that_takes_nothing_leaves_the_default_key_alive(
        self, rows: Database, urls: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = AdminSettings(database_url=urls.owner, admin_key_secret="projects/p/secrets/s")

        def refuse(secret: str, value: str) -> None:
            raise RuntimeError("no")

        monkeypatch.setattr(secrets, "add_version", refuse)
        with pytest.raises(RuntimeError):
            admin.bootstrap(settings, as_json=True)
        assert (await the_key(rows))["is_default"] is True

    async def test_people_are_told_in_sentences(
        self, rows: Database, settings: AdminSettings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        admin.bootstrap(settings, as_json=False)
        admin.bootstrap(settings, as_json=False)
        first, second = capsys.readouterr().out.splitlines()
        assert first.startswith("New admin key: im_")
        assert "before" in second


class TestVerify:
    async def test_a_default_key_that_is_alive_is_something_to_do(
        self, rows: Database, settings: AdminSettings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            admin.verify(settings)
        assert json.loads(capsys.readouterr().out)["default_key_alive"] is True
        bootstrapped(settings, capsys)
        admin.verify(settings)

    async def test_a_schema_that_is_behind_is_something_to_do(
        self, rows: Database, settings: AdminSettings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        bootstrapped(settings, capsys)
        await rows.execute(text("UPDATE alembic_version SET version_num = '0000'"))
        try:
            with pytest.raises(SystemExit):
                admin.verify(settings)
        finally:
            await rows.execute(text(f"UPDATE alembic_version SET version_num = '{HEAD}'"))


class TestCommandLine:
    async def test_migrating_lets_the_services_logins_in(
        self, rows: Database, urls: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await rows._pool.execute('DROP ROLE IF EXISTS "some-login"; CREATE ROLE "some-login"')
        monkeypatch.setenv("DATABASE_URL", urls.owner)
        monkeypatch.setenv("API_DATABASE_USER", "some-login")
        admin.main(["migrate"])
        assert "revision" in capsys.readouterr().out
        member = text("SELECT pg_has_role('some-login', 'image_api', 'member')")
        assert await rows.fetch_value(member) is True
        await rows._pool.execute('DROP ROLE "some-login"')

    def test_without_a_database_it_says_what_to_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DATABASE_URL", raising=False)
        with pytest.raises(SystemExit, match="DATABASE_URL"):
            admin.main(["verify"])
