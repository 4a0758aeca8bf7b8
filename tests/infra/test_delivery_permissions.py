"""The workflows' accounts may do what plans, applies and deploys ask of Google, and hold no role besides."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from scripts.infra.hcl_blocks import blocks_in
from scripts.infra.terraform_checks import TERRAFORM

HERE = Path(__file__).parent
# Resource (`kind:name` or `project`) and permission.
Permission = tuple[str, str]
ACCOUNTS = ("github-plan", "github-apply", "github-deploy")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


ASKED_FOR = read(HERE / "resource_permissions.yaml")
RESOURCES: dict[str, dict[str, Any]] = ASKED_FOR["resources"]
ROLES: dict[str, list[str]] = read(HERE / "role_permissions.yaml") | read(TERRAFORM / "bootstrap" / "custom_roles.yaml")
ROWS: list[dict[str, Any]] = [
    row
    for folder in ("bootstrap", "stack")
    for row in read(TERRAFORM / folder / "capabilities.yaml")
    if row["actor"] in ACCOUNTS
]


def managed_types() -> set[str]:
    """Every type of resource and of data in the stack and in the modules that it uses."""
    stack = TERRAFORM / "stack"
    sources = re.findall(r'source += "\.\./modules/(\w+)"', "".join(path.read_text() for path in stack.glob("*.tf")))
    folders = [stack, *(TERRAFORM / "modules" / name for name in sorted(set(sources)))]
    blocks = [block for folder in folders for kind in ("resource", "data") for block in blocks_in(folder, kind)]
    return {block.labels[0] for block in blocks if block.labels[0].startswith("google_")}


def needed(account: str) -> set[Permission]:
    permissions = {
        (resource, permission) for resource, called in ASKED_FOR["calls"][account].items() for permission in called
    }
    if account == "github-deploy":
        return permissions
    for row in RESOURCES.values():
        on = row.get("on", "project")
        asked = row["read"] + (row["write"] if account == "github-apply" else [])
        permissions |= {(_resource_of(permission, on), permission) for permission in asked}
    return permissions


def _resource_of(permission: str, on: str) -> str:
    return "repository:images" if permission.startswith("artifactregistry.") else on


def held(rows: list[dict[str, Any]], account: str) -> dict[Permission, int]:
    """How many of an account's rows give it each permission. What holds on the project holds on all in it."""
    found: dict[Permission, int] = defaultdict(int)
    for row in rows:
        if row["actor"] == account:
            for permission in ROLES[row["role"]]:
                found[row["resource"], permission] += 1
    return found


def missing(rows: list[dict[str, Any]], account: str) -> set[Permission]:
    found = held(rows, account)
    return {
        (resource, permission)
        for resource, permission in needed(account)
        if (resource, permission) not in found
        and (resource.startswith("billing:") or ("project", permission) not in found)
    }


def test_every_type_that_the_stack_manages_has_its_row_and_no_other() -> None:
    assert set(RESOURCES) == managed_types()


def test_every_role_of_the_accounts_is_known_and_no_other() -> None:
    assert set(ROLES) == {row["role"] for row in ROWS}


@pytest.mark.parametrize("account", ACCOUNTS)
def test_an_account_may_do_what_its_workflow_does(account: str) -> None:
    assert missing(ROWS, account) == set()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['actor']} {row['role']} {row['resource']}")
def test_without_one_of_its_rows_an_account_may_not(row: dict[str, Any]) -> None:
    """Every row is needed: whoever removes one finds out here, and whoever adds one that gives nothing new as well."""
    assert missing([each for each in ROWS if each is not row], row["actor"]) != set()


def test_accounts_that_services_run_as_may_be_used() -> None:
    """Whoever makes a revision, a job, a push or a scheduled call acts as the account that it runs or signs as."""
    text = "".join(path.read_text() for path in (TERRAFORM / "stack").glob("*.tf"))
    signers = set(re.findall(r'caller_emails\["([a-z-]+)"\]', text))
    runners = set(re.findall(r'^  name += "(image-[a-z]+)"\n  purpose', text, re.MULTILINE))
    asked = {resource for resource in ASKED_FOR["calls"]["github-apply"] if resource.startswith("account:")}
    assert (len(signers), len(runners)) >= (2, 3)
    assert asked == {f"account:{name}" for name in signers | runners}


def test_planning_holds_nothing_that_writes() -> None:
    writing = re.compile(r"\.(create|update|delete|set[A-Z]\w*|add[A-Z]\w*|actAs|enable|disable|uploadArtifacts)$")
    held_by_plan = {permission for row in ROWS if row["actor"] == "github-plan" for permission in ROLES[row["role"]]}
    assert not [permission for permission in held_by_plan if writing.search(permission)]
