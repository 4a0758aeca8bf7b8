"""The whole system as processes, with a misbehaving proxy between each service and each part it needs."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx2

from local_cloud.identity import Identity
from local_cloud.ports import HOST, free_port
from local_cloud.postgres.database import DatabaseUrls, prepare_database
from local_cloud.postgres.server import PostgresServer
from local_cloud.system import admin_key
from local_cloud.system.children import Child
from local_cloud.system.environment import (
    MASTER_FILE_NAME,
    PROJECT_ID,
    Layout,
    Outside,
    emulators_spec,
    migration_spec,
    service_specs,
)
from local_cloud.watchdog import Watchdog

from .grpc_proxy import GrpcProxy
from .http_proxy import HttpProxy
from .postgres_proxy import PostgresProxy
from .proxy import ProxyThread

API, PROCESSOR, TASKS, DELIVERY = "image_api", "image_processor", "image_tasks", "image_delivery"
READY_SECONDS = 60
# Shorter than in the local cloud where a test would only wait, and no request is turned away for being one of many.
SERVICE_SETTINGS = {
    "LEASE_SECONDS": "8",
    "JOB_DEADLINE_SECONDS": "6",
    "PUSH_MAX_DELIVERY_ATTEMPTS": "6",
    "RATE_LIMIT_PER_SECOND": "100000",
    "UPLOAD_RATE_LIMIT_PER_SECOND": "100000",
    "ADDRESS_RATE_LIMIT_PER_SECOND": "100000",
    "WEBHOOK_ALLOW_ADDRESSES": '["127.0.0.1/32"]',
    "WEBHOOK_ALLOW_HTTP": "true",
}
EMULATOR_SETTINGS = {
    "EMULATORS_PUSH_MAX_ATTEMPTS": "6",
    "EMULATORS_PUSH_MAX_BACKOFF_SECONDS": "4",
    "EMULATORS_SWEEP_SECONDS": "2",
}
PUSH_SUBSCRIPTION = "image-uploads-push"
EVENTS_SUBSCRIPTION = "image-events-push"
RENDITIONS_SUBSCRIPTION = "image-renditions-push"


class Service:
    """One of the services and the proxies that only it goes through."""

    def __init__(self, child: Child, database: PostgresProxy, storage: HttpProxy, pubsub: GrpcProxy) -> None:
        self.child, self.database, self.storage, self.pubsub = child, database, storage, pubsub
        self._environment = child.spec.environment
        self.settings: dict[str, str] = {}
        """What differs from the other runs from the next start on."""

    @property
    def pid(self) -> int:
        pid = self.child.pid
        assert pid is not None, f"{self.child.spec.name} does not run"
        return pid

    def kill(self) -> None:
        """SIGKILL, and gone when this returns."""
        self.child.clear_group()
        self.child.stop()

    def kill_from_proxy(self) -> None:
        """SIGKILL without waiting, for rules of a proxy."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def start(self) -> None:
        """Start it again and wait until it is ready."""
        environment = {**self._environment, **self.settings}
        self.child.spec = dataclasses.replace(self.child.spec, environment=environment)
        self.child.start()
        wait_until(self.child.is_ready, READY_SECONDS, f"{self.child.spec.name}: {self.child.tail()}")

    def restart(self, **settings: str) -> None:
        """End it in order and start it again with these settings."""
        self.child.stop()
        self.settings = settings
        self.start()

    def heal(self) -> None:
        for proxy in (self.database, self.storage, self.pubsub):
            proxy.heal()


class FaultySystem:
    """PostgreSQL, emulators and the services over one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.logs.mkdir(parents=True)
        self._watchdog = Watchdog()
        self._proxies = ProxyThread()
        self.postgres = PostgresServer(folder / "postgres", durable=False, watchdog=self._watchdog)
        self.last_fault_at = time.monotonic()

    # --- Start and stop -----------------------------------------------------------------------------------------

    def start(self) -> None:
        self.postgres.start()
        self.urls = prepare_database(self.postgres, self.folder)
        inside = Layout(self.folder, Outside(), *(free_port() for _ in range(6)))
        self.layout = inside
        spec = emulators_spec(inside)
        self.emulators = self._child(dataclasses.replace(spec, environment={**spec.environment, **EMULATOR_SETTINGS}))
        self.emulators.start()
        migration = self._child(migration_spec(inside, self.urls))
        migration.start()
        wait_until(self.emulators.is_ready, READY_SECONDS, self.emulators.tail())
        names = (API, PROCESSOR, TASKS, DELIVERY)
        self.api, self.processor, self.tasks, self.delivery = (self._service(name) for name in names)
        for service in self.services:
            service.child.start()
        for child in (migration, *(service.child for service in self.services)):
            wait_until(child.is_ready, READY_SECONDS, f"{child.spec.name}: {child.tail()}")
        migration.clear_group()
        key = admin_key.bootstrap(inside, self.urls)
        assert key is not None
        self.admin_api_key = key

    def stop(self) -> None:
        for name in ("api", "processor", "tasks", "delivery"):
            if (service := getattr(self, name, None)) is not None:
                service.kill()
        if hasattr(self, "emulators"):
            self.emulators.stop()
        self.postgres.remove()
        self._proxies.close()
        self._watchdog.close()

    @property
    def services(self) -> list[Service]:
        return [self.api, self.processor, self.tasks, self.delivery]

    def _child(self, spec: Any) -> Child:
        return Child(spec, self.logs, self._watchdog)

    def _service(self, name: str) -> Service:
        inside = self.layout
        database = PostgresProxy(self._proxies, self.postgres.port)
        storage = HttpProxy(self._proxies, inside.http_port)
        pubsub = GrpcProxy(self._proxies, inside.pubsub_port)
        outside = Outside(
            storage_host=f"http://{HOST}:{storage.port}",
            pubsub_host=f"{HOST}:{pubsub.port}",
            jwks_url=f"{inside.emulators_url}/certs",
        )
        urls = DatabaseUrls(*(_at_port(url, database.port) for url in vars(self.urls).values()))
        layout = dataclasses.replace(inside, outside=outside)
        (spec,) = (spec for spec in service_specs(layout, urls) if spec.name == name)
        child = self._child(dataclasses.replace(spec, environment={**spec.environment, **SERVICE_SETTINGS}))
        return Service(child, database, storage, pubsub)

    # --- Faults and their end -----------------------------------------------------------------------------------

    def heal(self) -> None:
        """End every fault: proxies behave, whatever was killed runs again, messages flow."""
        for service in self.services:
            service.heal()
        if not self.postgres.running:
            self.postgres.restart_if_dead()
        if self.emulators.exit_status is not None:
            self.emulators.start()
            wait_until(self.emulators.is_ready, READY_SECONDS, self.emulators.tail())
        for service in self.services:
            if service.child.exit_status is not None:
                service.child.clear_group()
                service.start()
        for subscription in (PUSH_SUBSCRIPTION, EVENTS_SUBSCRIPTION):
            self.switch(subscription)
        self.last_fault_at = time.monotonic()

    def kill_emulators(self) -> None:
        """SIGKILL for the object store, the broker and the scheduler, which are one process."""
        self.emulators.clear_group()
        self.emulators.stop()

    def switch(self, subscription: str = PUSH_SUBSCRIPTION, **switches: Any) -> None:
        """Change how a subscription's pushes are delivered; without switches, as they should be."""
        url = f"{self.layout.emulators_url}/_local/subscriptions/{subscription}/switches"
        httpx2.put(url, json=switches, trust_env=False).raise_for_status()

    def sweep(self) -> None:
        """Have the scheduler call the sweep now."""
        httpx2.post(f"{self.layout.emulators_url}/_local/sweep", trust_env=False, timeout=30).raise_for_status()

    def emulator_state(self) -> dict[str, Any]:
        answer = httpx2.get(f"{self.layout.emulators_url}/_local/state", trust_env=False)
        state: dict[str, Any] = answer.raise_for_status().json()
        return state

    def push_token(self) -> str:
        """A token as Pub/Sub sends it with a push."""
        identity = Identity(self.folder / "emulators", PROJECT_ID)
        return identity.token(self.layout.processor_url, f"pubsub-push@{PROJECT_ID}.iam.gserviceaccount.com")

    # --- What is seen past the proxies --------------------------------------------------------------------------

    async def query(self, sql: str, *arguments: Any) -> list[Any]:
        """Ask the database itself, as the owner of the schema."""
        connection = await asyncpg.connect(self.urls.owner, server_settings={"default_transaction_read_only": "off"})
        try:
            return list(await connection.fetch(sql, *arguments))
        finally:
            await connection.close()

    def as_superuser(self, sql: str) -> str:
        return self.postgres.execute(f"SET default_transaction_read_only = off;\n{sql}", "image_manager")

    @property
    def log_files(self) -> list[Path]:
        return [*self.logs.iterdir(), self.postgres.log_path]

    @property
    def secrets(self) -> list[str]:
        """What no log may hold: the admin's key and the passwords of the database."""
        passwords = json.loads((self.folder / "database-roles.json").read_text()).values()
        account = json.loads((self.folder / "emulators" / "service-account.json").read_text())
        master = (self.folder / MASTER_FILE_NAME).read_text()
        return [self.admin_api_key, self.postgres.password, *passwords, account["private_key"], master]


class MemoryWatch:
    """Measures the resident memory of a process and everything it started, while the block runs."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self.peak_bytes = 0
        """The most that any one process held."""

    @contextlib.contextmanager
    def watching(self) -> Iterator["MemoryWatch"]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            self.peak_bytes = max(self.peak_bytes, *(resident_bytes(pid) for pid in [self._pid, *children(self._pid)]))


def children(pid: int) -> list[int]:
    done = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in done.stdout.split()]


def resident_bytes(pid: int) -> int:
    done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return int(done.stdout.strip() or 0) * 1024


def wait_until(condition: Any, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def _at_port(url: str, port: int) -> str:
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{user}@{HOST}:{port}"))
