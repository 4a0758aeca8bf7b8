"""Checks everything under terraform/ without credentials: fmt, validate, test, lint, policies, or all of them.

Works in a copy, so that nothing is written into the tree. A provider mirror is taken from `TF_CLI_CONFIG_FILE`, or from
the schema-only provider in a folder beside the repository where there is one, or else from the provider registry.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from scripts.infra.commands import CommandFailed, first_on_path, run, say
from scripts.infra.joined_tests import joined_refusals, joined_runs, references

ROOT = Path(__file__).resolve().parents[2]
TERRAFORM = ROOT / "terraform"
SCHEMA_PROVIDER = ROOT.parent / "shared" / "tools" / "google-schema" / "install"
"""Builds a provider that knows the schema only and prints the path of a configuration that uses it."""


@dataclass(frozen=True)
class Target:
    """A folder whose tests are run, with what that run is given."""

    folder: str
    arguments: tuple[str, ...] = ()
    label: str = ""

    @property
    def name(self) -> str:
        """What a report calls it."""
        return self.label or self.folder


def _stack(environment: str, tests: tuple[str, ...] = ("stack", "state", "everything")) -> Target:
    filters = tuple(f"-filter=tests/{name}.tftest.hcl" for name in (environment, *tests))
    return Target("stack", (f"-var-file=../environments/{environment}.tfvars", *filters), f"stack ({environment})")


TARGETS = (
    *(Target(f"modules/{folder.name}") for folder in sorted((TERRAFORM / "modules").iterdir()) if folder.is_dir()),
    Target("bootstrap"),
    # What is refused is refused in every environment alike.
    _stack("dev", ("stack", "state", "everything", "refusals")),
    _stack("small", ("upgrade",)),
    _stack("prod"),
)

ALLOWED_FINDINGS = {
    ("CKV_GCP_108", ""): "Host names of clients in the log: there are none, connections come from the platform.",
    ("CKV2_GCP_13", ""): "The duration of every statement in the log costs more than it tells; query insights has it.",
    ("CKV_GCP_125", ""): "Its pattern knows only subjects made of names; ours is a condition on immutable numbers.",
    ("CKV_GCP_83", ""): "A customer-managed key for messages is an option (kms_key), off by default.",
    ("CKV_GCP_84", ""): "A customer-managed key for images is an option (kms_key), off by default.",
    ("CKV_GCP_62", "google_storage_bucket.access_logs"): "The bucket of the access logs cannot log into itself.",
    ("CKV_GCP_78", "google_storage_bucket.scratch"): "An older version would outlive the analysis it was sent for.",
    ("CKV_GCP_78", "google_storage_bucket.derivatives"): "An older version would be paid for, and can be made again.",
    (
        "CKV_GCP_73",
        "google_compute_security_policy.delivery[0]",
    ): "Signatures guard pictures, and a rule that scans addresses would refuse some of them; nothing behind is Java.",
    (
        "CKV_GCP_73",
        "google_compute_security_policy.links",
    ): "Passwords can look like attacks, and alerts would quote tokens; nothing behind is Java.",
    (
        "CKV_GCP_62",
        "google_storage_bucket.state",
    ): "The state is made before any bucket that could take its access log.",
}
"""Findings that stay, by check and (where it holds for one resource only) by the end of the resource's address."""


def environment() -> dict[str, str]:
    """The environment for Terraform: a plugin configuration where one is known, and no colours."""
    variables = {**os.environ, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "NO_COLOR": "1"}
    configured = variables.pop("TF_CLI_CONFIG_FILE", "")
    if configured and Path(configured).is_file():
        variables["TF_CLI_CONFIG_FILE"] = configured
    elif SCHEMA_PROVIDER.is_file():
        variables["TF_CLI_CONFIG_FILE"] = run([str(SCHEMA_PROVIDER)]).stdout.strip()
    return variables


@contextlib.contextmanager
def copied_tree() -> Iterator[Path]:
    """A copy of terraform/, removed afterwards. A mirror's provider has other checksums than the lock files."""
    with tempfile.TemporaryDirectory(prefix="terraform-") as folder:
        copy = Path(folder) / "terraform"
        shutil.copytree(TERRAFORM, copy, ignore=shutil.ignore_patterns(".terraform", *mirrored_files()))
        yield copy


def mirrored_files() -> list[str]:
    """The names of the files that are left out of a copy where the provider comes from a mirror."""
    return [".terraform.lock.hcl"] if "TF_CLI_CONFIG_FILE" in environment() else []


def initialise(folder: Path, variables: dict[str, str]) -> None:
    """`terraform init` without a backend."""
    run(["terraform", "init", "-backend=false", "-input=false"], cwd=folder, env=variables)


def test(copy: Path, target: Target, variables: dict[str, str], *extra: str) -> str:
    """Runs the tests of a target; returns what they print. Raises `CommandFailed`."""
    initialise(copy / target.folder, variables)
    return run(
        ["terraform", "test", "-no-color", *target.arguments, *extra], cwd=copy / target.folder, env=variables
    ).stdout


@cache
def messages_of(environment_name: str, test_file: str) -> dict[str, Any]:
    """Return the plan (`test_plan`) and the state (`test_state`) of a test file of the stack, as far as it has them."""
    return _messages(
        Target("stack", (f"-var-file=../environments/{environment_name}.tfvars", f"-filter=tests/{test_file}"))
    )


def planned_actions(folder: str, test_file: str) -> dict[str, list[str]]:
    """What the last plan of a test file does to each resource, by address; earlier runs may have applied something."""
    plan = _messages(Target(folder, (f"-filter=tests/{test_file}",)))["test_plan"]
    return {change["address"]: change["change"]["actions"] for change in plan["resource_changes"]}


def _messages(target: Target) -> dict[str, Any]:
    with copied_tree() as copy:
        lines = [json.loads(line) for line in test(copy, target, environment(), "-json", "-verbose").splitlines()]
    kinds = ("test_plan", "test_state")
    return {line["type"]: line[line["type"]] for line in lines if line["type"] in kinds}


def planned(environment_name: str, test_file: str = "whole.tftest.hcl") -> dict[str, Any]:
    """The values of every resource of an environment's plan, by address."""
    plan = messages_of(environment_name, test_file)["test_plan"]
    return {change["address"]: change for change in plan["resource_changes"]}


def applied_state(environment_name: str, test_file: str = "state.tftest.hcl") -> Any:
    """The state after a mocked apply, without the provider's schema."""
    state = messages_of(environment_name, test_file)["test_state"]
    return {key: value for key, value in state.items() if key != "provider_schemas"}


def _timed(label: str, check: Callable[[], object]) -> bool:
    started = time.monotonic()
    try:
        check()
    except CommandFailed as failure:
        say(f"FAIL  {label} ({time.monotonic() - started:.1f} s)\n{failure}")
        return False
    say(f"ok    {label} ({time.monotonic() - started:.1f} s)")
    return True


def _every(results: Iterable[bool]) -> bool:
    """Whether all passed; a failure does not keep the others from being seen."""
    return False not in list(results)


def check_fmt() -> bool:
    """`terraform fmt` has nothing to change."""
    return _timed("fmt", lambda: run(["terraform", "fmt", "-check", "-diff", "-recursive", str(TERRAFORM)]))


def check_validate() -> bool:
    """Every folder is valid."""
    variables = environment()

    def validate(folder: Path) -> None:
        initialise(folder, variables)
        run(["terraform", "validate"], cwd=folder, env=variables)

    with copied_tree() as copy:
        folders = sorted({target.folder for target in TARGETS})
        return _every(_timed(f"validate {each}", partial(validate, copy / each)) for each in folders)


def check_test() -> bool:
    """The tests of every module, of bootstrap, and of the stack with both environments' variables."""
    variables = environment()
    with copied_tree() as copy:
        for tests in copy.rglob("*.tftest.hcl"):
            tests.write_text(joined_refusals(joined_runs(tests.read_text()), references(tests.parent.parent)))
        return _every(_timed(f"test {each.name}", partial(test, copy, each, variables)) for each in TARGETS)


def check_lint() -> bool:
    """Tflint with all rules."""
    arguments = ["--recursive", f"--config={ROOT / '.tflint.hcl'}", "--format=compact"]
    linter = os.environ.get("TFLINT") or first_on_path("tflint") or "tflint"
    return _timed("tflint", lambda: run([linter, *arguments], cwd=TERRAFORM))


def _as_plan_file(changes: dict[str, Any]) -> dict[str, Any]:
    """A plan in the shape of `terraform show -json`, as far as a scanner reads it."""
    resources = [
        {
            **{key: change[key] for key in ("address", "mode", "type", "name", "provider_name")},
            "schema_version": 0,
            # What is null or empty was not said; a scanner would take it for an answer.
            "values": {key: value for key, value in change["change"]["after"].items() if value not in (None, [])},
        }
        for change in changes.values()
        if change["change"]["after"] is not None
    ]
    return {
        "format_version": "1.2",
        "terraform_version": "1.11.0",
        "planned_values": {"root_module": {"resources": resources}},
        "resource_changes": [],
        "configuration": {"root_module": {}},
    }


def _is_allowed(finding: dict[str, Any]) -> bool:
    return any(
        finding["check_id"] == check and finding["resource"].endswith(address) for check, address in ALLOWED_FINDINGS
    )


def _scan(*arguments: str) -> None:
    """Runs checkov. Raises `CommandFailed` with what it found beside `ALLOWED_FINDINGS`."""
    scanner = [first_on_path("checkov")] if first_on_path("checkov") else ["uv", "tool", "run", "checkov"]
    options = ["--quiet", "--compact", "--soft-fail", "--skip-download", "--output", "json"]
    answer = json.loads(run([*filter(None, scanner), *options, *arguments]).stdout)
    reports = answer if isinstance(answer, list) else [answer]
    if not sum(report.get("summary", report).get("passed", 0) for report in reports):
        raise CommandFailed("checkov looked at nothing")
    findings = [each for report in reports for each in report["results"]["failed_checks"] if not _is_allowed(each)]
    if findings:
        raise CommandFailed(
            "\n".join(f"{each['check_id']} {each['resource']}: {each['check_name']}" for each in findings)
        )


def check_policies() -> bool:
    """Checkov on the code, and on the plan of prod."""
    with copied_tree() as copy:
        plan_file = copy.parent / "prod.json"
        code = _timed("checkov, code", lambda: _scan("--directory", str(copy), "--framework", "terraform"))
        plan_file.write_text(json.dumps(_as_plan_file(planned("prod"))))
        # Which firewall belongs to which network is a reference, and a plan holds none: the code was asked for that.
        options = ("--framework", "terraform_plan", "--skip-check", "CKV2_GCP_18")
        plan = _timed("checkov, plan of prod", lambda: _scan("--file", str(plan_file), *options))
    return code and plan


CHECKS = {
    "fmt": check_fmt,
    "validate": check_validate,
    "test": check_test,
    "lint": check_lint,
    "policies": check_policies,
}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("check", choices=[*CHECKS, "all"])
    chosen = parser.parse_args().check
    checks = CHECKS.values() if chosen == "all" else [CHECKS[chosen]]
    return 0 if _every(check() for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
