"""The workflows keep every rule, and each rule notices its faults."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from . import workflow_rules as rules
from .conftest import ROOT
from .workflow_rules import RULES, Texts


def test_every_workflow_is_there_and_no_other() -> None:
    assert set(rules.read()) == set(rules.WORKFLOWS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.__name__))
def test_the_workflows_keep_the_rule(rule: Callable[[Texts], Iterator[str]]) -> None:
    assert list(rule(rules.read())) == []


FAULTS: list[dict[str, str]] = yaml.safe_load(Path(__file__).with_name("workflow_faults.yaml").read_text())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault["fault"]))
def test_a_planted_fault_is_noticed(fault: dict[str, str]) -> None:
    texts, workflow = rules.read(), fault["workflow"]
    assert fault["written"] in texts[workflow], "the fault is not where it is to be planted"
    texts[workflow] = texts[workflow].replace(fault["written"], fault["instead"], 1)
    noticed_by = next(rule for rule in RULES if rule.__name__ == fault["rule"])
    assert list(noticed_by(texts)) != []


def test_every_rule_has_a_fault_that_it_notices() -> None:
    assert {fault["rule"] for fault in FAULTS} == {rule.__name__ for rule in RULES}


def test_the_table_holds_whole_commits() -> None:
    for action, pin in rules.PINS.items():
        assert re.fullmatch(r"[0-9a-f]{40}", pin["commit"]), action
        assert re.fullmatch(r"v\d+\.\d+\.\d+", pin["release"]), action


def test_dependabot_keeps_everything_that_is_pinned() -> None:
    entries = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    kept = {
        (each["package-ecosystem"], at) for each in entries for at in each.get("directories", [each.get("directory")])
    }
    pinned = {("docker", f"/{path.parent.relative_to(ROOT)}") for path in ROOT.glob("apps/*/Dockerfile")}
    pinned |= {("terraform", "/terraform/bootstrap"), ("terraform", "/terraform/stack"), ("pip", "/containers")}
    assert pinned <= kept


def test_images_are_built_from_one_base_by_digest() -> None:
    lines = {
        line
        for path in ROOT.glob("apps/*/Dockerfile")
        for line in path.read_text().splitlines()
        if line.startswith("FROM ") and "/" in line
    }
    assert len(lines) == 1
    assert re.fullmatch(r"FROM docker\.io/library/python:3\.13-slim@sha256:[0-9a-f]{64} AS base", lines.pop())


def test_the_uv_that_builds_is_known_by_its_hashes() -> None:
    text = (ROOT / "containers" / "uv.txt").read_text()
    assert len(re.findall(r"^uv==\S+ ", text, re.MULTILINE)) == 1
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", text)) > 1
    for path in ROOT.glob("apps/*/Dockerfile"):
        assert "--require-hashes -r /tmp/uv.txt" in path.read_text()
        assert path.read_text().count("pip install") == 1


def test_everybody_is_asked_about_what_decides_over_the_cloud() -> None:
    lines = (ROOT / ".github" / "CODEOWNERS").read_text().splitlines()
    owned = {line.split()[0] for line in lines if line and not line.startswith("#")}
    assert {"/.github/", "/terraform/", "/scripts/delivery/", "/scripts/infra/"} <= owned


def test_variables_of_the_workflows_are_those_that_the_bootstrap_makes() -> None:
    used = set(re.findall(r"vars\.(\w+)", "\n".join(rules.read().values())))
    output = (ROOT / "terraform" / "bootstrap" / "outputs.tf").read_text()
    block = output.partition('output "github_variables"')[2].partition("\n}")[0]
    made = set(re.findall(r"^\s+([A-Z_]+)\s+=", block, re.MULTILINE))
    # These two are no outputs: the script sets them itself.
    script = (ROOT / "scripts" / "infra" / "bootstrap.py").read_text()
    assert used <= made | set(re.findall(r'"(NOTIFICATION_EMAIL|DELIVERY_ENVIRONMENTS)"', script))


def test_environments_are_those_that_the_bootstrap_makes() -> None:
    from scripts.infra.github_environments import environments

    for environment in rules.ENVIRONMENTS:
        made = environments(environment)
        for prefix in {prefix for _, prefix in rules.ACCOUNTS.values()} | {"approval-"}:
            assert f"{prefix}{environment}" in made
        # Who may write to the cloud comes from somewhere that is reviewed.
        assert all(rule.is_limited for name, rule in made.items() if not name.startswith("plan-"))
        assert made[f"approval-{environment}"].reviewed
    assert environments("prod")["prod"].reviewed
    assert (environments("prod")["prod"].tags, environments("prod")["prod"].branches) == (("v*",), ())


def test_federation_lets_in_the_workflows_that_become_an_account_and_no_other() -> None:
    module = ROOT / "terraform" / "modules" / "github_federation" / "accounts.tf"
    principals = dict(re.findall(r'^    (\w+) += "attribute\.deployment/(.*)"$', module.read_text(), re.MULTILINE))
    # The workflow that was started: a called one runs under its caller's name.
    starts = {"deploy": "deploy", "apply-environment": "infra-apply"}
    expected = {
        account.lower(): f"{starts[workflow]}.yml"
        for (workflow, _), (account, _) in rules.ACCOUNTS.items()
        if account != "PLAN"
    }
    assert {account: principal.rpartition(":")[2] for account, principal in principals.items()} == expected


def test_environments_are_those_that_the_federation_lets_in() -> None:
    federation = (ROOT / "terraform" / "bootstrap" / "federation.tf").read_text()
    assert re.search(r'apply\s+= "infra-\$\{var\.environment\}"', federation)
    assert re.search(r"deploy\s+= var\.environment\n", federation)


def test_names_of_services_are_those_of_the_stack() -> None:
    from scripts.delivery import rollout

    stack = "\n".join((ROOT / "terraform" / "stack" / name).read_text() for name in ("services.tf", "jobs.tf"))
    for name in (*rollout.SERVICES, rollout.MIGRATION):
        assert re.search(rf'name\s+= "{name}"', stack), name


def test_every_service_of_the_stack_is_built_and_rolled_out() -> None:
    from scripts.delivery import rollout
    from scripts.infra.project import BUILT_AS, IMAGES

    block = (ROOT / "terraform" / "stack" / "locals.tf").read_text().partition("service_settings = {")[2]
    services = set(re.findall(r"^ +(image-\w+)", block.partition("}")[0], re.MULTILINE))
    assert services == set(rollout.SERVICES) == set(IMAGES.values())
    deploy = rules.read()["deploy"]
    for name in services:
        assert f"- service: {BUILT_AS.get(name, name)}\n" in deploy
        assert f'--image "{name}=$' in deploy


def test_the_deploying_account_may_read_the_metric_that_a_rollout_watches() -> None:
    rows = [
        row
        for folder in ("bootstrap", "stack")
        for row in yaml.safe_load((ROOT / "terraform" / folder / "capabilities.yaml").read_text())
    ]
    assert ("github-deploy", "roles/monitoring.viewer") in {(row["actor"], row["role"]) for row in rows}
