"""What tests stand on: for each worker a PostgreSQL, with a database that is cloned, and the emulators beside it."""

import asyncio
import gc
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx2
import pytest
from _pytest.logging import caplog_records_key
from hypothesis import HealthCheck, settings

from image_core import events, models
from image_core.db import Database, DatabaseConfig, migration_engine
from image_core.direct_traffic import keep_local_traffic_direct
from image_core.feed import event_types
from image_core.migrations import runner
from local_cloud.ports import free_port
from local_cloud.postgres.database import DATABASE, OWNER, DatabaseUrls, prepare_database
from local_cloud.postgres.server import PostgresServer
from local_cloud.testing import GuardedProcess

# Servers of gRPC live beside tests that start programs; its handlers are for forks that go on, and ours execute.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# Tests talk to this machine alone, whatever proxy the environment names.
keep_local_traffic_direct(os.environ)

# A busy machine is no fault of what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

PROJECT = "image-manager-test"
GO_SECONDS = 900
"""For a test that builds a server with Go first, which takes minutes where nothing was built before."""
ORIGINALS, DERIVATIVES, SCRATCH = "test-originals", "test-derivatives", "test-scratch"


LONG = ("tests/wire/", "tests/mutations/", "tests/acceptance/test_up.py", "apps/local_cloud/tests/system/")
"""Each is one piece of work of half a minute; begun first, none is what the run waits for at its end."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out test files without the marker that `-m` asks for alone: to import them all takes a minute."""
    marker = str(config.option.markexpr)
    is_test_file = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    if marker.isidentifier() and is_test_file and f"mark.{marker}" not in collection_path.read_text():
        return True
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("go") is not None:
            item.add_marker(pytest.mark.timeout(GO_SECONDS))
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the stack of each unexpected error that was logged: it is in a field, which pytest leaves out."""
    report = yield
    if report.failed:
        for record in item.stash.get(caplog_records_key, {}).get(report.when, ()):
            if stack := getattr(record, "json_fields", {}).get("stack_trace"):
                report.sections.append(("Unexpected error", stack))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    # The thousands of tests, and all that they import, stay until the end: no garbage is among them.
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@dataclass(frozen=True)
class Urls:
    """One database, by each of its logins."""

    superuser: str
    owner: str
    api: str
    processor: str
    tasks: str
    delivery: str

    def of(self, database: str) -> "Urls":
        return Urls(*(_renamed(url, database) for url in vars(self).values()))


def _renamed(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def _contraction() -> list[str]:
    """The statements that take from a role, with the next release, what only the release before this one uses."""
    decision = Path(__file__).parent / "docs" / "decisions" / "0021-housekeeping-apart.md"
    (block,) = re.findall(r"```sql\n(.*?)```", decision.read_text(), re.DOTALL)
    return [" ".join(statement.split()) for statement in block.split(";") if statement.strip()]


@pytest.fixture(scope="session")
def contraction() -> list[str]:
    """What the next release revokes. Every test's database but those of the migrations is without it already."""
    return _contraction()


@pytest.fixture(scope="session")
def template_urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Urls]:
    """The migrated database that others are cloned from, on the worker's own server.

    On a shared one, an open transaction in any worker's database would hold up the feed in all others.
    """
    folder = tmp_path_factory.mktemp("database") / "postgres"
    server = PostgresServer(folder, durable=False)
    server.start()
    made: DatabaseUrls = prepare_database(server, folder)
    runner.upgrade(migration_engine(DatabaseConfig(url=made.owner)))
    for statement in _contraction():
        server.execute(statement, database=DATABASE)
    yield Urls(server.url(DATABASE), **vars(made))
    server.remove()


def clone(template: Urls, name: str) -> Urls:
    """A new database like the migrated one, under another name."""

    async def run() -> None:
        connection = await asyncpg.connect(_renamed(template.superuser, "postgres"))
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{DATABASE}" OWNER {OWNER}')
        await connection.close()

    asyncio.run(run())
    return template.of(name)


@pytest.fixture(scope="session")
def clone_template(template_urls: Urls) -> Callable[[str], Urls]:
    """Makes a database like the migrated one, for a module that does to it what no other should see."""
    return partial(clone, template_urls)


@pytest.fixture(scope="session")
def worker_name() -> str:
    return os.environ.get("PYTEST_XDIST_WORKER", "gw0")


@pytest.fixture(scope="session")
def worker_urls(template_urls: Urls, worker_name: str) -> Urls:
    """The worker's own database."""
    return clone(template_urls, f"test_{worker_name}")


@dataclass
class _Cleaner:
    connection: Any

    async def prepare(self) -> None:
        """Make a function of this session, so that the server plans the statements once and not for each test."""
        statements = [f'DELETE FROM "{table}"' for table in models.metadata.tables]
        for table in ('"user"', "credential", "feed_epoch", "webhook_position"):
            rows = await self.connection.fetchval(f"SELECT json_agg(t) FROM {table} t")
            values = f"json_populate_recordset(NULL::{table}, {await self._quoted(rows)})"
            statements.append(f"INSERT INTO {table} SELECT * FROM {values}")
        body = f"BEGIN {'; '.join(statements)}; END"
        # Nothing refers to anything that stays, so the foreign keys need no look.
        await self.connection.execute(
            "CREATE FUNCTION pg_temp.clean() RETURNS void LANGUAGE plpgsql SET session_replication_role = replica"
            f" AS {await self._quoted(body)}"
        )

    async def _quoted(self, value: str) -> str:
        quoted: str = await self.connection.fetchval("SELECT quote_literal($1)", value)
        return quoted

    async def clean(self) -> None:
        """As after the migration: nobody there but the first admin with the default key."""
        await self.connection.execute("SELECT pg_temp.clean()")


@pytest.fixture(scope="session")
async def cleaner(worker_urls: Urls) -> AsyncIterator[_Cleaner]:
    cleaner = _Cleaner(await asyncpg.connect(worker_urls.superuser))
    await cleaner.prepare()
    yield cleaner
    await cleaner.connection.close()


@pytest.fixture
async def urls(worker_urls: Urls, cleaner: _Cleaner) -> AsyncIterator[Urls]:
    """The worker's database, as it is after the migration; every event in it has to fit the table of events."""
    await cleaner.clean()
    yield worker_urls
    for told in await cleaner.connection.fetch("SELECT * FROM event WHERE topic = 'events'"):
        event_types.validate(told["type"], events.of_row(told).envelope()["data"])


@pytest.fixture(scope="session")
async def superuser(worker_urls: Urls) -> AsyncIterator[Database]:
    database = Database(DatabaseConfig(url=worker_urls.superuser))
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def rows(urls: Urls, superuser: Database) -> Database:
    """The clean database with every right, to build what a test starts from and to look at what it left."""
    return superuser


@dataclass(frozen=True)
class Emulators:
    """Object store and broker over the wire."""

    storage_host: str
    pubsub_host: str
    data_dir: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a service is told of them."""
        return {
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "IMAGE_UPLOAD_BUCKET_NAME": ORIGINALS,
            "IMAGE_DERIVATIVES_BUCKET_NAME": DERIVATIVES,
            "IMAGE_SCRATCH_BUCKET_NAME": SCRATCH,
            "STORAGE_EMULATOR_HOST": self.storage_host,
            "PUBSUB_EMULATOR_HOST": self.pubsub_host,
        }

    @property
    def settings(self) -> dict[str, Any]:
        """The same as keyword arguments of the settings classes."""
        return {name.lower(): value for name, value in self.environment.items()}


@pytest.fixture(scope="session")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulators]:
    """The worker's emulators. Nobody listens where they push to, so that tests deliver messages themselves."""
    http_port, pubsub_port, data_dir = free_port(), free_port(), tmp_path_factory.mktemp("emulators")
    running = Emulators(f"http://127.0.0.1:{http_port}", f"127.0.0.1:{pubsub_port}", data_dir)
    environment = {
        **os.environ,
        **running.environment,
        "EMULATORS_DATA_DIR": str(data_dir),
        "EMULATORS_HTTP_PORT": str(http_port),
        "EMULATORS_PUBSUB_PORT": str(pubsub_port),
        "EMULATORS_PROCESSOR_URL": f"http://127.0.0.1:{free_port()}",
        "EMULATORS_TASKS_URL": f"http://127.0.0.1:{free_port()}",
        "EMULATORS_PUSH_MAX_ATTEMPTS": "1",
        "EMULATORS_PUSH_RENDITIONS_MAX_ATTEMPTS": "1",
        "EMULATORS_NUDGE_RETENTION_SECONDS": "0",
        "EMULATORS_SWEEP_SECONDS": "0",
    }
    process = GuardedProcess([sys.executable, "-m", "local_cloud.emulators"], env=environment)
    _wait_until_ready(f"{running.storage_host}/health/ready", process)
    yield running
    process.terminate()
    process.wait(10)


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if httpx2.get(url, trust_env=False).status_code == 200:
                return
        except httpx2.HTTPError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)


@dataclass
class SecretManager:
    """Secret Manager over the wire: its own method names and messages, and the faults that a test asks for."""

    versions: dict[str, list[str]] = field(default_factory=dict)
    """What each secret holds, oldest first."""
    refuses_with: str | None = None
    """Name of a gRPC status code."""
    hangs: bool = False
    reads: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def add(self, request: Any, context: Any) -> Any:
        from google.cloud.secretmanager_v1 import types

        self._fail(context)
        kept = self._of(request.parent, context)
        kept.append(request.payload.data.decode())
        return types.SecretVersion.pb()(name=f"{request.parent}/versions/{len(kept)}")

    def access(self, request: Any, context: Any) -> Any:
        from google.cloud.secretmanager_v1 import types

        self.reads += 1
        self._fail(context)
        secret, _, version = request.name.partition("/versions/")
        kept = self._of(secret, context)
        if version != "latest" or not kept:
            self._abort(context, "NOT_FOUND")
        return types.AccessSecretVersionResponse.pb()(name=request.name, payload={"data": kept[-1].encode()})

    def _of(self, secret: str, context: Any) -> list[str]:
        return self.versions[secret] if secret in self.versions else self._abort(context, "NOT_FOUND")

    def _fail(self, context: Any) -> None:
        if self.hangs:
            self.released.wait(60)
        if self.refuses_with:
            self._abort(context, self.refuses_with)

    def _abort(self, context: Any, code: str) -> Any:
        import grpc

        context.abort(grpc.StatusCode[code], "as the test asked for")


@pytest.fixture
def secret_manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretManager]:
    """A server that `image_core.secrets` talks to with the real client."""
    import grpc
    from google.cloud import secretmanager
    from google.cloud.secretmanager_v1 import types
    from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
        SecretManagerServiceGrpcTransport,
    )

    served = SecretManager()
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=asked.pb().FromString, response_serializer=lambda it: it.SerializeToString()
        )
        for name, answer, asked in (
            ("AddSecretVersion", served.add, types.AddSecretVersionRequest),
            ("AccessSecretVersion", served.access, types.AccessSecretVersionRequest),
        )
    }
    server = grpc.server(ThreadPoolExecutor(4))
    service = "google.cloud.secretmanager.v1.SecretManagerService"
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()

    def connect() -> Any:
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        return secretmanager.SecretManagerServiceClient(transport=SecretManagerServiceGrpcTransport(channel=channel))

    monkeypatch.setattr("image_core.secrets.connect", connect)
    yield served
    served.released.set()
    server.stop(None)
