"""A disk that is full for a while: nothing is lost, and nobody has to start anything again."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from image_core import background
from local_cloud.object_store.catalog import Catalog
from local_cloud.pubsub import backlog as backlogs
from local_cloud.pubsub.broker import Broker
from local_cloud.pubsub.push import PushDelivery
from local_cloud.pubsub.records import Subscription
from local_cloud.scheduler import Scheduler
from local_cloud.transactions import transaction

TOPIC, NAME, PULLED = "projects/p/topics/t", "projects/p/subscriptions/s", "projects/p/subscriptions/pulled"


@contextmanager
def full_disk(connection: sqlite3.Connection) -> Iterator[None]:
    """SQLite's own word for a file that cannot grow is the one for a disk that is full."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    try:
        yield
    finally:
        connection.execute("PRAGMA max_page_count = 1000000")


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.setattr(backlogs, "JOURNAL_RETRY_SECONDS", 0.0)
    monkeypatch.setattr(background, "_FIRST_PAUSE_SECONDS", 0.0)
    broker = Broker(tmp_path)
    broker.ensure_topic(TOPIC)
    broker.ensure_subscription(Subscription(NAME, TOPIC, push_endpoint="http://processor/push", min_backoff_seconds=0))
    broker.ensure_subscription(Subscription(PULLED, TOPIC))
    yield broker
    broker.close()


class Endpoint(httpx2.AsyncBaseTransport):
    """Takes what is pushed; `failures` are raised first."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.taken = asyncio.Event()
        self.tries = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        self.taken.set()
        return httpx2.Response(204)


@pytest.fixture
async def push(broker: Broker) -> AsyncIterator[PushDelivery]:
    delivery = PushDelivery(broker, lambda _audience, _email: "token")
    yield delivery
    await delivery.close()


def reach(push: PushDelivery, endpoint: Endpoint) -> None:
    push._client = httpx2.AsyncClient(transport=endpoint)


def test_message_that_found_no_room_is_kept_once_there_is_room(broker: Broker) -> None:
    connection = broker._journal._connection
    with full_disk(connection), pytest.raises(sqlite3.OperationalError, match="full"):
        for _ in range(100):
            broker.publish(TOPIC, bytes(10_000), {})
    kept = len(broker.backlog(PULLED))
    assert not connection.in_transaction
    broker.publish(TOPIC, bytes(10_000), {})
    assert len(broker.backlog(PULLED)) == kept + 1


def test_failed_commit_leaves_no_transaction_behind(tmp_path: Path) -> None:
    class Full(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if sql == "COMMIT":
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(sql, *parameters)

    connection = sqlite3.connect(tmp_path / "file", isolation_level=None, factory=Full)
    connection.execute("CREATE TABLE t (n INTEGER)")
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match="full"), transaction(connection):
            connection.execute("INSERT INTO t VALUES (1)")
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    connection.close()


def test_catalog_takes_the_next_object_after_a_full_disk(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.sqlite", lambda _stored, _overwritten: (b"", {}))
    with full_disk(catalog.connection), pytest.raises(sqlite3.OperationalError, match="full"):
        for number in range(1000):
            catalog.configure_bucket(f"bucket-{number}" + "x" * 500, versioning=False, topic=None)
    catalog.configure_bucket("later", versioning=False, topic=None)
    assert catalog.bucket("later").name == "later"
    catalog.close()


@pytest.mark.parametrize("failing", ["attempted", "acknowledged"])
async def test_push_goes_on_after_an_error_of_the_journal(
    broker: Broker, push: PushDelivery, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    endpoint = Endpoint()
    reach(push, endpoint)
    done = asyncio.Event()
    written = getattr(broker._journal, failing)
    failures = iter([sqlite3.OperationalError("database or disk is full")])

    def write(*arguments: Any) -> None:
        if (failure := next(failures, None)) is not None:
            raise failure
        written(*arguments)
        if failing == "attempted" or len(broker.backlog(NAME)) == 1:
            done.set()

    monkeypatch.setattr(broker._journal, failing, write)
    # What was not written down comes again with its lease.
    monkeypatch.setattr(broker.backlog(NAME), "_lease_seconds", lambda: 0.05)
    broker.publish(TOPIC, b"x", {})
    await asyncio.wait_for(done.wait(), 10)
    await asyncio.wait_for(endpoint.taken.wait(), 10)
    while len(broker.backlog(NAME)):
        await asyncio.sleep(0.01)


async def test_push_whose_connection_vanishes_is_refused_and_comes_again(broker: Broker, push: PushDelivery) -> None:
    endpoint = Endpoint(AttributeError("'NoneType' object has no attribute 'getpeername'"), RuntimeError("closed"))
    reach(push, endpoint)
    broker.publish(TOPIC, b"x", {})
    await asyncio.wait_for(endpoint.taken.wait(), 10)
    assert endpoint.tries == 3


async def test_schedule_goes_on_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_FIRST_PAUSE_SECONDS", 0.0)
    endpoint = Endpoint()
    tokens = iter([OSError("no room for the key")])

    def token() -> str:
        if (failure := next(tokens, None)) is not None:
            raise failure
        return "token"

    scheduler = Scheduler("http://tasks/tasks/sweep", token, 0.0)
    scheduler._client = httpx2.AsyncClient(transport=endpoint)
    running = asyncio.create_task(background.supervise("scheduler", scheduler.run))
    await asyncio.wait_for(endpoint.taken.wait(), 10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
