"""Other programs, run the same way by every script: no shell, output kept, failures with what was printed."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class CommandFailed(Exception):
    """A program ended with an error; the text is what it printed."""


@dataclass(frozen=True)
class Output:
    """What a program printed, and how it ended."""

    stdout: str
    stderr: str
    code: int


def say(line: str) -> None:
    """Prints a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def first_on_path(program: str) -> str | None:
    """Where a program is, or None."""
    return shutil.which(program)


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    show: bool = False,
) -> Output:
    """Runs a program to its end. `show` lets it print, for what takes long or asks a person.

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
