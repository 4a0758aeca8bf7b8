"""Starts the whole system in order, keeps it running, and stops it in order."""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from local_cloud.errors import AlreadyRunning, LocalCloudError, NotReadyInTime
from local_cloud.postgres.database import DatabaseUrls, prepare_database
from local_cloud.postgres.server import PostgresServer
from local_cloud.system import admin_key
from local_cloud.system.children import Child, ChildSpec, describe_status
from local_cloud.system.environment import Layout, emulators_spec, migration_spec, service_specs
from local_cloud.system.startup_check import check_upload
from local_cloud.system.system_file import SystemFile, read_system_file
from local_cloud.watchdog import Watchdog

READY_SECONDS = 60.0
POLL_SECONDS = 0.05
WATCH_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 30.0
START_RETRY_SECONDS = 5.0
# A child that ran this long has recovered from whatever ended it before.
HEALTHY_SECONDS = 60.0

Say = Callable[[str], None]


class StopRequestedError(Exception):
    """A stop was requested while the system was still starting."""


class Supervisor:
    """One system with one data folder."""

    def __init__(self, layout: Layout, say: Say) -> None:
        self.layout = layout
        self.say = say
        self.admin: admin_key.AdminKey = admin_key.AdminKey(None, is_new=False)
        self._children: list[Child] = []
        self._postgres: PostgresServer | None = None
        self._watchdog = Watchdog()
        self._stop_requested = False
        self._began_at = time.monotonic()
        self._urls: DatabaseUrls | None = None
        self._log_dir = layout.data_dir / "logs"
        self._log_dir.mkdir(parents=True, exist_ok=True, mode=0o700)

    def start(self) -> None:
        """Start everything and return when all services are ready.

        Raises:
            LocalCloudError: A part did not start; nothing is left running after `stop`.
            StopRequestedError: SIGTERM or SIGINT arrived during the start.
        """
        self._began_at = time.monotonic()
        emulators = self._start_emulators()
        urls = self._urls = self._start_database()
        migration = self._add(migration_spec(self.layout, urls), keep=False)
        if emulators is not None:
            self._wait_for(emulators)
        services = [self._add(spec) for spec in service_specs(self.layout, urls)]
        self._wait_for(migration)
        migration.clear_group()
        # The services were started in parallel with the migrations: they become ready once the schema exists.
        for service in services:
            self._wait_for(service)
        self.admin = admin_key.obtain(self.layout, urls, read_system_file(self.layout.data_dir))
        # A new key exists nowhere else: the next start needs it even if this one fails now.
        self.write_system_file()
        self._check_upload()
        for service in services:
            for warning in service.warnings():
                self.say(f"  {service.spec.name:<16} {warning}")

    def watch(self) -> None:
        """Keep the system running until `request_stop`."""
        while self.check_parts():
            time.sleep(WATCH_SECONDS)

    def check_parts(self) -> bool:
        """Restart what has ended; return whether to go on, which is false after `request_stop`."""
        if self._stop_requested:
            return False
        self._check_postgres()
        for child in self._children:
            try:
                self._check_child(child)
            except OSError as error:
                # A full disk takes no log: the child is started once there is room.
                self.say(f"{child.spec.name} could not be started: {error.strerror}. Next attempt in 5 s.")
                child.restart_at = time.monotonic() + START_RETRY_SECONDS
        return not self._stop_requested

    def stop(self) -> None:
        """Stop everything in the reverse order of its start."""
        for child in reversed(self._children):
            child.stop()
        if self._postgres is not None:
            self._postgres.stop()
        self._watchdog.close()
        previous = read_system_file(self.layout.data_dir)
        if previous is not None:
            SystemFile(**{**vars(previous), "pids": {}}).write(self.layout.data_dir)

    def request_stop(self) -> None:
        """Make `start` or `watch` end soon; safe to call from a signal handler."""
        self._stop_requested = True

    def write_system_file(self) -> None:
        """Write `system.json` with the current state."""
        pids: dict[str, int | None] = {"supervisor": os.getpid()}
        if self._postgres is not None:
            pids["postgres"] = self._postgres.pid
        pids |= {child.spec.name: child.pid for child in self._children}
        SystemFile(
            url=self.layout.url,
            processor_url=self.layout.processor_url,
            tasks_url=self.layout.tasks_url,
            delivery_url=self.layout.delivery_url,
            admin_api_key=self.admin.api_key,
            database_url=self._urls.owner if self._urls else "",
            storage_emulator_host=self.layout.storage_host,
            pubsub_emulator_host=self.layout.pubsub_host,
            emulators_url=self.layout.emulators_url,
            service_account_file=self.layout.credentials_path,
            pids=pids,
        ).write(self.layout.data_dir)

    def _check_upload(self) -> None:
        # We must not write into external parts.
        if self._postgres is None or self.layout.outside.storage_host or self.layout.outside.pubsub_host:
            return
        untried = check_upload(self.layout, self._postgres, lambda: not self._stop_requested)
        if self._stop_requested:
            raise StopRequestedError
        if untried is None:
            self._report_ready("an upload")
        else:
            self.say(f"  an upload        not tested: {untried}")

    def _start_emulators(self) -> Child | None:
        outside = self.layout.outside
        if outside.storage_host and outside.pubsub_host and outside.jwks_url:
            return None
        return self._add(emulators_spec(self.layout))

    def _start_database(self) -> DatabaseUrls:
        outside_url = self.layout.outside.database_url
        if outside_url is not None:
            self.say("Using PostgreSQL of DATABASE_URL.")
            return DatabaseUrls.all_the_same(outside_url)
        self._postgres = PostgresServer(self.layout.data_dir / "postgres", watchdog=self._watchdog)
        self._postgres.start()
        urls = prepare_database(self._postgres, self.layout.data_dir)
        self._report_ready("postgres")
        return urls

    def _add(self, spec: ChildSpec, *, keep: bool = True) -> Child:
        child = Child(spec, self._log_dir, self._watchdog)
        child.start()
        if keep:
            self._children.append(child)
        return child

    def _wait_for(self, child: Child) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not child.is_ready():
            for other in [*self._children, child]:
                other.check_alive()
            if self._stop_requested:
                child.stop()
                raise StopRequestedError
            if time.monotonic() > deadline:
                child.stop()
                raise NotReadyInTime(
                    f"{child.spec.name} was not ready within {READY_SECONDS:.0f} s. End of its log:\n"
                    f"{child.tail()}\nComplete log: {child.log_path}"
                )
            time.sleep(POLL_SECONDS)
        # Another program may have answered on the child's port.
        child.check_alive()
        self._report_ready(child.spec.name)

    def _report_ready(self, name: str) -> None:
        self.say(f"  {name:<16} ready after {time.monotonic() - self._began_at:.1f} s")

    def _check_postgres(self) -> None:
        if self._postgres is None or self._postgres.running or self._stop_requested:
            return
        self.say("postgres exited and is restarted.")
        try:
            self._postgres.restart_if_dead()
            self.write_system_file()
        except (LocalCloudError, OSError) as error:
            self.say(str(error))
            time.sleep(1.0)

    def _check_child(self, child: Child) -> None:
        status = child.exit_status
        if status is None or self._stop_requested:
            return
        now = time.monotonic()
        if child.restart_at is None:
            child.failures = 0 if now - child.started_at > HEALTHY_SECONDS else child.failures + 1
            wait = min(MAX_BACKOFF_SECONDS, 0.5 * 2.0 ** min(child.failures - 1, 10)) if child.failures else 0.0
            child.restart_at = now + wait
            child.clear_group()
            how = describe_status(status)
            self.say(f"{child.spec.name} exited {how} and is restarted in {wait:.1f} s (log: {child.log_path}).")
        elif now >= child.restart_at:
            child.start()
            self.write_system_file()


@contextlib.contextmanager
def data_folder_lock(data_dir: Path) -> Iterator[None]:
    """Lock the data folder, so that no second system can use it.

    Raises:
        AlreadyRunning: Another process holds the lock.
    """
    # Others may only pass through, because the database's account must reach its own part.
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
    descriptor = os.open(data_dir / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = read_system_file(data_dir)
            where = f" at {running.url}" if running else ""
            raise AlreadyRunning(
                f"A system already runs{where} from {data_dir}: use it, stop it with Ctrl-C in its terminal, "
                "or choose another folder with --data-dir."
            ) from None
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def stopping_on_signals(supervisor: Supervisor) -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into an orderly stop."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        supervisor.request_stop()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
