"""Runs a script's `main` in this process, because starting another takes longer than what most tests look at."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from scripts import smoke
from scripts.delivery import cloud_run, rollout

from . import fake_gcloud


class Killed(BaseException):
    """Stands for SIGKILL: it passes everything that handles errors."""


def call(main: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Call `main` with these arguments; its output, errors and status come back as those of a process would."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
            errors.write("" if isinstance(ended.code, int) else str(ended.code))
    return subprocess.CompletedProcess(arguments, status, output.getvalue(), errors.getvalue())


@contextlib.contextmanager
def surroundings(folder: Path | None = None, **environment: str) -> Iterator[None]:
    """The current folder, and an environment in which nothing but these names concerns a running system."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IMAGE_MANAGER_")}
    with contextlib.chdir(folder or Path.cwd()), patch.dict(os.environ, {**kept, **environment}, clear=True):
        yield


class Commands:
    """Takes the place of `subprocess` in the rollout: gcloud and the smoke test run in this process, too."""

    TimeoutExpired = subprocess.TimeoutExpired

    @staticmethod
    def run(command: Sequence[str], **_options: Any) -> "subprocess.CompletedProcess[str]":
        if command[0] == "gcloud":
            return call(_gcloud, command[1:])
        assert command[:2] == [sys.executable, str(rollout.SMOKE_TEST)]
        done = call(smoke.main, command[2:])
        sys.stdout.write(done.stdout)
        return done


def _gcloud(arguments: Sequence[str]) -> int:
    status, kills = fake_gcloud.carry_out(list(arguments))
    if kills:
        raise Killed
    return status


def roll_out(arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run the rollout's command line."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with patch.object(cloud_run, "subprocess", Commands), patch.object(rollout, "subprocess", Commands):
            return call(rollout.main, arguments)
    except Killed:
        return subprocess.CompletedProcess(arguments, -signal.SIGKILL)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
