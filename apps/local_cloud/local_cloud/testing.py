"""Servers that tests start; they end with the test run, however it ends."""

import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

from local_cloud.watchdog import Watchdog

_END_WITH_RUN = """
import os, sys, time
run, server, number = map(int, sys.argv[1:])
def lives(process_id):
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True
while lives(run) and lives(server):
    time.sleep(0.2)
if lives(server):
    os.kill(server, number)
"""


@cache
def _watchdog() -> Watchdog:
    made = Watchdog()
    atexit.register(made.close)
    return made


class GuardedProcess(subprocess.Popen[bytes]):
    """A process in its own group, which is ended with the process that started it."""

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        super().__init__(command, start_new_session=True, **options)
        _watchdog().watch(self.pid)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, after which its id may be reused."""
        status = super().wait(timeout)
        _watchdog().forget(self.pid)
        return status


def end_with_run(process_id: int, number: signal.Signals = signal.SIGINT) -> None:
    """End a server shared by several processes of a test run after the run, if it is still alive."""
    run = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    command = [sys.executable, "-I", "-S", "-c", _END_WITH_RUN, str(run), str(process_id), str(int(number))]
    subprocess.Popen(command, start_new_session=True)  # noqa: S603 (our own script; it ends by itself)
