"""Bootstrap against a stand-in that fails at each call in turn: run again, it arrives, and makes nothing twice."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from scripts.infra import bootstrap as script
from scripts.infra import default_resources, github_environments
from scripts.infra import project as project_script
from scripts.infra import stack as stack_script
from scripts.infra.project import Project

from .fake_cloud import ADMIN_KEY, DEFAULT_ACCOUNT, DIGEST, FakeCloud

CALLS = 101
"""How many programs a whole run starts; a test below says so."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    folder = tmp_path / "terraform"
    for name in ("environments", "bootstrap", "stack"):
        (folder / name).mkdir(parents=True)
    monkeypatch.setattr(stack_script, "TERRAFORM", folder)
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(script, "READY_SECONDS", 0)
    for name in ("TERRAFORM_STATE_BUCKET", "TF_VAR_project_id", "TF_VAR_region"):
        monkeypatch.delenv(name, raising=False)
    return Project("example-project", "dev", "europe-west1", "owner/name", "operations@example.com", folder)


def run_with(cloud: FakeCloud, project: Project, monkeypatch: pytest.MonkeyPatch) -> bool:
    for module in (script, project_script, stack_script, default_resources, github_environments):
        monkeypatch.setattr(module, "run", cloud)
    return script.bootstrap(project)


def test_empty_project_becomes_a_running_system(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud()
    assert run_with(cloud, project, monkeypatch)
    assert {"bootstrap", "stack", "schema", "smoke test"} <= cloud.exists
    assert "make smoke URL=https://image-api-abc-ew.a.run.app ARGS=--expect-delivery --expect-links" in cloud.calls
    assert len(cloud.calls) == CALLS


def test_steps_come_in_the_order_of_a_first_apply(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud()
    run_with(cloud, project, monkeypatch)
    order = [
        "billing projects describe", "services enable", "buckets create", "identity create", "terraform import",
        "-auto-approve", "environments/dev", "variable set DELIVERY_ENVIRONMENTS", "docker push", "terraform plan",
        "networks delete", "service-accounts disable", "jobs execute", "--region=europe-west1 --format=json",
        "make smoke",
    ]  # fmt: skip
    positions = [next(index for index, call in enumerate(cloud.calls) if part in call) for part in order]
    assert positions == sorted(positions)


@pytest.mark.parametrize("after_effect", [False, True], ids=["before_its_effect", "after_its_effect"])
@pytest.mark.parametrize("call", range(1, CALLS + 1))
def test_run_again_after_any_failure_arrives(
    call: int, after_effect: bool, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = FakeCloud(fails_at=call, after_effect=after_effect)
    run_with(cloud, project, monkeypatch)
    cloud.fails_at = None
    assert run_with(cloud, project, monkeypatch), f"stopped for good after a failure of call {call}"
    assert {"bootstrap", "stack", "schema", "smoke test"} <= cloud.exists


def test_second_run_builds_and_imports_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud()
    run_with(cloud, project, monkeypatch)
    cloud.calls.clear()
    assert run_with(cloud, project, monkeypatch)
    assert not [
        call for call in cloud.calls if call.startswith(("docker", "terraform import", "gcloud storage buckets create"))
    ]


def test_bootstrap_ends_with_a_second_plan(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud = FakeCloud()
    assert run_with(cloud, project, monkeypatch)
    assert "The second plan changes nothing." in capsys.readouterr().out
    assert "terraform plan" in cloud.calls[-1]


def test_a_second_plan_that_changes_something_is_shown(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"before": {"dashboard_json": "{}", "id": "x"}, "after": {"dashboard_json": "{ }", "id": "x"}}
    dashboard = {
        "address": "module.observability.google_monitoring_dashboard.this",
        "type": "google_monitoring_dashboard",
    }
    cloud = FakeCloud(planned_changes=[{**dashboard, "change": {"actions": ["update"], **values}}])
    assert run_with(cloud, project, monkeypatch)
    out = capsys.readouterr().out
    assert "  update module.observability.google_monitoring_dashboard.this dashboard_json" in out


def test_what_google_puts_into_a_new_project_is_removed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud()
    assert run_with(cloud, project, monkeypatch)
    assert {"no default rules", "no default network", "no default editor", "no default account"} <= cloud.exists


MACHINE = {"name": "somebodys", "serviceAccounts": [{"email": DEFAULT_ACCOUNT}]}


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ({"instances": [MACHINE]}, {"no default network", "no default editor", "no default account"}),
        ({"firewall_rules": ["default-allow-ssh", "somebodys"]}, {"no default rules", "no default network"}),
    ],
    ids=["a machine", "a rule of somebody's"],
)
def test_what_somebody_uses_stays(
    changed: dict[str, Any],
    kept: set[str],
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cloud = FakeCloud(**changed)
    assert run_with(cloud, project, monkeypatch)
    assert not kept & cloud.exists
    assert "is in use and stays" in capsys.readouterr().out


def test_budget_of_the_environment_reaches_the_grants(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = 'observability = {\n  budget = {\n    billing_account = "012345-6789AB-CDEF01"\n  }\n}\n'
    (project.folder / "environments" / "dev.tfvars").write_text(variables)
    cloud = FakeCloud()
    run_with(cloud, project, monkeypatch)
    applies = [call for call in cloud.calls if call.startswith("terraform apply") and "-var=repository" in call]
    assert all("-var=billing_account=012345-6789AB-CDEF01" in call for call in applies)
    assert applies


def test_environments_that_are_delivered_to_already_stay(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud()
    run_with(cloud, project, monkeypatch)
    assert any('gh variable set DELIVERY_ENVIRONMENTS --body=["dev", "prod"]' in line for line in cloud.calls)


def test_images_are_named_by_digest(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    run_with(FakeCloud(), project, monkeypatch)
    images = json.loads(project.values_file.read_text())["images"]
    assert images == {
        key: f"europe-west1-docker.pkg.dev/example-project/images/{name}@{DIGEST}"
        for key, name in {
            "api": "image-api",
            "processor": "image-processor",
            "tasks": "image-api",
            "delivery": "image-delivery",
        }.items()
    }


def test_project_without_billing_is_refused_first(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud = FakeCloud(billing=False)
    assert not run_with(cloud, project, monkeypatch)
    assert not cloud.exists
    assert "gcloud billing projects link" in capsys.readouterr().out


def test_without_an_address_alerts_tell_who_is_logged_in(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "TERRAFORM", project.folder)
    cloud = FakeCloud()
    for module in (script, project_script, stack_script, default_resources, github_environments):
        monkeypatch.setattr(module, "run", cloud)
    assert script.main(["example-project", "owner/name"]) == 0
    assert any("NOTIFICATION_EMAIL --body=somebody@example.com" in call for call in cloud.calls)


@pytest.mark.parametrize("arguments", [["", "owner/name"], ["example-project", ""], ["example-project", "name"]])
def test_missing_names_are_refused_before_anything_is_asked(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud = FakeCloud()
    monkeypatch.setattr(project_script, "run", cloud)
    with pytest.raises(SystemExit):
        script.main(arguments)
    assert not cloud.calls
    assert re.search("say (PROJECT|REPO)=", capsys.readouterr().err)


def test_nothing_secret_is_ever_made(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud()
    run_with(cloud, project, monkeypatch)
    assert not [call for call in cloud.calls if "keys create" in call or "password" in call or "secret set" in call]


def test_admin_key_is_never_an_argument_nor_printed(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud = FakeCloud()
    run_with(cloud, project, monkeypatch)
    assert not [call for call in cloud.calls if ADMIN_KEY in call]
    assert ADMIN_KEY not in capsys.readouterr().out
