"""Keep one issue open for each environment whose infrastructure differs from the code.

python -m scripts.delivery.drift_issue dev --folder plan

The folder contains the result of the nightly plan: `changes` (whether there are any) and `summary.md`. The first night
with drift opens the issue, later ones update it, and the first night without drift closes it.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.delivery.github import GitHubError, gh, gh_json

LABEL = "infrastructure-drift"
BODY = """\
The nightly plan for **{environment}** would change something that nobody merged: either somebody changed the project
by hand, or an apply was not approved, was replaced by a newer run, or failed.

{summary}
What to do: where the change in the project is wanted, write it into `terraform/` and merge it; where it is not, run the
workflow `infra-apply`, which puts back what the code says. This issue closes itself after the next night without drift.
{run}
"""


def title(environment: str) -> str:
    """Return the title, by which later runs find the issue."""
    return f"The infrastructure of {environment} has drifted"


def body(environment: str, summary: str, run_url: str | None) -> str:
    """Return the text of the issue."""
    run = f"\nSeen by {run_url}" if run_url else ""
    return BODY.format(environment=environment, summary=summary, run=run).rstrip() + "\n"


def open_issue(environment: str) -> int | None:
    """Return the number of the environment's open issue. Raises `GitHubError`."""
    listed = gh_json("issue", "list", "--state", "open", "--label", LABEL, "--limit", "100", "--json", "number,title")
    return next((int(issue["number"]) for issue in listed if issue["title"] == title(environment)), None)


def report(environment: str, summary: str, run_url: str | None) -> str:
    """Open the issue, or update the open one. Raises `GitHubError`."""
    number, text = open_issue(environment), body(environment, summary, run_url)
    if number is not None:
        gh("issue", "edit", str(number), "--body", text)
        return f"Issue {number} was brought up to date."
    gh("label", "create", LABEL, "--force", "--description", "The project is not what the code says")
    return gh("issue", "create", "--title", title(environment), "--label", LABEL, "--body", text).strip()


def settle(environment: str) -> str:
    """Close the issue if one is open. Raises `GitHubError`."""
    number = open_issue(environment)
    if number is None:
        return f"No drift in {environment}."
    gh("issue", "close", str(number), "--comment", "The last nightly plan found no changes.")
    return f"Issue {number} was closed."


def main(argv: Sequence[str] | None = None) -> int:
    """Open, update or close the issue; return 1 if GitHub refused."""
    parser = argparse.ArgumentParser(description="Keep one issue for each environment that has drifted.")
    parser.add_argument("environment")
    parser.add_argument("--folder", type=Path, required=True, help="what the nightly plan found")
    arguments = parser.parse_args(argv)
    try:
        if (arguments.folder / "changes").read_text().strip() == "true":
            summary = (arguments.folder / "summary.md").read_text()
            said = report(arguments.environment, summary, os.environ.get("RUN_URL"))
        else:
            said = settle(arguments.environment)
    except GitHubError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
