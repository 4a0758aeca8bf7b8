"""An apply at somebody's own machine and one by a workflow are given the same values, and the same provider."""

import json
import re
from pathlib import Path

import pytest
import yaml
from scripts.infra.project import Project

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / "terraform" / "environments"
WORKFLOWS = sorted(path for path in (ROOT / ".github" / "workflows").iterdir() if "TF_VAR_" in path.read_text())
PLATFORMS = {"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64"}


def written_locally(folder: Path) -> set[str]:
    """The variables that the bootstrap writes into the file of one project. Images are asked for at each plan."""
    (folder / "environments").mkdir()
    project = Project("example-project", "dev", notification_email="operations@example.com", folder=folder)
    project.remember({})
    return set(json.loads(project.values_file.read_text())) - {"images"}


def given_by(workflow: Path) -> set[str]:
    return set(re.findall(r"TF_VAR_(\w+)", workflow.read_text()))


def committed(environment: Path) -> set[str]:
    return set(re.findall(r"^(\w+) += ", environment.read_text(), re.MULTILINE))


def test_workflows_give_what_the_bootstrap_writes(tmp_path: Path) -> None:
    local = written_locally(tmp_path)
    assert len(WORKFLOWS) >= 3
    assert {path.name: given_by(path) for path in WORKFLOWS} == {path.name: local for path in WORKFLOWS}


@pytest.mark.parametrize("environment", sorted(ENVIRONMENTS.glob("*.tfvars")), ids=lambda path: str(path.stem))
def test_no_variable_is_given_twice(environment: Path, tmp_path: Path) -> None:
    """The local file would replace what is committed, whole objects included, and `TF_VAR_…` would lose to it."""
    assert not committed(environment) & written_locally(tmp_path)


def test_everything_of_a_project_is_a_plain_value(tmp_path: Path) -> None:
    """An object would have parts that belong into the committed file."""
    variables = (ROOT / "terraform" / "stack" / "variables.tf").read_text()
    types = dict(re.findall(r'^variable "(\w+)" \{.*?^  type += ([^\n]+)$', variables, re.MULTILINE | re.DOTALL))
    assert {types[name] for name in written_locally(tmp_path)} <= {"string", "list(string)"}


def test_lock_files_are_for_linux_and_macos() -> None:
    recipe = (ROOT / "infra.mk").read_text().partition("terraform-lock:")[2].partition(".PHONY")[0]
    assert set(re.findall(r"-platform=(\w+)", recipe)) == PLATFORMS


@pytest.mark.parametrize("folder", ["bootstrap", "stack"])
def test_a_lock_file_names_every_platform(folder: str) -> None:
    path = ROOT / "terraform" / folder / ".terraform.lock.hcl"
    if not path.is_file():
        # Made by `make terraform-lock` where the registry is reached; docs/delivery.md asks for it.
        assert "make terraform-lock" in (ROOT / "docs" / "delivery.md").read_text()
        return
    text = path.read_text()
    assert text.count('"h1:') >= len(PLATFORMS)
    assert 'provider "registry.terraform.io/hashicorp/google"' in text


def test_each_folder_with_a_lock_is_kept_up_to_date() -> None:
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    terraform = [each for each in updates if each["package-ecosystem"] == "terraform"]
    assert [each["directories"] for each in terraform] == [["/terraform/bootstrap", "/terraform/stack"]]
