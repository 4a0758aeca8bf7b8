"""Call GitHub through `gh`, which gets token and repository from the workflow's environment."""

import json
import subprocess
from typing import Any


class GitHubError(Exception):
    """A gh command failed; the message is its command line and output."""


def gh(*arguments: str) -> str:
    """Run a command and return its output. Raises `GitHubError`."""
    command = ["gh", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 (no shell)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitHubError(f"{' '.join(command)}: {error}") from None
    if done.returncode != 0:
        raise GitHubError(f"{' '.join(command)}: status {done.returncode}\n{done.stderr.strip()}")
    return done.stdout


def gh_json(*arguments: str) -> Any:
    """Run a command and return its JSON output. Raises `GitHubError`."""
    return json.loads(gh(*arguments))
