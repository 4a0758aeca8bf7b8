"""The way through the Cloud SQL connector, with a connector that leads to the test's own database."""

from typing import Any

import asyncpg
import pg8000.dbapi
import pytest
from sqlalchemy import literal, select, text
from sqlalchemy.engine import make_url

from image_core.db import Database, DatabaseConfig, migration_engine

_INSTANCE = "project:region:name"


class _Connector:
    """Takes what Google's connector takes, and remembers what it was asked for."""

    asked: list[dict[str, Any]] = []  # noqa: RUF012 (shared on purpose: the code under test makes the instances)
    url = ""

    def __init__(self, loop: Any = None, refresh_strategy: str = "background") -> None:
        # A background refresh dies whenever the CPU is throttled.
        assert refresh_strategy == "lazy"

    async def connect_async(self, instance: str, driver: str, **kwargs: Any) -> Any:
        own = {name: kwargs.pop(name) for name in ("user", "db", "enable_iam_auth", "ip_type")}
        self.asked.append({"instance": instance, "driver": driver, **own})
        return await asyncpg.connect(self.url, **kwargs)

    def connect(self, instance: str, driver: str, **kwargs: Any) -> Any:
        self.asked.append({"instance": instance, "driver": driver, **kwargs})
        url = make_url(self.url)
        return pg8000.dbapi.connect(
            user=url.username or "", password=url.password, host=url.host, port=url.port or 5432, database=url.database
        )

    async def close_async(self) -> None:
        self.asked.append({"closed": True})


@pytest.fixture
def connector(urls: Any, monkeypatch: pytest.MonkeyPatch) -> type[_Connector]:
    monkeypatch.setattr("google.cloud.sql.connector.Connector", _Connector)
    _Connector.asked, _Connector.url = [], urls.api
    return _Connector


async def test_serving_goes_through_the_connector_with_iam_and_private_address(connector: type[_Connector]) -> None:
    database = Database(DatabaseConfig(cloud_sql_instance=_INSTANCE, user="api@project.iam", name="image_manager"))
    await database.open()
    assert await database.fetch_value(select(literal(1))) == 1
    async with database.transaction() as transaction:
        for name, value in {"statement_timeout": "15s", "lock_timeout": "2s", "transaction_timeout": "30s"}.items():
            assert await transaction.fetch_value(select(text(f"current_setting('{name}')"))) == value
    await database.close()
    first = connector.asked[0]
    assert (first["instance"], first["driver"], first["enable_iam_auth"]) == (_INSTANCE, "asyncpg", True)
    assert (first["user"], first["db"], first["ip_type"].name) == ("api@project.iam", "image_manager", "PRIVATE")
    assert connector.asked[-1] == {"closed": True}


def test_migrations_go_through_the_connector_with_pg8000(connector: type[_Connector]) -> None:
    engine = migration_engine(DatabaseConfig(cloud_sql_instance=_INSTANCE, user="migrate@project.iam"))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    assert [(each["driver"], each["enable_iam_auth"]) for each in connector.asked] == [("pg8000", True)]
