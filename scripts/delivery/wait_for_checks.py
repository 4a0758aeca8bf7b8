"""Wait until ci has passed for a commit of the main branch.

    python -m scripts.delivery.wait_for_checks COMMIT

Images are built while the checks still run; nothing is deployed before they have passed. A tag is deployed on the
strength of the run that its commit had on the main branch, so that a tag elsewhere is never deployed.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

from scripts.delivery.github import GitHubError, gh_json

WORKFLOW, BRANCH = "ci.yml", "main"


def newest_run(commit: str) -> dict[str, Any] | None:
    """Return the newest run of ci for this commit on the main branch. Raises `GitHubError`."""
    filters = ("--workflow", WORKFLOW, "--branch", BRANCH, "--commit", commit, "--event", "push", "--limit", "20")
    listed = gh_json("run", "list", *filters, "--json", "databaseId,status,conclusion,url")
    return max(listed, key=lambda run: int(run["databaseId"]), default=None)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(description="Wait until ci has passed for a commit.")
    made.add_argument("commit")
    made.add_argument("--minutes", type=float, default=60, help="how long to wait")
    made.add_argument("--poll-seconds", type=float, default=20)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Wait; return 1 if the checks failed, or did not start or finish in time."""
    arguments = parser().parse_args(argv)
    deadline, last_error = time.monotonic() + arguments.minutes * 60, ""
    while True:
        try:
            run = newest_run(arguments.commit)
        except GitHubError as error:
            # GitHub's own failures pass; they only count when there is no time left.
            run, last_error = None, f": {error}"
        if run is not None and run["status"] == "completed":
            sys.stdout.write(f"ci: {run['conclusion']}, {run['url']}\n")
            return 0 if run["conclusion"] == "success" else 1
        if time.monotonic() > deadline:
            found = f"ci is still {run['status']}, {run['url']}" if run else f"there is no run of ci{last_error}"
            sys.stderr.write(f"Commit {arguments.commit} on {BRANCH}: {found}\n")
            return 1
        time.sleep(arguments.poll_seconds)


if __name__ == "__main__":
    sys.exit(main())
