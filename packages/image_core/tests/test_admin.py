import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from image_core import admin, secrets, testing
from image_core.admin import AdminSettings
from image_core.db import Database
from image_core.images.similarity import DESCRIPTOR_DIMENSIONS
from image_core.keys import api_keys
from image_core.migrations import HEAD
from image_core.models import audit_event, credential, event, image, user


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
        assert (row["is_default"], row["key_hash"]) == (False, api_keys.hash_key(told["api_key"]))
        assert row["public_id"] == api_keys.public_id_of(told["api_key"])
        assert bootstrapped(settings, capsys) == {"api_key": None, "rotated": False}
        assert (await the_key(rows))["key_hash"] == row["key_hash"]

    async def test_it_is_audited_without_the_key(
        self, rows: Database, settings: AdminSettings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        told = bootstrapped(settings, capsys)
        written = await rows.fetch_value(select(audit_event.c.after))
        assert "key_prefix" in written
        assert told["api_key"] not in written
        shown = await rows.fetch_one(select(event.c.type, event.c.team_id, event.c.payload))
        assert shown is not None
        assert (shown["type"], shown["team_id"]) == ("credential.rotated", None)
        assert told["api_key"] not in shown["payload"]

    async def test_of_two_at_once_one_rotates(
        self, rows: Database, settings: AdminSettings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await asyncio.gather(*(asyncio.to_thread(admin.bootstrap, settings, as_json=True) for _ in range(3)))
        told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        (made,) = [each["api_key"] for each in told if each["rotated"]]
        assert (await the_key(rows))["key_hash"] == api_keys.hash_key(made)
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
        assert (await the_key(rows))["key_hash"] == api_keys.hash_key(value)

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
        assert "already been rotated" in second


class TestRecover:
    """A new admin key, for when the last one was reported or nobody holds it any more."""

    async def alive(self, rows: Database) -> list[Any]:
        return await rows.fetch(select(credential).where(credential.c.revoked_at.is_(None)))

    @pytest.fixture
    async def no_key(self, rows: Database) -> None:
        await rows.execute(update(credential).values(revoked_at=func.now(), is_default=False))

    async def test_where_no_admin_key_is_alive_there_is_a_new_one(
        self, rows: Database, no_key: None, settings: AdminSettings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        member = await testing.add_user(rows, await testing.add_team(rows))
        admin.recover(settings, force=False)
        api_key = capsys.readouterr().out.split()[-1]
        (row,) = [each for each in await self.alive(rows) if each["id"] != member.credential_id]
        assert (row["user_id"], row["key_hash"]) == (admin.ADMIN_USER_ID, api_keys.hash_key(api_key))
        assert (row["scopes"], row["expires_at"], row["address_ranges"]) == (None, None, None)
        audited = await rows.fetch_one(select(audit_event.c.action, audit_event.c.target_id, audit_event.c.after))
        assert audited is not None
        assert (audited["action"], audited["target_id"]) == ("credential.recovered", row["id"])
        assert api_key not in audited["after"]
        assert await rows.fetch_value(select(event.c.type)) == "credential.created"

    async def test_while_one_is_alive_only_force_makes_another(
        self, rows: Database, settings: AdminSettings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit, match="--force"):
            admin.recover(settings, force=False)
        assert len(await self.alive(rows)) == 1
        admin.recover(settings, force=True)
        assert len(await self.alive(rows)) == 2
        assert "im_" in capsys.readouterr().out

    async def test_a_key_that_is_over_or_may_little_does_not_count(
        self, rows: Database, no_key: None, settings: AdminSettings
    ) -> None:
        over = datetime.now(UTC) - timedelta(seconds=1)
        await testing.add_key(rows, admin.ADMIN_USER_ID, None, expires_at=over)
        await testing.add_key(rows, admin.ADMIN_USER_ID, None, scopes=["images:read"])
        admin.recover(settings, force=False)

    async def test_a_disabled_admin_gets_none(self, rows: Database, no_key: None, settings: AdminSettings) -> None:
        await rows.execute(update(user).values(disabled_at=func.now()))
        with pytest.raises(SystemExit, match="active"):
            admin.recover(settings, force=True)
        assert await self.alive(rows) == []
        other = await testing.add_user(rows, None, "admin", ("admin",))
        admin.recover(settings, force=True)
        assert {row["user_id"] for row in await self.alive(rows)} == {other.user_id}

    async def test_of_two_at_once_one_makes_a_key(self, rows: Database, no_key: None, settings: AdminSettings) -> None:
        done = await asyncio.gather(
            *(asyncio.to_thread(_exit_of, admin.recover, settings) for _ in range(3)), return_exceptions=True
        )
        assert sorted(map(str, done)) == ["False", "True", "True"]
        assert len(await self.alive(rows)) == 1

    async def test_a_secret_that_takes_nothing_leaves_no_key_that_nobody_holds(
        self, rows: Database, urls: Any, no_key: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = AdminSettings(database_url=urls.owner, admin_key_secret="projects/p/secrets/s")

        def refuse(secret: str, value: str) -> None:
            raise RuntimeError("no")

        monkeypatch.setattr(secrets, "add_version", refuse)
        with pytest.raises(RuntimeError):
            admin.recover(settings, force=False)
        assert await self.alive(rows) == []

    async def test_the_secret_takes_the_key_and_nobody_is_shown_it(
        self, rows: Database, urls: Any, no_key: None, capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        kept: list[str] = []
        monkeypatch.setattr(secrets, "add_version", lambda _secret, value: kept.append(value))
        monkeypatch.setenv("DATABASE_URL", urls.owner)
        monkeypatch.setenv("ADMIN_KEY_SECRET", "projects/p/secrets/s")
        admin.main(["recover"])
        (row,) = await self.alive(rows)
        assert row["key_hash"] == api_keys.hash_key(kept[0])
        assert kept[0] not in capsys.readouterr().out


def _exit_of(recover: Any, settings: AdminSettings) -> bool:
    """Whether it ended without making a key."""
    try:
        recover(settings, force=False)
    except SystemExit:
        return True
    return False


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

    @pytest.mark.parametrize(
        ("name", "fault"),
        [
            ("teams_with_miscounted_storage", "UPDATE storage_usage SET bytes = bytes + 1"),
            ("teams_with_miscounted_storage", "DELETE FROM storage_usage"),
            ("teams_with_unbalanced_ledger", "UPDATE credit_account SET balance = balance + 1"),
        ],
    )
    async def test_what_does_not_add_up_is_something_to_do(
        self, rows: Database, settings: AdminSettings, capsys: pytest.CaptureFixture[str], name: str, fault: str
    ) -> None:
        bootstrapped(settings, capsys)
        await testing.add_image(rows, await testing.add_team(rows))
        admin.verify(settings)
        capsys.readouterr()
        await rows.execute(text(fault))
        with pytest.raises(SystemExit):
            admin.verify(settings)
        assert json.loads(capsys.readouterr().out)[name] == 1


class TestReprocess:
    async def test_the_newest_images_without_a_descriptor_are_processed_again(
        self, rows: Database, settings: AdminSettings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        team_id = await testing.add_team(rows)
        older, newer, described = [await testing.add_image(rows, team_id, attempts=3) for _ in range(3)]
        await testing.add_image(rows, team_id, "failed")
        trashed = await testing.add_image(rows, team_id, deleted_at=datetime.now(UTC))
        await testing.add_vector(rows, team_id, described, [1.0] * DESCRIPTOR_DIMENSIONS)
        ready = {older, newer, described, trashed}
        told = []
        for again in ({newer}, {newer, older}, {newer, older}):
            admin.reprocess(settings, most=1)
            found = await rows.fetch(select(image.c.id, image.c.status, image.c.attempts))
            assert {row["id"] for row in found if (row["status"], row["attempts"]) == ("stored", 0)} == again
            assert {row["id"] for row in found if row["status"] == "ready"} == ready - again
            told.append(capsys.readouterr().out[0])
        assert told == ["1", "1", "0"]
        admin.reprocess(settings, most=9, model="another-model")
        assert "0 without a vector of another-model remain" in capsys.readouterr().out
        left = await rows.fetch(select(image.c.id).where(image.c.status == "ready"))
        assert [row["id"] for row in left] == [trashed]

    async def test_images_that_failed_are_processed_again_by_their_code(
        self, rows: Database, settings: AdminSettings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        team_id = await testing.add_team(rows)
        exhausted, crashed, trashed = [
            await testing.add_image(rows, team_id, "failed", failure_code=code, attempts=5, **columns)
            for code, columns in (
                ("processing-attempts-exhausted", {}),
                ("processing-crashed", {}),
                ("processing-crashed", {"deleted_at": datetime.now(UTC)}),
            )
        ]
        ready = await testing.add_image(rows, team_id)

        async def stored() -> set[Any]:
            found = await rows.fetch(select(image).where(image.c.status == "stored"))
            assert {(row["attempts"], row["failure_code"], row["failure_message"]) for row in found} <= {
                (0, None, None)
            }
            return {row["id"] for row in found}

        admin.reprocess_failed(settings, most=9, code="processing-attempts-exhausted")
        assert await stored() == {exhausted}
        assert capsys.readouterr().out.startswith("1 images queued for processing; 0 ")
        admin.reprocess_failed(settings, most=9)
        assert await stored() == {exhausted, crashed}
        left = await rows.fetch(select(image.c.id).where(image.c.status != "stored"))
        assert {row["id"] for row in left} == {trashed, ready}
        shown = await rows.fetch(select(event.c.image_id, event.c.type, event.c.payload))
        changed = {"revision": 2, "changed": ["status"], "status": "stored"}
        assert {row["image_id"] for row in shown} == {exhausted, crashed}
        assert [(row["type"], json.loads(row["payload"])) for row in shown] == [("image.changed", changed)] * 2


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

    async def test_reprocess_takes_what_failed_where_that_is_said(
        self, rows: Database, urls: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", urls.owner)
        image_id = await testing.add_image(rows, await testing.add_team(rows), "failed", failure_code="image-truncated")
        with pytest.raises(SystemExit):
            admin.main(["reprocess", "--code", "image-truncated"])
        admin.main(["reprocess", "--failed", "--code", "processing-crashed"])
        admin.main(["reprocess", "--failed", "--code", "image-truncated"])
        assert await rows.fetch_value(select(image.c.status).where(image.c.id == image_id)) == "stored"

    def test_without_a_database_it_says_what_to_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DATABASE_URL", raising=False)
        with pytest.raises(SystemExit, match="DATABASE_URL"):
            admin.main(["verify"])
