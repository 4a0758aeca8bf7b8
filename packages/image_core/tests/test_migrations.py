"""The schema: up, down and up again, as the models say, with no more rights than each role needs."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Engine

from image_core import models
from image_core.db import DatabaseConfig, migration_engine
from image_core.migrations import HEAD, runner

TABLES = set(models.metadata.tables)


def engine_of(url: str) -> Engine:
    return migration_engine(DatabaseConfig(url=url))


@pytest.fixture
async def empty(template_urls: Any, worker_name: str) -> Any:
    """A database of the owner's without any table of ours."""
    name = f"migrated_{worker_name}"
    connection = await asyncpg.connect(template_urls.superuser)
    await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await connection.execute(f"CREATE DATABASE {name} OWNER image_migrator TEMPLATE template0")
    await connection.close()
    # The extension is not trusted: a superuser makes it, in the local cloud, too.
    made = template_urls.of(name)
    connection = await asyncpg.connect(made.superuser)
    await connection.execute("CREATE EXTENSION vector")
    await connection.close()
    return made


@pytest.fixture
def engine(empty: Any) -> Iterator[Engine]:
    made = engine_of(empty.owner)
    yield made
    made.dispose()


def tables_in(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        names = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars()
        return set(names) - {"alembic_version"}


def test_migrations_go_up_down_and_up_again(engine: Engine) -> None:
    runner.upgrade(engine)
    assert tables_in(engine) == TABLES
    runner.downgrade(engine, "base")
    assert tables_in(engine) == set()
    runner.upgrade(engine)
    assert tables_in(engine) == TABLES


def test_the_models_are_what_the_migrations_make(engine: Engine) -> None:
    runner.upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, models.metadata) == []


def test_checks_and_rules_of_foreign_keys_are_what_the_migrations_make(engine: Engine) -> None:
    """Alembic compares neither."""
    query = text(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f')"
        " AND conrelid <> 'alembic_version'::regclass ORDER BY 1, 2"
    )

    def constraints() -> list[Any]:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query)]

    runner.upgrade(engine)
    migrated = constraints()
    runner.downgrade(engine, "base")
    with engine.begin() as connection:
        models.metadata.create_all(connection)
    assert constraints() == migrated
    assert len(migrated) > 30


def test_the_code_knows_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(runner.__file__).parent))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [HEAD]
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True)


async def test_two_migrations_at_once_are_safe(empty: Any) -> None:
    await asyncio.gather(*(asyncio.to_thread(runner.upgrade, engine_of(empty.owner)) for _ in range(3)))
    assert tables_in(engine_of(empty.owner)) == TABLES


def test_an_index_that_an_interruption_left_invalid_is_built_anew(engine: Engine, empty: Any) -> None:
    runner.upgrade(engine, "0015")
    with engine.begin() as connection:
        connection.execute(text("CREATE INDEX ix_image_taken ON image (team_id)"))
        connection.execute(text("CREATE INDEX ix_image_location ON image (team_id, location_cell)"))
    with engine_of(empty.superuser).begin() as connection:
        connection.execute(text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_image_taken'::regclass"))
    runner.upgrade(engine)
    with engine.connect() as connection:
        found = dict(
            connection.execute(
                text(
                    "SELECT relname, pg_get_indexdef(oid) FROM pg_class JOIN pg_index ON indexrelid = oid"
                    " WHERE indisvalid AND relname IN ('ix_image_taken', 'ix_image_location')"
                )
            ).all()
        )
    assert "COALESCE(taken_at, created_at)" in found["ix_image_taken"]
    # What was there and valid is kept.
    assert "WHERE" not in found["ix_image_location"]


async def test_an_index_is_built_while_rows_are_written(engine: Engine, empty: Any) -> None:
    """A lock that a plain CREATE INDEX needs would wait for the open transaction, and fail."""
    await asyncio.to_thread(runner.upgrade, engine, "0015")
    writer = await asyncpg.connect(empty.owner)
    waiting = None
    try:
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute("INSERT INTO team (id, name) VALUES (gen_random_uuid(), 'a')")
        await writer.execute("LOCK TABLE image IN ROW EXCLUSIVE MODE")
        waiting = asyncio.create_task(asyncio.to_thread(runner.upgrade, engine))
        other = await asyncpg.connect(empty.owner)
        while not await other.fetchval("SELECT to_regclass('ix_image_taken') IS NOT NULL"):
            await asyncio.sleep(0.05)
        # Others write meanwhile.
        await other.execute("SET lock_timeout = '3s'")
        await other.execute("UPDATE image SET revision = revision")
        await other.close()
        await transaction.commit()
        await waiting
    finally:
        await writer.close()
    assert tables_in(engine) == TABLES


def test_the_first_migration_makes_one_admin_with_the_default_key(engine: Engine) -> None:
    runner.upgrade(engine)
    with engine.connect() as connection:
        (user,) = connection.execute(text('SELECT id::text, role, team_id FROM "user"'))
        (key,) = connection.execute(
            text("SELECT public_id, is_default, key_hash = sha256('ADMIN_ACCESS') FROM credential")
        )
    assert tuple(user) == ("00000000-0000-7000-8000-000000000001", "admin", None)
    assert tuple(key) == ("default", True, True)


def test_a_team_that_was_there_before_gets_its_account(engine: Engine) -> None:
    runner.upgrade(engine, "0001")
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO team (id, name) VALUES (gen_random_uuid(), 'before')"))
    runner.upgrade(engine)
    with engine.connect() as connection:
        (found,) = connection.execute(
            text(
                "SELECT balance, kind, amount, balance_after FROM team JOIN credit_account ON team_id = team.id"
                " JOIN credit_entry USING (team_id)"
            )
        )
    assert tuple(found) == (1000, "opened", 1000, 1000)


def test_images_that_were_there_before_are_counted(engine: Engine) -> None:
    runner.upgrade(engine, "0001")
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO team (id, name) VALUES (gen_random_uuid(), 'before')"))
        for status, size_bytes in (("stored", 30), ("stored", 12), ("pending", None), ("expired", None)):
            connection.execute(
                text(
                    "INSERT INTO image (id, team_id, status, content_type, format, object_name, deadline_at,"
                    " size_bytes, sha256, generation) SELECT gen_random_uuid(), id, :status, 'image/png', 'png',"
                    " gen_random_uuid(), now(), :size_bytes, sha256(gen_random_uuid()::text::bytea), 1 FROM team"
                ),
                {"status": status, "size_bytes": size_bytes},
            )
    runner.upgrade(engine)
    with engine.connect() as connection:
        (found,) = connection.execute(text("SELECT bytes, images FROM storage_usage"))
    assert tuple(found) == (42, 3)


def test_teams_that_were_there_before_can_sign_addresses(engine: Engine) -> None:
    runner.upgrade(engine, "0010")
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO team (id, name) SELECT gen_random_uuid(), n::text FROM generate_series(1, 3) n")
        )
    runner.upgrade(engine)
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT team.name, state, number FROM delivery_key JOIN team ON team.id = team_id")
        )
        keys = [tuple(row) for row in found]
    assert sorted(key[:2] for key in keys) == [("1", "active"), ("2", "active"), ("3", "active")]
    assert len({key[2] for key in keys}) == 3


def test_users_who_change_images_and_admins_get_the_scopes_of_delivery(engine: Engine) -> None:
    runner.upgrade(engine, "0011")
    users = {
        "member": ("member", "{images:read,images:write,keys:self}"),
        "narrowed": ("member", "{images:read}"),
        "viewer": ("viewer", "{images:read,keys:self}"),
        "half an admin": ("admin", "{images:read}"),
    }
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO team (id, name) VALUES (gen_random_uuid(), 'before')"))
        for name, (role, scopes) in users.items():
            connection.execute(
                text(
                    'INSERT INTO "user" (id, team_id, name, role, scopes)'
                    f" SELECT gen_random_uuid(), id, '{name}', '{role}', '{scopes}' FROM team"
                )
            )
    runner.upgrade(engine)
    added = text(
        "SELECT name, ARRAY(SELECT unnest(scopes) INTERSECT SELECT unnest('{delivery:manage,delivery:keys}'::text[])"
        """ ORDER BY 1) FROM "user" ORDER BY name"""
    )
    with engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(added)] == [
            ("admin", ["delivery:keys", "delivery:manage"]),
            ("half an admin", []),
            ("member", ["delivery:manage"]),
            ("narrowed", []),
            ("viewer", []),
        ]
    runner.downgrade(engine, "0011")
    with engine.connect() as connection:
        found = connection.execute(text('SELECT scopes FROM "user"')).scalars()
        assert not any(scope.startswith("delivery") for scopes in found for scope in scopes)


OLD_STATEMENTS = {
    "api": (
        "INSERT INTO team (id, name) VALUES ('{team}', 'made by the release before')",
        (
            "INSERT INTO image (id, team_id, status, content_type, format, object_name, deadline_at)"
            " VALUES ('{image}', '{team}', 'pending', 'image/png', 'png', '{image}', now())"
        ),
        "UPDATE image SET status = 'stored', size_bytes = 1, sha256 = sha256(''), generation = 1 WHERE id = '{image}'",
        "UPDATE team SET name = 'renamed' WHERE id = '{team}'",
    ),
    "processor": (
        "UPDATE image SET status = 'processing', claim_token = id, lease_expires_at = now() WHERE id = '{image}'",
        (
            "INSERT INTO derivative (id, image_id, preset, generation, object_name, content_type, width, height,"
            " frames, size_bytes, sha256)"
            " VALUES ('{image}', '{image}', 'thumb', 1, 'd', 'image/webp', 1, 1, 1, 1, sha256(''))"
        ),
        "DELETE FROM derivative WHERE image_id = '{image}'",
    ),
    "tasks": (
        "UPDATE image SET status = 'stored', claim_token = NULL, lease_expires_at = NULL WHERE id = '{image}'",
        "UPDATE image SET deleted_at = now(), purge_marked_at = now() WHERE id = '{image}'",
        "DELETE FROM image WHERE id = '{image}'",
    ),
}
"""What the release before delivery writes, by the login that writes it: it knows none of the new columns."""


async def test_the_release_before_goes_on_beside_the_tables_of_delivery(empty: Any, engine: Engine) -> None:
    ids = {"team": uuid4(), "image": uuid4()}
    await asyncio.to_thread(runner.upgrade, engine, "0010")
    for later in (False, True):
        if later:
            await asyncio.to_thread(runner.upgrade, engine)
        for login, statements in OLD_STATEMENTS.items():
            await allowed(getattr(empty, login), *(statement.format(**ids) for statement in statements))
        if not later:
            await allowed(empty.owner, f"DELETE FROM team WHERE id = '{ids['team']}'")
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT default_visibility, state FROM team JOIN delivery_key ON team.id = team_id")
        )
        assert [tuple(row) for row in found] == [("private", "active")]


def test_an_owner_without_the_right_to_make_roles_migrates_where_they_are_there(engine: Engine) -> None:
    runner.upgrade(engine)
    with engine.connect() as connection:
        owners = connection.execute(text("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"))
        assert list(owners.scalars()) == ["image_migrator"]


async def refused(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def allowed(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


class TestRights:
    async def test_nobody_who_serves_changes_the_audit_log(self, urls: Any) -> None:
        for url in (urls.api, urls.processor, urls.tasks):
            await allowed(url, f"INSERT INTO audit_event (id, action, target_type) VALUES ('{uuid4()}', 'x', 'x')")
            await refused(
                url,
                "UPDATE audit_event SET action = 'x'",
                "DELETE FROM audit_event",
                "SET image_manager.audit_prune = 'on'; DELETE FROM audit_event",
                "TRUNCATE audit_event",
                "DROP TABLE audit_event",
                "ALTER TABLE audit_event DISABLE TRIGGER ALL",
                "SET session_replication_role = replica",
                "UPDATE audit_seal SET number = 2",
                "DELETE FROM audit_seal",
                "TRUNCATE audit_seal",
                "DELETE FROM audit_checkpoint",
                "INSERT INTO audit_checkpoint (number, hash, last_position) VALUES (1, '', 1)",
            )
        for url in (urls.api, urls.tasks):
            await allowed(url, "SELECT FROM audit_event")

    async def test_nobody_who_serves_says_when_or_where_an_audit_row_stands(self, urls: Any) -> None:
        row = f"VALUES ('{uuid4()}', 'x', 'x', {{}})"
        for url in (urls.api, urls.processor, urls.tasks):
            await refused(
                url,
                f"INSERT INTO audit_event (id, action, target_type, position) {row.format(1)}",
                f"INSERT INTO audit_event (id, action, target_type, created_at) {row.format('now()')}",
                "SELECT setval('audit_event_position_seq', 1)",
            )
        await refused(urls.api, "INSERT INTO audit_seal (number) VALUES (1)", "SELECT hash FROM audit_seal")

    async def test_the_owner_does_not_change_the_audit_log_by_accident(self, urls: Any) -> None:
        for table in ("audit_event", "audit_seal", "audit_checkpoint"):
            await refused(
                urls.owner,
                f"UPDATE {table} SET created_at = now()",
                f"DELETE FROM {table}",
                f"TRUNCATE {table}",
                f"SET image_manager.audit_prune = 'on'; TRUNCATE {table}",
                f"SET image_manager.audit_prune = 'on'; UPDATE {table} SET created_at = now()",
            )

    async def test_the_api_does_not_touch_what_the_processor_owns(self, urls: Any) -> None:
        for column in (
            "facts", "taken_at", "location_cell", "width", "height", "frames", "ready_at", "claim_token",
            "lease_expires_at", "purge_marked_at", "object_name", "team_id", "content_type", "format",
            "created_at", "first_claimed_at",
        ):  # fmt: skip
            await refused(urls.api, f"UPDATE image SET {column} = {column}")
        await refused(
            urls.api,
            "DELETE FROM image",
            "DELETE FROM derivative",
            "UPDATE derivative SET preset = preset",
            "DELETE FROM discarded_object",
            "DELETE FROM event",
            "UPDATE event SET payload = payload",
            "DELETE FROM credential",
            "UPDATE collection SET team_id = team_id",
            "UPDATE collection_member SET image_id = image_id",
            "UPDATE share_link SET collection_id = collection_id",
            "UPDATE share_link SET ended_at = now()",
            "UPDATE share_link_image SET image_id = image_id",
            "DELETE FROM share_link_visit",
            "UPDATE operation SET scopes = scopes",
            "UPDATE operation SET failure_code = failure_code",
            "UPDATE operation_item SET state = state",
            "DELETE FROM operation",
        )
        for column in (
            "filename", "tags", "metadata", "deleted_at", "status", "sha256", "generation", "revision", "description",
            "alt_text", "alt_text_language", "rating", "focal_x", "focal_y",
        ):  # fmt: skip
            await allowed(urls.api, f"UPDATE image SET {column} = {column}")

    async def test_the_processor_does_not_touch_what_the_api_or_housekeeping_owns(self, urls: Any) -> None:
        """As from the next release on; see `contraction`."""
        for column in (
            "filename", "tags", "description", "focal_x", "metadata", "team_id", "object_name", "purge_marked_at",
            "deadline_at",
        ):  # fmt: skip
            await refused(urls.processor, f"UPDATE image SET {column} = {column}")
        await refused(
            urls.processor,
            "SELECT FROM credential",
            'SELECT FROM "user"',
            "SELECT FROM session",
            "SELECT FROM audit_event",
            "SELECT FROM audit_seal",
            "UPDATE team SET name = name",
            "UPDATE team SET deleting_at = now()",
            "DELETE FROM team",
            'DELETE FROM "user"',
            "DELETE FROM image",
            "DELETE FROM event",
            "DELETE FROM credit_entry",
            "UPDATE derivative SET preset = preset",
        )
        for column in ("status", "facts", "claim_token", "ready_at", "first_claimed_at", "taken_at", "location_cell"):
            await allowed(urls.processor, f"UPDATE image SET {column} = {column}")

    async def test_housekeeping_touches_only_what_its_statements_name(self, urls: Any) -> None:
        for column in ("filename", "team_id", "object_name", "sha256", "facts", "description"):
            await refused(urls.tasks, f"UPDATE image SET {column} = {column}")
        await refused(
            urls.tasks,
            "SELECT key_hash FROM credential",
            'SELECT email, password_hash FROM "user"',
            "SELECT token_hash FROM session",
            "SELECT FROM image_vector",
            "INSERT INTO image (status) VALUES ('ready')",
            "INSERT INTO image (sha256) VALUES (NULL)",
            "SELECT address FROM upload_session",
            "INSERT INTO upload_session (address) VALUES (NULL)",
            "INSERT INTO analysis (result) VALUES ('{}')",
            "INSERT INTO operation (kind) VALUES ('batch')",
            "UPDATE operation SET user_id = user_id",
            "UPDATE operation SET scopes = scopes",
            "UPDATE operation_item SET payload = payload",
            "UPDATE collection SET name = name",
            "UPDATE analysis SET result = result",
            "UPDATE team SET deleting_at = now()",
            "DELETE FROM team",
            'DELETE FROM "user"',
            "DELETE FROM credit_entry",
            "DELETE FROM derivative",
            "UPDATE event SET payload = payload",
            "SELECT token_hash FROM share_link",
            "DELETE FROM share_link",
            "SELECT visitor FROM share_link_visit",
        )
        await allowed(
            urls.tasks,
            "UPDATE share_link SET ended_at = expires_at WHERE expires_at < now() AND ended_at IS NULL"
            " RETURNING id, team_id",
            "DELETE FROM share_link_visit WHERE hour < now()",
        )
        for column in ("status", "claim_token", "deadline_at", "queued_at", "purge_marked_at", "deleted_at", "tags"):
            await allowed(urls.tasks, f"UPDATE image SET {column} = {column}")

    async def test_delivery_reads_what_an_address_needs_and_keeps_what_it_made(self, urls: Any, rows: Any) -> None:
        from image_core import testing

        team_id = await testing.add_team(rows)
        image_id = await testing.add_image(rows, team_id)
        rendition = (
            "INSERT INTO rendition (id, team_id, image_id, generation, spec_hash, format, object_name, width, height,"
            f" frames, size_bytes, sha256) SELECT '{uuid4()}', team_id, id, generation, '0123456789abcdef', 'webp',"
            f" 'renditions/1', 1, 1, 1, 1, sha256('') FROM image WHERE id = '{image_id}'"
            " AND deleted_at IS NULL AND purge_marked_at IS NULL ON CONFLICT DO NOTHING"
        )
        await allowed(
            urls.delivery,
            "SELECT version_num FROM alembic_version",
            "SELECT id, team_id, status, failure_code, failure_message, filename, content_type, format, object_name,"
            " generation, size_bytes, sha256, width, height, frames, facts, visibility, delivery_epoch, deleted_at,"
            " purge_marked_at, focal_x, focal_y FROM image",
            "SELECT * FROM derivative",
            "SELECT * FROM preset",
            "SELECT number, team_id, state, created_at FROM delivery_key",
            "SELECT id, default_visibility, deleting_at FROM team",
            "SELECT id, team_id, title, collection_id, presets, download, epoch, expires_at, ended_at FROM share_link",
            "SELECT * FROM share_link_image",
            "SELECT * FROM collection_member",
            rendition,
            "UPDATE rendition SET last_used_on = current_date WHERE object_name = 'renditions/1'",
            "SELECT * FROM rendition",
            "SELECT * FROM rendition_failure",
            "DELETE FROM rendition WHERE object_name = 'renditions/1'",
            "INSERT INTO discarded_object (id, bucket, object_name, remove_after)"
            f" VALUES ('{image_id}', 'derivatives', 'renditions/1', now())",
            f"DELETE FROM discarded_object WHERE id = '{image_id}'",
            f"INSERT INTO delivery_usage (team_id, day, requests, bytes) VALUES ('{team_id}', current_date, 1, 10)"
            " ON CONFLICT (team_id, day) DO UPDATE SET requests = delivery_usage.requests + excluded.requests,"
            " bytes = delivery_usage.bytes + excluded.bytes",
        )

    async def test_delivery_touches_nothing_else(self, urls: Any) -> None:
        await refused(
            urls.delivery,
            "UPDATE image SET delivery_epoch = 0",
            "UPDATE image SET visibility = 'public'",
            "DELETE FROM image",
            "SELECT metadata FROM image",
            "SELECT tags FROM image",
            "SELECT description FROM image",
            "SELECT uploaded_by FROM image",
            "INSERT INTO derivative (id) VALUES (gen_random_uuid())",
            "DELETE FROM derivative",
            "INSERT INTO preset (team_id, name) VALUES (gen_random_uuid(), 'x')",
            "UPDATE preset SET open = true",
            "DELETE FROM preset",
            "INSERT INTO delivery_key (id, team_id) VALUES (gen_random_uuid(), gen_random_uuid())",
            "UPDATE delivery_key SET state = 'active'",
            "DELETE FROM delivery_key",
            "SELECT name FROM delivery_key",
            "UPDATE rendition SET object_name = object_name",
            "UPDATE rendition SET eager = true",
            "UPDATE rendition_failure SET code = 'x'",
            "DELETE FROM rendition_failure",
            "UPDATE discarded_object SET remove_after = now()",
            "UPDATE delivery_usage SET warned_at = now()",
            "DELETE FROM delivery_usage",
            "SELECT token_hash FROM share_link",
            "SELECT password_hash FROM share_link",
            "UPDATE share_link SET epoch = 0",
            "DELETE FROM share_link_image",
            "SELECT FROM share_link_visit",
            "SELECT FROM collection",
            "DELETE FROM collection_member",
            "SELECT name FROM team",
            "UPDATE team SET default_visibility = 'public'",
            'SELECT FROM "user"',
            "SELECT FROM credential",
            "SELECT FROM session",
            "SELECT FROM analysis",
            "SELECT FROM image_vector",
            "SELECT FROM event",
            "INSERT INTO event (id, topic, type, payload) VALUES (gen_random_uuid(), 'events', 'x', '{}')",
            "SELECT FROM audit_event",
            "SELECT FROM credit_account",
            "SELECT FROM idempotency_key",
        )

    async def test_who_else_writes_the_tables_of_delivery(self, urls: Any) -> None:
        await allowed(
            urls.api,
            "UPDATE image SET visibility = visibility, delivery_epoch = delivery_epoch",
            "UPDATE delivery_key SET state = state, verifying_at = verifying_at, retired_at = retired_at",
            "UPDATE preset SET open = open, remake_before = remake_before",
            "DELETE FROM preset",
            "SELECT FROM rendition",
            "SELECT FROM delivery_usage",
        )
        await refused(
            urls.api,
            "UPDATE delivery_key SET number = number",
            "UPDATE delivery_key SET team_id = team_id",
            "INSERT INTO delivery_key (id, team_id, number) VALUES (gen_random_uuid(), gen_random_uuid(), 1)",
            "DELETE FROM delivery_key",
            "DELETE FROM rendition",
            "UPDATE delivery_usage SET bytes = 0",
        )
        await allowed(
            urls.processor,
            "SELECT FROM preset",
            "UPDATE rendition SET eager = eager",
            "DELETE FROM rendition",
            "SELECT * FROM rendition_failure",
            "UPDATE rendition_failure SET code = code, message = message, failed_at = failed_at",
            "DELETE FROM rendition_failure",
        )
        await refused(
            urls.processor,
            "SELECT FROM delivery_key",
            "UPDATE preset SET open = true",
            "SELECT FROM delivery_usage",
            "UPDATE image SET visibility = 'public'",
            "UPDATE image SET delivery_epoch = 0",
        )
        await allowed(
            urls.tasks,
            "SELECT FROM preset",
            "UPDATE preset SET remake_before = remake_before",
            "SELECT FROM derivative",
            "DELETE FROM rendition",
            "DELETE FROM rendition_failure WHERE failed_at < now()",
            "UPDATE delivery_usage SET warned_at = warned_at",
            "DELETE FROM delivery_usage",
        )
        await refused(
            urls.tasks,
            "SELECT FROM delivery_key",
            "UPDATE preset SET open = true",
            "INSERT INTO rendition (id) VALUES (gen_random_uuid())",
            "UPDATE rendition_failure SET code = code",
            "UPDATE delivery_usage SET bytes = 0",
            "UPDATE image SET delivery_epoch = 0",
        )

    async def test_no_service_changes_the_schema(self, urls: Any) -> None:
        for url in (urls.api, urls.processor, urls.tasks, urls.delivery):
            await refused(url, "CREATE TABLE x (y int)", "ALTER TABLE image ADD COLUMN x int", "DROP TABLE image")
            await refused(url, "UPDATE alembic_version SET version_num = '9'")


class TestConstraints:
    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ("status = 'gone'", "ck_image_status"),
            ("size_bytes = 0", "ck_image_size_bytes_positive"),
            ("sha256 = 'x'", "ck_image_sha256_length"),
            ("sha256 = NULL", "ck_image_stored_is_whole"),
            ("width = 0", "ck_image_dimensions_positive"),
            ("width = NULL", "ck_image_ready_is_whole"),
            ("filename = ''", "ck_image_filename_length"),
            ("tags = array_fill('x'::text, array[51])", "ck_image_tags_count"),
            ("claim_token = gen_random_uuid(), lease_expires_at = now()", "ck_image_claim_when_processing"),
            ("status = 'processing', claim_token = gen_random_uuid()", "ck_image_claim_has_lease"),
            ("status = 'failed'", "ck_image_failed_says_why"),
            ("status = 'pending', deadline_at = NULL", "ck_image_pending_has_deadline"),
            ("purge_marked_at = now()", "ck_image_purge_from_trash"),
            ("attempts = -1", "ck_image_attempts_not_negative"),
            ("visibility = 'secret'", "ck_image_visibility"),
            ("description = repeat('x', 2001)", "ck_image_description_length"),
            ("alt_text = '', alt_text_language = 'en'", "ck_image_alt_text_length"),
            ("alt_text = 'x'", "ck_image_alt_text_has_language"),
            ("rating = 6", "ck_image_rating"),
            ("focal_x = 1001, focal_y = 0", "ck_image_focal_point"),
            ("focal_x = 1", "ck_image_focal_point_is_whole"),
        ],
    )
    async def test_no_row_contradicts_itself(self, rows: Any, change: str, name: str) -> None:
        from image_core import testing

        await testing.add_image(rows, await testing.add_team(rows))
        with pytest.raises(asyncpg.CheckViolationError) as caught:
            await rows.execute(text(f"UPDATE image SET {change}"))
        assert caught.value.constraint_name == name

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ("name = 'Card'", "name_spelling"),
            ("name = 'card--wide'", "name_spelling"),
            ("name = repeat('a', 33)", "name_spelling"),
            ("width = 0", "sides"),
            ("height = 4097", "sides"),
            ("fit = 'stretch'", "fit"),
            ("width = NULL, height = NULL", "fit_has_sides"),
            ("fit = 'cover', height = NULL", "fit_has_sides"),
            ("gravity = 'north'", "gravity"),
            ("quality = 0", "quality"),
            ("formats = '{}'", "formats"),
            ("formats = '{gif}'", "formats"),
            ("background = 'FFFFFF'", "background"),
            ("metadata = 'all'", "metadata"),
        ],
    )
    async def test_no_preset_contradicts_itself(self, rows: Any, change: str, name: str) -> None:
        from image_core import testing

        team_id = await testing.add_team(rows)
        await rows.execute(
            text("INSERT INTO preset (team_id, name, width, height) VALUES (:team, 'card', 640, 480)"), team=team_id
        )
        with pytest.raises(asyncpg.CheckViolationError) as caught:
            await rows.execute(text(f"UPDATE preset SET {change}"))
        assert caught.value.constraint_name == f"ck_preset_{name}"

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ("number = 0", "number_digits"),
            ("number = 10000000000", "number_digits"),
            ("state = 'lost'", "state"),
            ("state = 'verifying'", "verifying_when_not_active"),
            ("state = 'retired', verifying_at = now()", "retired_has_time"),
            ("name = ''", "name_length"),
        ],
    )
    async def test_no_delivery_key_contradicts_itself(self, rows: Any, change: str, name: str) -> None:
        from image_core import testing

        await testing.add_team(rows)
        with pytest.raises(asyncpg.CheckViolationError) as caught:
            await rows.execute(text(f"UPDATE delivery_key SET {change}"))
        assert caught.value.constraint_name == f"ck_delivery_key_{name}"

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ("token_hash = 'x'", "token_hash_length"),
            ("title = ''", "title_length"),
            ("presets = '{}'", "presets_not_empty"),
            ("download = 'all'", "download"),
            ("epoch = -1", "not_negative"),
        ],
    )
    async def test_no_share_link_contradicts_itself(self, rows: Any, change: str, name: str) -> None:
        from image_core import testing

        await testing.add_share_link(rows, await testing.add_team(rows))
        with pytest.raises(asyncpg.CheckViolationError) as caught:
            await rows.execute(text(f"UPDATE share_link SET {change}"))
        assert caught.value.constraint_name == f"ck_share_link_{name}"

    async def test_a_share_link_shows_nothing_of_another_team(self, rows: Any) -> None:
        from image_core import testing

        team_id, other_id = [await testing.add_team(rows) for _ in range(2)]
        foreign_image_id = await testing.add_image(rows, other_id)
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await testing.add_share_link(rows, team_id, [foreign_image_id])
        foreign_id = await testing.add_collection(rows, other_id)
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await testing.add_share_link(rows, team_id, collection_id=foreign_id)


_PRIVILEGES = text(
    "WITH given AS ("
    ' SELECT relname AS "on", NULL AS part, relacl AS acl FROM pg_class'
    " UNION ALL SELECT attrelid::regclass::text, attname, attacl FROM pg_attribute"
    " UNION ALL SELECT proname, NULL, proacl FROM pg_proc"
    ') SELECT "on", part, privilege_type FROM given, aclexplode(acl)'
    " WHERE grantee = 'image_processor'::regrole"
)
# What the processor works with; nothing of sessions, keys, invitations or seals.
_OF_THE_PROCESSOR = {
    *("alembic_version", "analysis", "analyzer_model", "audit_event", "audit_event_position_seq", "credit_account"),
    *("credit_entry", "credit_reservation", "derivative", "discarded_object", "event", "image", "image_hash"),
    *("image_vector", "near_duplicate", "preset", "rendition", "rendition_failure", "team", "upload_session"),
}


def one_by_one(statement: str) -> list[str]:
    """Return a statement for each object and column that this one names."""
    parts = re.fullmatch(r"REVOKE (\w+)(?: \((.*)\))? ON (SEQUENCE |FUNCTION )?(.*) FROM (\w+)", statement)
    assert parts is not None, statement
    right, columns, kind, names, role = parts.groups(default="")
    rights = [f"{right} ({column})" for column in columns.split(", ")] if columns else [right]
    objects = re.findall(r"[\w\"]+(?:\([^)]*\))?", names)
    return [f"REVOKE {each} ON {kind}{name} FROM {role}" for each in rights for name in objects]


def test_the_next_release_revokes_what_is_there_and_leaves_what_the_processor_needs(
    engine: Engine, contraction: list[str]
) -> None:
    runner.upgrade(engine)
    with engine.connect() as connection:
        for statement in (each for whole in contraction for each in one_by_one(whole)):
            before = set(connection.execute(_PRIVILEGES))
            connection.execute(text(statement))
            assert set(connection.execute(_PRIVILEGES)) < before, statement
        assert {row.on for row in connection.execute(_PRIVILEGES)} == _OF_THE_PROCESSOR
