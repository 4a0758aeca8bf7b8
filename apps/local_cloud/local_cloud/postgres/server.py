"""Runs PostgreSQL 18 from the binaries of an installed wheel: no system package, no container."""

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from local_cloud.errors import (
    DataFolderBroken,
    DataFolderInUse,
    DataFolderVersion,
    DiskFull,
    PortInUse,
    PostgresError,
)
from local_cloud.ports import HOST, free_port, take_port
from local_cloud.postgres import account
from local_cloud.watchdog import Watchdog

SUPERUSER = "postgres"
MAJOR_VERSION = "18"
START_SECONDS = 30.0
STOP_SECONDS = 5.0

_DURABLE = {"fsync": "on"}
_THROWAWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}
_ALWAYS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class PostgresServer:
    """A server with its own data folder, reachable by TCP on the loopback address with a password.

    The password is random and stored in `<data_dir>/password` (mode 0600), the log in `<data_dir>/server.log`. As root
    the server runs under a separate account; if that account cannot access `data_dir`, the cluster is under
    /var/lib/image-manager and `<data_dir>/location` contains its path.
    """

    def __init__(
        self, data_dir: Path, *, durable: bool = True, port: int = 0, watchdog: Watchdog | None = None
    ) -> None:
        """Configure a server; `start` starts it.

        Args:
            data_dir: created if absent; kept between runs.
            durable: False trades safety on power loss for speed, for tests.
            port: 0 takes the port of the last run, or any free one if that is taken now.
            watchdog: ends the server when this process dies; one is created if none is given.
        """
        self.data_dir = Path(data_dir).absolute()
        self.port = port
        self._requested_port = port
        self._durable = durable
        self._given_watchdog = watchdog
        self._watchdog: Watchdog | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock_fd: int | None = None
        self._placement: account.Placement | None = None

    def start(self) -> None:
        """Start the server and return when it accepts connections.

        Raises:
            PostgresError: One of its subclasses, whose message says what to do.
            PortInUse: The requested port is taken.
            DiskFull: There is no space for the data.
        """
        try:
            self._placement = account.place(self.data_dir)
            self._take_lock()
            self._ensure_cluster()
            self._end_leftover()
            self._launch()
        except OSError as error:
            self.stop()
            if error.errno == 28:
                raise DiskFull(self._disk_full_sentence()) from error
            raise PostgresError(f"PostgreSQL could not be started: {error}.") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server quickly but cleanly: connections are closed, committed data is safe."""
        self._stop(signal.SIGINT)

    def _stop(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(STOP_SECONDS)
            self._forget_process()
        if self._watchdog is not None and self._watchdog is not self._given_watchdog:
            self._watchdog.close()
        self._watchdog = None
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def remove(self) -> None:
        """Stop the server and remove its data permanently."""
        self._stop(signal.SIGQUIT)
        account.forget(self.data_dir)
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def restart_if_dead(self) -> bool:
        """Restart the server on the same port if it has ended; return whether it had."""
        if self.running:
            return False
        self._forget_process()
        self.stop()
        self._requested_port = self.port
        self.start()
        return True

    @property
    def running(self) -> bool:
        """Whether the server process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process id of the postmaster, while it runs."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def log_path(self) -> Path:
        """The path of the server's log."""
        return self.data_dir / "server.log"

    @property
    def password(self) -> str:
        """The superuser's password."""
        return (self.data_dir / "password").read_text().strip()

    def url(self, database: str = "postgres", user: str = SUPERUSER, password: str | None = None) -> str:
        """Return a `postgresql://` URL; without `password` it is the superuser's."""
        secret = self.password if password is None else password
        return f"postgresql://{quote(user)}:{quote(secret, safe='')}@{HOST}:{self.port}/{quote(database)}"

    def execute(self, sql: str, database: str = "postgres") -> str:
        """Run SQL statements as the superuser and return their output, unaligned and without headers.

        Raises:
            PostgresError: A statement failed; earlier ones stay in effect unless `sql` opens a transaction.
        """
        command = [str(self._placed.bin_dir / "psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]
        command += ["--set", "ON_ERROR_STOP=1", "--host", HOST, "--port", str(self.port)]
        command += ["--username", SUPERUSER, "--dbname", database]
        environment = {"PGPASSWORD": self.password, "PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
        done = subprocess.run(command, input=sql, text=True, capture_output=True, env=environment, check=False)  # noqa: S603
        if done.returncode != 0:
            raise PostgresError(f"PostgreSQL rejected a statement: {done.stderr.strip()}.")
        return done.stdout.strip()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _placed(self) -> account.Placement:
        if self._placement is None:
            raise PostgresError("PostgreSQL has not been started.")
        return self._placement

    def _take_lock(self) -> None:
        self._lock_fd = os.open(self.data_dir / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataFolderInUse(
                f"Another process already runs PostgreSQL from {self.data_dir}: stop it, or choose another data folder."
            ) from None

    def _ensure_cluster(self) -> None:
        cluster = self._placed.cluster_dir
        version_file = cluster / "PG_VERSION"
        if not cluster.exists():
            self._initialize(cluster)
            return
        if not version_file.exists() or not (self.data_dir / "password").exists():
            raise DataFolderBroken(self._broken_sentence("files are missing from it"))
        version = version_file.read_text().strip()
        if version != MAJOR_VERSION:
            raise DataFolderVersion(
                f"The data in {cluster} was written by PostgreSQL {version}, this is {MAJOR_VERSION}: "
                "migrate it with pg_dump and psql, or start over with --reset, which deletes it."
            )

    def _initialize(self, cluster: Path) -> None:
        password = secrets.token_hex(24)
        password_file = self.data_dir / "password"
        _write_private(password_file, password)
        # Created beside its final place and renamed, so that an interrupted run never leaves half a cluster.
        staging = cluster.with_name("cluster.new")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        self._placed.give(staging)
        with tempfile.NamedTemporaryFile("w", dir=staging.parent) as handed_over:
            handed_over.write(password)
            handed_over.flush()
            self._placed.give(Path(handed_over.name))
            command = [str(self._placed.bin_dir / "initdb"), "-D", str(staging), "--username", SUPERUSER]
            command += ["--pwfile", handed_over.name, "--auth", "scram-sha-256", "--encoding", "UTF8"]
            command += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--no-locale"]
            command += ["--no-sync", "--no-instructions"]
            done = self._run(command)
        if done.returncode != 0:
            shutil.rmtree(staging, ignore_errors=True)
            raise self._failure(done.stderr, "initdb failed")
        staging.rename(cluster)

    def _run(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
        return subprocess.run(  # noqa: S603
            command,
            text=True,
            capture_output=True,
            env=environment,
            cwd="/",
            check=False,
            **self._placed.popen_identity(),
        )

    def _end_leftover(self) -> None:
        """Stop a server that outlived its parent, or remove the lock file of one that did not stop cleanly."""
        pid_file = self._placed.cluster_dir / "postmaster.pid"
        if not pid_file.exists():
            return
        pid = int(pid_file.read_text().split("\n", 1)[0].strip() or 0)
        if pid > 0 and _is_postgres(pid):
            deadline = time.monotonic() + STOP_SECONDS
            for number in (signal.SIGINT, signal.SIGQUIT):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                while _is_postgres(pid) and time.monotonic() < deadline:
                    time.sleep(0.02)
                deadline += STOP_SECONDS
        # PostgreSQL takes any live process with this id for a server, whatever it really is.
        pid_file.unlink(missing_ok=True)

    def _launch(self) -> None:
        is_requested = bool(self._requested_port)
        for attempt in range(5):
            self.port = self._choose_port(forget_last=attempt > 0)
            if self._try_launch():
                _write_private(self.data_dir / "port", str(self.port))
                return
            if is_requested:
                break
        raise PortInUse(
            f"Port {self.port} on {HOST} is in use: stop what uses it, or choose another port for PostgreSQL."
        )

    def _choose_port(self, *, forget_last: bool) -> int:
        if self._requested_port:
            return self._requested_port
        port_file = self.data_dir / "port"
        if not forget_last and port_file.exists():
            port = int(port_file.read_text().strip() or 0)
            if port and take_port(port):
                return port
        return free_port()

    def _try_launch(self) -> bool:
        """Start the server on `self.port`; return False if the port is taken."""
        options = {**_ALWAYS, **(_DURABLE if self._durable else _THROWAWAY), "port": str(self.port)}
        command = [str(self._placed.bin_dir / "postgres"), "-D", str(self._placed.cluster_dir)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        log_fd = os.open(self.log_path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        offset = os.lseek(log_fd, 0, os.SEEK_END)
        try:
            self._process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=log_fd,
                stderr=log_fd,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
                cwd="/",
                start_new_session=True,
                **self._placed.popen_identity(),
            )
        finally:
            os.close(log_fd)
        self._watchdog = self._watchdog or self._given_watchdog or Watchdog()
        self._watchdog.watch(self._process.pid, signal.SIGINT)
        return self._wait_until_ready(offset)

    def _wait_until_ready(self, log_offset: int) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if not self.running:
                self._forget_process()
                written = self._log_since(log_offset)
                if "could not bind" in written or "could not create any TCP/IP sockets" in written:
                    return False
                raise self._failure(written, "the server ended while starting")
            if _status_is_ready(self._placed.cluster_dir / "postmaster.pid"):
                return True
            time.sleep(0.01)
        raise self._failure(self._log_since(log_offset), f"the server was not ready within {START_SECONDS:.0f} s")

    def _log_since(self, offset: int) -> str:
        with self.log_path.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")

    def _failure(self, output: str, what: str) -> Exception:
        if "No space left on device" in output:
            return DiskFull(self._disk_full_sentence())
        last_lines = " / ".join(line.strip() for line in output.strip().splitlines()[-3:])
        return DataFolderBroken(self._broken_sentence(f"{what}: {last_lines}"))

    def _disk_full_sentence(self) -> str:
        folder = self._placement.cluster_dir.parent if self._placement else self.data_dir
        return f"No space left on the disk of {folder}: free some, or choose another data folder."

    def _broken_sentence(self, reason: str) -> str:
        return (
            f"PostgreSQL cannot start from {self._placed.cluster_dir} ({reason}): restore it from a copy, "
            f"or start afresh with --reset, which deletes it; the log is {self.log_path}."
        )

    def _forget_process(self) -> None:
        if self._process is not None:
            if self._watchdog is not None:
                self._watchdog.forget(self._process.pid)
            self._process = None


@contextlib.contextmanager
def throwaway_postgres() -> Iterator[PostgresServer]:
    """Start a server with fsync off whose data is removed at the end: for one test run."""
    server = PostgresServer(Path(tempfile.mkdtemp(prefix="image-manager-postgres-")), durable=False)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _status_is_ready(pid_file: Path) -> bool:
    # pg_ctl waits for the eighth line, too. Source: PostgreSQL, src/include/utils/pidfile.h.
    with contextlib.suppress(OSError):
        lines = pid_file.read_text().splitlines()
        return len(lines) >= 8 and lines[7].strip() == "ready"
    return False


def _is_postgres(pid: int) -> bool:
    done = subprocess.run(["ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return "postgres" in done.stdout


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{text}\n")
