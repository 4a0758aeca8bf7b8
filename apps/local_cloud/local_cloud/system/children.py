"""The processes that the supervisor starts: each described by data, each with its own log file."""

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import httpx2

from local_cloud.errors import ChildCrashed, DiskFull
from local_cloud.watchdog import Watchdog

TAIL_LINES = 12
TAIL_BYTES = 16 * 1024
PROBE_SECONDS = 2.0


@dataclass(frozen=True)
class ChildSpec:
    """How to start a process and how to check that it is ready."""

    name: str
    command: list[str]
    environment: dict[str, str]
    ready_url: str | None = None
    stop_seconds: float = 9.0


class Child:
    """One process; it leads a process group, so that its own children can be ended with it."""

    def __init__(self, spec: ChildSpec, log_dir: Path, watchdog: Watchdog) -> None:
        self.spec = spec
        self.log_path = log_dir / f"{spec.name}.log"
        self.failures = 0
        self.restart_at: float | None = None
        self.started_at = 0.0
        self._watchdog = watchdog
        self._process: subprocess.Popen[bytes] | None = None
        self._log_offset = 0

    @property
    def pid(self) -> int | None:
        """The process id, while it runs."""
        return self._process.pid if self._process is not None and self.exit_status is None else None

    @property
    def exit_status(self) -> int | None:
        """The exit status; negative for the signal that ended it; `None` while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start the process; its output is appended to its log."""
        log_fd = os.open(self.log_path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._log_offset = os.lseek(log_fd, 0, os.SEEK_END)
        try:
            self._process = subprocess.Popen(  # noqa: S603
                self.spec.command,
                stdin=subprocess.DEVNULL,
                stdout=log_fd,
                stderr=log_fd,
                env=self.spec.environment,
                start_new_session=True,
            )
        finally:
            os.close(log_fd)
        self._watchdog.watch(self._process.pid)
        self.started_at = time.monotonic()
        self.restart_at = None

    def stop(self) -> None:
        """End the process and its children within `stop_seconds`."""
        if self._process is None:
            return
        if self.exit_status is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self.spec.stop_seconds)
        self.clear_group()
        self._process.wait()

    def clear_group(self) -> None:
        """End the children of an ended process."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._watchdog.forget(self._process.pid)

    def is_ready(self) -> bool:
        """Query the process; one without a URL is ready when it has exited successfully."""
        if self.spec.ready_url is None:
            return self.exit_status == 0
        try:
            return httpx2.get(self.spec.ready_url, trust_env=False, timeout=PROBE_SECONDS).status_code == 200
        except httpx2.HTTPError:
            return False

    def warnings(self) -> list[str]:
        """Return the warnings of a ready process."""
        try:
            body = httpx2.get(str(self.spec.ready_url), trust_env=False, timeout=PROBE_SECONDS).json()
        except (httpx2.HTTPError, ValueError):
            return []
        return [str(text) for text in body.get("warnings", [])] if isinstance(body, dict) else []

    def check_alive(self) -> None:
        """Check that the process has not failed.

        Raises:
            ChildCrashed: It failed; the error has the last lines of its log.
            DiskFull: Its log says that the disk is full.
        """
        status = self.exit_status
        if status is None or (status == 0 and self.spec.ready_url is None):
            return
        tail = self.tail()
        if "No space left on device" in tail:
            raise DiskFull(
                f"No space left on the disk of {self.log_path.parent.parent}: free some, or choose "
                "another folder with --data-dir."
            )
        raise ChildCrashed(
            f"{self.spec.name} exited {describe_status(status)} before it was ready. End of its log:\n{tail}\n"
            f"Complete log: {self.log_path}. Fix the cause and start again."
        )

    def tail(self) -> str:
        """Return the last lines of the process's output since it was started."""
        return tail_of(self.log_path, self._log_offset)


def tail_of(log_path: Path, offset: int = 0) -> str:
    """Return the last lines of a log, each indented."""
    with contextlib.suppress(OSError), log_path.open("rb") as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(offset, size - TAIL_BYTES))
        lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:]) or "    (nothing)"
    return "    (there is no log)"


def describe_status(status: int) -> str:
    """Describe in words how a process ended."""
    if status >= 0:
        return f"with status {status}"
    with contextlib.suppress(ValueError):
        return f"on {signal.Signals(-status).name}"
    return f"on signal {-status}"
