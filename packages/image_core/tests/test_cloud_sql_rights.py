"""Migrations with the rights that Cloud SQL gives: no superuser, and a role that is not inherited from."""

from sqlalchemy import text

from image_core import admin
from image_core.admin import AdminSettings
from image_core.db import DatabaseConfig, migration_engine
from image_core.migrations import HEAD
from local_cloud.postgres.server import throwaway_postgres

_AS_IN_CLOUD_SQL = (
    "CREATE ROLE cloudsqlsuperuser CREATEROLE CREATEDB NOLOGIN",
    "CREATE ROLE \"migrate@project.iam\" LOGIN PASSWORD 'secret' IN ROLE cloudsqlsuperuser",
    "CREATE ROLE \"api@project.iam\" LOGIN PASSWORD 'secret'",
    "CREATE DATABASE image_manager OWNER cloudsqlsuperuser",
)


def test_an_iam_user_migrates_and_lets_the_services_in() -> None:
    with throwaway_postgres() as server:
        for statement in _AS_IN_CLOUD_SQL:
            server.execute(statement)
        # Cloud SQL lets cloudsqlsuperuser make it; a server without its patches asks for a real superuser.
        server.execute("CREATE EXTENSION vector", database="image_manager")
        url = server.url("image_manager", user="migrate@project.iam", password="secret")
        settings = AdminSettings(database_url=url, api_database_user="api@project.iam")
        admin.migrate(settings)
        # A second run, as every deploy makes, changes nothing.
        admin.migrate(settings)
        admin.bootstrap(settings, as_json=True)
        api_url = server.url("image_manager", user="api@project.iam", password="secret")
        with migration_engine(DatabaseConfig(url=api_url)).begin() as connection:
            assert connection.execute(text('SELECT count(*) FROM "user"')).scalar_one() == 1
        with migration_engine(DatabaseConfig(url=url)).begin() as connection:
            assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == HEAD
            owners = connection.execute(text("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"))
            assert owners.scalars().all() == ["image_migrator"]
