"""What tests start ends with them, also where they are killed."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from .emulator_process import eventually

GUARDED = """
import sys, time
from local_cloud.testing import GuardedProcess
print(GuardedProcess([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
time.sleep(600)
"""
SHARED = """
import subprocess, sys, time
from local_cloud.testing import end_with_run
server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
end_with_run(server.pid)
print(server.pid, flush=True)
time.sleep(600)
"""


def is_gone(process_id: int) -> bool:
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(process_id)], capture_output=True, text=True, check=False)
    return done.stdout.strip()[:1] in {"", "Z"}


@pytest.mark.parametrize("code", [GUARDED, SHARED])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_server_ends_with_a_run_that_is_killed(code: str, number: signal.Signals) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_XDIST_WORKER"}
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
    assert run.stdout is not None
    server = int(run.stdout.readline())
    try:
        assert not is_gone(server)
        run.send_signal(number)
        run.wait(10)
        eventually(lambda: is_gone(server))
    finally:
        with suppress(ProcessLookupError):
            os.kill(server, signal.SIGKILL)
