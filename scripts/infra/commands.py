"""Run other programs without a shell, capture their output, and report failures with it."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class CommandFailed(Exception):
    """A program failed; the message is its output."""


@dataclass(frozen=True)
class Output:
    """Output and exit status of a program."""

    stdout: str
    stderr: str
    code: int


def say(line: str) -> None:
    """Print a line and flush it."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def first_on_path(program: str) -> str | None:
    """Return the path of a program, or None."""
    return shutil.which(program)


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    show: bool = False,
) -> Output:
    """Run a program. `show` lets it print directly, for long or interactive programs.

    Raises:
        CommandFailed: it is not there, or (with `check`) ended with an error.
    """
    try:
        ended = subprocess.run(  # noqa: S603 (a list, no shell: nothing in it is interpreted)
            list(command), cwd=cwd, env=env, capture_output=not show, text=True, check=False
        )
    except FileNotFoundError as error:
        raise CommandFailed(f"{command[0]} is not installed") from error
    if check and ended.returncode:
        printed = "" if show else (ended.stdout + ended.stderr).strip()
        raise CommandFailed(f"{' '.join(command)} ended with {ended.returncode}\n{printed}".strip())
    return Output(ended.stdout or "", ended.stderr or "", ended.returncode)
