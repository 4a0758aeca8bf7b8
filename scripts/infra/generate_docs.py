"""Writes what is documented from the code: each module's README, docs/iam.md, docs/runbooks.md, docs/cost.md.

With `--check` nothing is written, and the exit code says whether a file is not what the code would make it.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import yaml
from scripts.infra import cost
from scripts.infra.commands import say
from scripts.infra.hcl_blocks import blocks_in, text_of

ROOT = Path(__file__).resolve().parents[2]
TERRAFORM = ROOT / "terraform"
GENERATED = "<!-- Written by scripts/infra/generate_docs.py; change the code instead. -->"

MODULE_PURPOSES = {
    "database": "Cloud SQL for PostgreSQL with a private address, IAM logins and no password.",
    "edge": "A global load balancer with certificate, Cloud Armor and throttling in front of a Cloud Run service.",
    "events": "Topics, the push subscriptions that start processing and analyses, and the dead letters.",
    "github_federation": "Admits one repository's workflows without keys, as three accounts with different rights.",
    "network": "A network with one subnet for Cloud Run and private access to Google's managed services.",
    "observability": "Objectives, alerts with runbooks, uptime check, dashboard, audit log and budget.",
    "rate_limit_store": "An encrypted Memorystore without a password that only the API can reach.",
    "registry": "A repository for container images that cleans up after itself.",
    "run_job": "A Cloud Run job with its own account.",
    "run_service": "A Cloud Run service with its own account, probes and limits.",
    "secrets": "Secrets, without their values.",
    "storage": "Buckets for originals, derivatives, files that are only analyzed, and access logs.",
}


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return [line(heads), line(("---",) * len(heads)), *(line(row) for row in rows)]


def _squeezed(expression: str) -> str:
    return re.sub(r"\s+", " ", expression)


def _type_lines(expression: str) -> list[str]:
    return ["```hcl", expression, "```"] if "\n" in expression else []


def module_readme(folder: Path) -> str:
    """A module's README: purpose, example, inputs, outputs."""
    inputs: list[tuple[str, ...]] = []
    details: list[str] = []
    for block in blocks_in(folder, "variable"):
        name, kind, default = block.labels[0], block.argument("type") or "", block.argument("default")
        shown = f"`{kind}`" if "\n" not in kind else f"[object](#{name})"
        inputs.append((f"`{name}`", text_of(block.argument("description")), shown, _default(default)))
        if "\n" in kind:
            details += ["", f"### {name}", "", *_type_lines(kind)]
    outputs: list[tuple[str, ...]] = [
        (f"`{each.labels[0]}`", text_of(each.argument("description"))) for each in blocks_in(folder, "output")
    ]
    lines = [
        f"# {folder.name}",
        "",
        GENERATED,
        "",
        MODULE_PURPOSES[folder.name],
        "",
        "## Example",
        "",
        "```hcl",
        (folder / "example" / "main.tf").read_text().rstrip(),
        "```",
        "",
        "## Inputs",
        "",
        *_table(("name", "description", "type", "default"), inputs),
        *details,
        "",
        "## Outputs",
        "",
        *_table(("name", "description"), outputs),
    ]
    return "\n".join(lines) + "\n"


def _default(expression: str | None) -> str:
    return "required" if expression is None else f"`{_squeezed(expression)}`"


def capabilities(folder: str) -> list[dict[str, Any]]:
    """The rows of a capability table."""
    rows: list[dict[str, Any]] = yaml.safe_load((TERRAFORM / folder / "capabilities.yaml").read_text())
    return rows


def _grant_rows(folder: str) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    last = ""
    for row in capabilities(folder):
        limit = f", only {row['on']}" if "on" in row else ""
        limit += f", which may grant only {', '.join(row['grants_only'])}" if "grants_only" in row else ""
        limit += f", only if {row['when']} is configured" if "when" in row else ""
        actor = row["actor"] if row["actor"] != last else ""
        rows.append((actor, row["call"], row["resource"] + limit, f"`{row['role']}`"))
        last = row["actor"]
    return rows


def iam_document() -> str:
    """Who may do what, from the two capability tables."""
    heads = ("account", "what it does", "on", "role")
    lines = [
        "# Who may do what in the cloud",
        "",
        GENERATED,
        "",
        "Each row is one grant, and no others exist: Terraform reads them from `terraform/stack/capabilities.yaml` and",
        "`terraform/bootstrap/capabilities.yaml`. A test compares the services' rows with the calls in their code. No",
        "account has a key or a basic role, and none can mint tokens for every account. `make bootstrap` removes the",
        "editor role from the default account of each new project, disables that account, and removes the default",
        "network. What callers of the API may do is in [access](access.md).",
        "",
        "## In the running system",
        "",
        *_table(heads, _grant_rows("stack")),
        "",
        "## In delivery",
        "",
        *_table(heads, _grant_rows("bootstrap")),
        "",
        "## In the database",
        "",
        "Cloud SQL gives the migration job's login `cloudsqlsuperuser`, and the services' logins nothing. The",
        "migrations create the roles `image_api`, `image_processor`, `image_tasks` and `image_delivery` and grant each",
        "the rows and columns that it needs. The job makes each service's login a member of its role. The migrations",
        "also create the extensions `vector` and, if the server has it, `pgaudit`; only members of",
        "`cloudsqlsuperuser` may do that.",
        "",
        *Path(__file__).with_name("visible_addresses.md").read_text().splitlines(),
        "## Not granted",
        "",
        "Logs go to standard output, which the platform collects, and traces go to the collector in",
        "`OTEL_EXPORTER_OTLP_ENDPOINT`. Neither calls Google's APIs, so neither needs a role. A role is added together",
        "with the code that makes the call.",
    ]
    return "\n".join(lines) + "\n"


def runbooks_document() -> str:
    """A heading for every alert, from the same text that its notification holds, and for what no alert notices."""
    template = (TERRAFORM / "modules" / "observability" / "alerts.yaml.tftpl").read_text()
    alerts: dict[str, dict[str, Any]] = yaml.safe_load(re.sub(r"\$\{(\w+)\}", r"<\1>", template))
    lines = [
        "# Runbooks",
        "",
        GENERATED,
        "",
        "One section for each alert. The notification contains the same text and links here. `prod` has the full set;",
        "`dev` and `small` have the essential set, which watches objectives over one hour only. What no alert notices",
        "comes at the end.",
    ]
    for name, alert in alerts.items():
        lines += [
            "",
            f"## {name}",
            "",
            f"{alert['title']} ({alert['severity'].lower()}{_only_in(alert)}).",
            "",
            f"Fires when {_when(alert)}.",
        ]
        for part in ("meaning", "first_look", "fix"):
            lines += ["", f"**{part.replace('_', ' ').capitalize()}.** {alert[part]}"]
    return "\n".join(lines) + "\n\n" + Path(__file__).with_name("incidents.md").read_text()


def _only_in(alert: dict[str, Any]) -> str:
    return f", only in the {alert['alert_set']} set" if "alert_set" in alert else ""


def _when(alert: dict[str, Any]) -> str:
    if "slo" in alert:
        return (
            f"the error budget of `{alert['slo']}` burns 14.4 times too fast over both an hour and five minutes,"
            " or 6 times too fast over both six hours and half an hour"
        )
    if "query" in alert:
        return str(alert["when"])
    condition = alert["condition"]
    metric = re.search(r'metric\.type = "([^"]+)"', condition["filter"])
    name = f"`{metric[1] if metric else ''}`"
    measured = f"the filtered share of {name}" if "denominator" in condition else name
    duration = "" if condition["duration"] == "0s" else f" for {condition['duration']}"
    return f"{measured} is above {condition['threshold']}{duration}"


def documents() -> dict[Path, str]:
    """Every generated file with what the code makes it."""
    readmes = {folder / "README.md": module_readme(folder) for folder in sorted((TERRAFORM / "modules").iterdir())}
    return {
        **readmes,
        ROOT / "docs" / "iam.md": iam_document(),
        ROOT / "docs" / "runbooks.md": runbooks_document(),
        ROOT / "docs" / "cost.md": cost.document(GENERATED),
    }


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file has drifted")
    check = parser.parse_args().check
    drifted = [path for path, text in documents().items() if not path.is_file() or path.read_text() != text]
    for path in drifted:
        say(f"{'drifted' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(documents()[path])
    return 1 if check and drifted else 0


if __name__ == "__main__":
    sys.exit(main())
