"""Refuse a pull request whose new dependencies have known vulnerabilities or licences that are not allowed.

    python -m scripts.delivery.dependency_review BASE HEAD

GitHub compares the lock files of both commits; the dependency graph must be enabled.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

REFUSED_SEVERITIES = ("high", "critical")
# Whoever offers the software over a network would have to hand out all of its source.
REFUSED_LICENCES = ("AGPL-", "SSPL-", "BUSL-")


class ReviewError(Exception):
    """GitHub could not compare the commits; the message is its output."""


def changes(base: str, head: str) -> list[dict[str, Any]]:
    """Return the dependencies that differ between two commits. Raises `ReviewError`."""
    path = f"repos/{os.environ['GH_REPO']}/dependency-graph/compare/{base}...{head}"
    command = ["gh", "api", "--paginate", "--slurp", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (no shell)
    if done.returncode:
        raise ReviewError(f"the dependencies cannot be compared: {done.stderr.strip()}")
    return [change for page in json.loads(done.stdout) for change in page]


def refusals(changed: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each new dependency that is not allowed."""
    for each in changed:
        if each["change_type"] != "added":
            continue
        named = f"{each['name']} {each['version']} ({each['manifest']})"
        for hole in each.get("vulnerabilities", []):
            if hole["severity"] in REFUSED_SEVERITIES:
                yield f"{named}: {hole['advisory_ghsa_id']}, {hole['severity']}: {hole['advisory_summary']}"
        if (each.get("license") or "").startswith(REFUSED_LICENCES):
            yield f"{named}: under {each['license']}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the refused dependencies; return 1 if there are any."""
    base, head = argv or sys.argv[1:]
    try:
        found = list(refusals(changes(base, head)))
    except ReviewError as error:
        found = [str(error)]
    sys.stdout.write("".join(f"{line}\n" for line in found) or "No new dependency is refused.\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
