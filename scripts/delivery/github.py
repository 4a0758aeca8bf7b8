"""Calls GitHub through `gh`, which finds its token and repository in the workflow's environment."""

import json
import subprocess
from typing import Any


class GitHubError(Exception):
    """A gh command failed; the text is its command line and what it said."""


def gh(*arguments: str) -> str:
    """Run one command to its end and return what it printed. Raises `GitHubError`."""
    command = ["gh", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 (no shell)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitHubError(f"{' '.join(command)}: {error}") from None
    if done.returncode != 0:
        raise GitHubError(f"{' '.join(command)}: status {done.returncode}\n{done.stderr.strip()}")
    return done.stdout


def gh_json(*arguments: str) -> Any:
    """Run one command that prints JSON. Raises `GitHubError`."""
    return json.loads(gh(*arguments))
