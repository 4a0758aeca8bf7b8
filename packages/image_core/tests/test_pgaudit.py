"""The migration that makes pgaudit's extension, tried with `vector`: the server of the tests has that one."""

import importlib
from typing import Any

import asyncpg
import pytest

MIGRATION = importlib.import_module("image_core.migrations.versions.0009_pgaudit")


@pytest.fixture
async def bare(template_urls: Any, worker_name: str) -> Any:
    """A database of the owner's without an extension."""
    name = f"bare_{worker_name}"
    connection = await asyncpg.connect(template_urls.superuser)
    await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await connection.execute(f"CREATE DATABASE {name} OWNER image_migrator TEMPLATE template0")
    await connection.close()
    return template_urls.of(name)


async def made(url: str, name: str, *, is_loaded: bool) -> bool:
    """Whether the migration, of an extension of this name, makes it."""
    connection = await asyncpg.connect(url)
    try:
        if is_loaded:
            # A library that is loaded brings its settings.
            await connection.execute(f"SET {name}.log = 'ddl'")
        await connection.execute(MIGRATION.MAKE_WHERE_LOADED.replace("pgaudit", name))
        return bool(await connection.fetchval("SELECT count(*) FROM pg_extension WHERE extname = $1", name))
    finally:
        await connection.close()


async def test_it_is_made_where_the_library_is_loaded(bare: Any) -> None:
    assert await made(bare.superuser, "vector", is_loaded=True)


async def test_it_is_not_made_where_the_library_is_not_loaded(bare: Any) -> None:
    assert not await made(bare.superuser, "vector", is_loaded=False)


async def test_an_owner_who_may_not_make_it_goes_on(bare: Any) -> None:
    assert not await made(bare.owner, "vector", is_loaded=True)


async def test_a_server_without_it_goes_on(bare: Any) -> None:
    assert not await made(bare.superuser, "not_there", is_loaded=True)
