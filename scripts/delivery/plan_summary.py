"""Summarise a Terraform plan, and refuse one that a workflow must not apply.

python -m scripts.delivery.plan_summary stack.tfplan --title dev --folder plan

Shows addresses and names of arguments, never values. Writes `summary.md` and `changes` (true or false) into the
folder. A plan that deletes or replaces a database or a bucket exits with status 3: their contents could not be
restored, so only a person may do this, outside any workflow.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STACK = Path(__file__).resolve().parent.parent.parent / "terraform" / "stack"
UNREADABLE, REFUSED = 1, 3
KEPT_TYPES = {
    "google_sql_database": "database",
    "google_sql_database_instance": "database instance",
    "google_storage_bucket": "bucket",
}
ORDER = ("delete", "replace", "create", "update", "forget")
MAX_ROWS = 100


@dataclass(frozen=True)
class Change:
    """A change of one resource; `arguments` are the names of arguments that change in place."""

    address: str
    type: str
    action: str
    arguments: tuple[str, ...] = ()

    @property
    def is_refused(self) -> bool:
        """Whether the change removes a resource that contains data."""
        return self.type in KEPT_TYPES and self.action in {"delete", "replace"}


def changes_of(plan: Mapping[str, Any]) -> list[Change]:
    """Return all changes of the plan, most dangerous first."""
    found = []
    for entry in plan.get("resource_changes", []):
        action = _action(entry["change"]["actions"])
        if entry.get("mode") != "data" and action is not None:
            arguments = tuple(_changed_arguments(entry["change"])) if action == "update" else ()
            found.append(Change(entry["address"], entry["type"], action, arguments))
    return sorted(found, key=lambda change: (not change.is_refused, ORDER.index(change.action), change.address))


def changed_outputs(plan: Mapping[str, Any]) -> list[str]:
    """Return the names of changed outputs, which also count as changes."""
    outputs = plan.get("output_changes", {})
    return sorted(name for name, change in outputs.items() if change["actions"] != ["no-op"])


def markdown(title: str, changes: Sequence[Change], outputs: Sequence[str] = ()) -> str:
    """Return the summary for the pull request."""
    lines = [f"### Plan for {title}", ""]
    if outputs:
        lines += [f"Outputs that change: {', '.join(map(_code, outputs))}.", ""]
    if not changes:
        return "\n".join([*lines, "No resource changes." if outputs else "No changes.", ""])
    counts = {action: sum(change.action == action for change in changes) for action in ORDER}
    lines += [", ".join(f"{count} to {action}" for action, count in counts.items() if count) + ".", ""]
    refused = [change for change in changes if change.is_refused]
    if refused:
        lines += ["> [!CAUTION]", "> Refused, because it takes away what holds data:"]
        lines += [f"> - {change.action} of the {KEPT_TYPES[change.type]} {_code(change.address)}" for change in refused]
        lines.append("")
    lines += ["| action | resource | arguments |", "|---|---|---|"]
    lines += [
        f"| {change.action} | {_code(change.address)} | {', '.join(map(_code, change.arguments))} |"
        for change in changes[:MAX_ROWS]
    ]
    if len(changes) > MAX_ROWS:
        lines += ["", f"And {len(changes) - MAX_ROWS} more; the workflow's log has all of them."]
    return "\n".join([*lines, ""])


def main(argv: Sequence[str] | None = None) -> int:
    """Write the summary; return 3 if the plan is refused, 1 if it cannot be read."""
    parser = argparse.ArgumentParser(description="Summarise a plan and refuse what takes data away.")
    parser.add_argument("plan", type=Path, help="what `terraform plan -out` kept")
    parser.add_argument("--title", required=True, help="the environment's name")
    parser.add_argument("--folder", type=Path, required=True, help="where the summary is left")
    arguments = parser.parse_args(argv)
    command = ["terraform", f"-chdir={STACK}", "show", "-json", str(arguments.plan.absolute())]
    shown = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 (no shell)
    if shown.returncode != 0:
        return UNREADABLE
    plan = json.loads(shown.stdout)
    changes, outputs = changes_of(plan), changed_outputs(plan)
    text = markdown(arguments.title, changes, outputs)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    (arguments.folder / "summary.md").write_text(text)
    (arguments.folder / "changes").write_text("true\n" if changes or outputs else "false\n")
    if "GITHUB_STEP_SUMMARY" in os.environ:
        with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a") as file:
            file.write(text)
    sys.stdout.write(text)
    return REFUSED if any(change.is_refused for change in changes) else 0


def _action(actions: Sequence[str]) -> str | None:
    if {"create", "delete"} <= set(actions):
        return "replace"
    return next((action for action in ORDER if action in actions), None)


def _changed_arguments(change: Mapping[str, Any]) -> Iterable[str]:
    before, after, unknown = (change.get(part) or {} for part in ("before", "after", "after_unknown"))
    for name in sorted({*before, *after, *unknown}):
        if before.get(name) != after.get(name) or unknown.get(name) is True:
            yield name


def _code(text: str) -> str:
    # Addresses hold keys of for_each, which may be any text; none of it may leave its cell.
    return "`" + text.replace("`", "'").replace("|", "\\|").replace("\n", " ") + "`"


if __name__ == "__main__":
    sys.exit(main())
